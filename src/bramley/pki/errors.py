"""What can go wrong with keys, certificates and what they sign.

CMS and SCEP grow their own branches from `PKIError`: `bramley.pki.cms.errors` and `bramley.pki.scep.errors`.
"""

from __future__ import annotations

from enum import StrEnum

from bramley.errors import BadInput, BramleyError


class PKIError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadName(PKIError, BadInput):
    """Values that no distinguished name can hold."""


class BadKey(PKIError):
    """A key of a kind or strength that we do not accept."""


class BadCertificate(PKIError):
    """Bytes that are not a certificate, or a certificate that cannot serve its purpose."""


class BadRequest(PKIError):
    """A certification request (PKCS#10) that is malformed or does not prove possession of its key."""


class BadFile(PKIError, BadInput):
    """A file that is not what was asked for: something else, cut short, too large, or without what should be in it."""


class PasswordNeeded(BadFile):
    """An encrypted key or archive, and no password was given."""


class NoCertificate(BadFile):
    """Files with a private key and no certificate."""


class SeveralKeys(BadFile):
    """Files with more than one private key: which one is meant, nobody can tell."""


class SeveralMatches(BadFile):
    """Files with more than one certificate for the same private key."""


class PairMismatch(BadFile):
    """A private key and certificates that are for other keys."""


class BadArchive(BadFile):
    """What is not a PKCS#12 archive (RFC 7292), or one that cannot be used."""


class WrongPassword(BadArchive):
    """An encrypted key or PKCS#12 archive that this password does not open."""


class NoPrivateKey(BadArchive):
    """An archive that opens, or other files, without a private key."""


class ChainReason(StrEnum):
    """Why a certificate was not accepted under the given anchors (RFC 5280 section 6.1)."""

    UNKNOWN_ISSUER = "unknown-issuer"
    BAD_SIGNATURE = "bad-signature"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NOT_A_CA = "not-a-ca"
    PATH_TOO_LONG = "path-too-long"
    WRONG_USAGE = "wrong-usage"
    WEAK_ALGORITHM = "weak-algorithm"
    UNKNOWN_EXTENSION = "unknown-extension"
    MALFORMED = "malformed"


class ChainError(PKIError):
    """A certificate does not chain to an anchor; `reason` says which rule it breaks."""

    def __init__(self, message: str, *, reason: ChainReason, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.reason = reason


class CannotIssue(PKIError):
    """An authority refuses to issue: its own state, or what was asked, breaks the profile or RFC 5280."""


class SealError(PKIError):
    """Something sealed at rest did not open: another key-encryption key, another place, or changed bytes."""


class BadKeyEncryptionKey(SealError, BadInput):
    """A key-encryption key that is malformed, or whose file is missing, open to others, or would be overwritten."""
