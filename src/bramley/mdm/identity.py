"""Who holds the key: from an `Mdm-Signature` header or a TLS client certificate to a `VerifiedSigner`.

A signer is whoever proves possession of the key of a certificate that chains to a trusted identity CA and is valid now. Who
asks for it gets those too whose own certificate has ended; that of the CA never may. Which device that is, and whether it may
still act, is for `bramley.mdm.binding`.
"""

from __future__ import annotations

import hashlib
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock
from typing import Final

from cryptography import x509

from bramley.mdm.errors import Refusal, Refused
from bramley.pki import certificates, chains, cms, keys, oids
from bramley.pki.errors import ChainError, ChainReason, PKIError

SKEW: Final = timedelta(minutes=5)
"""How far a clock may be off when validity is judged, either way."""

MAX_HEADER_BYTES: Final = 16 * 1024
REMEMBERED: Final = 50_000
"""Certificates whose chain is remembered, about 1 KB each."""

_REFUSALS: Final[Mapping[ChainReason, Refusal]] = {
    ChainReason.EXPIRED: Refusal.EXPIRED,
    ChainReason.NOT_YET_VALID: Refusal.NOT_YET_VALID,
    ChainReason.WRONG_USAGE: Refusal.WRONG_USAGE,
}
_DATES: Final = frozenset({Refusal.EXPIRED, Refusal.NOT_YET_VALID})


class Method(StrEnum):
    """How possession of the key was proved."""

    SIGNATURE = "signature"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class VerifiedSigner:
    """Made only in this module: the key of this certificate spoke, and a CA that is trusted and in its dates vouches for it.

    `sha256` is over `certificate` (DER), 64 lower hexadecimal digits. `not_after` is the certificate's own end, which has
    passed only where whoever had it verified asked for that.
    """

    certificate: bytes = field(repr=False)
    sha256: str
    method: Method
    not_after: datetime


@dataclass(frozen=True, slots=True)
class _Chained:
    """A certificate known to chain: when the whole chain begins, when it ends itself, and when what is above it does."""

    sha256: str
    public_key: keys.PublicKey
    not_before: datetime
    not_after: datetime
    issuer_not_after: datetime


class IdentityTrust:
    """The identity CAs to believe, and the certificates already found to chain to them.

    Only that a certificate chains is remembered, with its dates; never whom it belongs to or whether it is revoked. When
    the CAs change, make a new one: what the old one remembers goes with it. Safe to share between threads.
    """

    __slots__ = ("_authorities", "_known", "_lock", "_remembered")

    def __init__(self, authorities: Sequence[x509.Certificate], *, remembered: int = REMEMBERED) -> None:
        self._authorities = tuple(authorities)
        self._remembered = remembered
        self._known: OrderedDict[str, _Chained] = OrderedDict()
        self._lock = Lock()

    def admit(self, certificate: bytes, now: datetime, skew: timedelta, *, ended_too: bool = False) -> _Chained:
        """The certificate (DER), if it chains to one of the CAs for client authentication and is valid now.

        With `ended_too` its own end may have passed; whether that is acceptable is then the caller's to judge. Raises Refused.
        """
        sha256 = hashlib.sha256(certificate).hexdigest()
        with self._lock:
            known = self._known.get(sha256)
            if known is not None:
                self._known.move_to_end(sha256)
        if known is None or now > known.issuer_not_after + skew:  # another CA, of the same key, may vouch for it by now
            known = self._chain(certificate, sha256, now, skew)
            with self._lock:
                self._known[sha256] = known
                if len(self._known) > self._remembered:
                    self._known.popitem(last=False)
        end = known.issuer_not_after if ended_too else min(known.not_after, known.issuer_not_after)
        if now > end + skew:
            raise Refused(Refusal.EXPIRED, f"The identity certificate, or a CA above it, ended at {end:%F %T} UTC.")
        if now < known.not_before - skew:
            raise Refused(
                Refusal.NOT_YET_VALID,
                f"The identity certificate, or a CA above it, begins at {known.not_before:%F %T} UTC.",
                advice="Check the server's clock.",
            )
        return known

    def _chain(self, certificate: bytes, sha256: str, now: datetime, skew: timedelta) -> _Chained:
        """Judged now, or, where the certificate has ended, at its last moment, preferring CAs that are in their dates now."""
        ended = False
        try:
            leaf = x509.load_der_x509_certificate(certificate)
            ended = now > leaf.not_valid_after_utc + skew
            chain = chains.verify(
                leaf,
                intermediates=(),
                anchors=sorted(self._authorities, key=lambda ca: now > ca.not_valid_after_utc + skew),
                at=leaf.not_valid_after_utc if ended else now,
                extended_key_usage=oids.CLIENT_AUTH,
                skew=skew,
            )
            public_key = certificates.public_key(leaf)
        except ChainError as error:
            reason = _REFUSALS.get(error.reason, Refusal.UNKNOWN_ISSUER)
            # of one that has ended, no date but the end is news
            raise Refused(Refusal.EXPIRED if ended and reason in _DATES else reason, str(error)) from error
        except (PKIError, ValueError, x509.InvalidVersion) as error:
            raise Refused(Refusal.UNKNOWN_ISSUER, f"The identity certificate cannot be used ({error}).") from None
        return _Chained(
            sha256,
            public_key,
            max(one.not_valid_before_utc for one in chain),
            leaf.not_valid_after_utc,
            min(one.not_valid_after_utc for one in chain[1:] or chain),
        )


def verify_signature(
    header: str | bytes | None,
    body: bytes,
    trust: IdentityTrust,
    *,
    now: datetime,
    skew: timedelta = SKEW,
    ended_too: bool = False,
) -> VerifiedSigner:
    """The signer of an HTTP body, from its `Mdm-Signature` header (Apple, "Pass an Identity Certificate Through a Proxy").

    The header is base64 of a detached CMS SignedData over the exact body, with one signer whose certificate is enclosed.
    With `ended_too` the certificate's own end may have passed. Raises Refused; nothing of the body needs to have been read
    before.
    """
    if not header:
        raise Refused(
            Refusal.NO_SIGNATURE,
            "Expected an Mdm-Signature header; none came.",
            advice="The MDM payload must set SignMessage, and a proxy in front must pass the header on.",
        )
    if len(header) > MAX_HEADER_BYTES:
        raise Refused(Refusal.BAD_SIGNATURE, f"Expected an Mdm-Signature of at most {MAX_HEADER_BYTES} bytes; more came.")
    try:
        message = a2b_base64(header, strict_mode=True)
    except (Base64Error, ValueError):
        raise Refused(Refusal.BAD_SIGNATURE, "Expected an Mdm-Signature in base64; it is not.") from None
    admitted: list[_Chained] = []

    def public_key_of(certificate: bytes) -> keys.PublicKey:
        chained = trust.admit(certificate, now, skew, ended_too=ended_too)
        admitted.append(chained)
        return chained.public_key

    try:
        verified = cms.verify(cms.parse_signed_data(message), content=body, policy=cms.DEVICE, public_key_of=public_key_of)
    except cms.SignatureInvalid as error:
        several = error.reason is cms.SignatureReason.SEVERAL_SIGNERS
        raise Refused(Refusal.SEVERAL_SIGNERS if several else Refusal.BAD_SIGNATURE, str(error)) from error
    except cms.CMSError as error:
        raise Refused(Refusal.BAD_SIGNATURE, f"The Mdm-Signature is not a CMS message that can be used: {error}") from error
    return VerifiedSigner(verified.certificate, admitted[-1].sha256, Method.SIGNATURE, admitted[-1].not_after)


def verify_tls(
    certificate: bytes, trust: IdentityTrust, *, now: datetime, skew: timedelta = SKEW, ended_too: bool = False
) -> VerifiedSigner:
    """The signer behind a TLS client certificate (DER), of which the TLS stack has proved possession.

    Its chain is checked here all the same, at our `now`. With `ended_too` the certificate's own end may have passed. Raises
    Refused.
    """
    chained = trust.admit(certificate, now, skew, ended_too=ended_too)
    return VerifiedSigner(certificate, chained.sha256, Method.TLS, chained.not_after)
