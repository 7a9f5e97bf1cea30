"""What can go wrong in a CMS message (RFC 5652)."""

from __future__ import annotations

from enum import StrEnum

from bramley.pki.errors import PKIError


class CMSError(PKIError):
    """The root of everything that this package raises on purpose."""


class Malformed(CMSError):
    """Bytes that are not BER, or not the structure that was expected."""


class TooLarge(Malformed):
    """More octets or more elements than the limits allow."""


class TooDeep(Malformed):
    """Elements nested deeper than the limits allow."""


class CipherNotAllowed(Malformed):
    """An EnvelopedData whose content cipher is unknown here, or too weak to be accepted."""


class SignatureReason(StrEnum):
    """Which rule a signature breaks."""

    NO_SIGNER = "no-signer"
    SEVERAL_SIGNERS = "several-signers"
    NO_CONTENT = "no-content"
    CONTENT_TWICE = "content-twice"
    CONTENT_TYPE_MISMATCH = "content-type-mismatch"
    SIGNER_CERTIFICATE_MISSING = "signer-certificate-missing"
    SIGNER_CERTIFICATE_AMBIGUOUS = "signer-certificate-ambiguous"
    ALGORITHM_NOT_ALLOWED = "algorithm-not-allowed"
    WEAK_KEY = "weak-key"
    ATTRIBUTES_MISSING = "attributes-missing"
    ATTRIBUTES_INVALID = "attributes-invalid"
    DIGEST_MISMATCH = "digest-mismatch"
    BAD_SIGNATURE = "bad-signature"


class SignatureInvalid(CMSError):
    """A SignedData that reads well and yet proves nothing; `reason` says which rule it breaks."""

    def __init__(self, message: str, *, reason: SignatureReason, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.reason = reason


class NotForUs(CMSError):
    """None of an EnvelopedData's recipients is the certificate at hand."""


class DecryptionFailed(CMSError):
    """An EnvelopedData for us did not open.

    One message for every cause after the key transport (RFC 3218): whoever sent it must not learn whether the key, its
    length or the padding was wrong.
    """


class Refused(CMSError):
    """We were asked to sign or encrypt something that our own rules forbid."""
