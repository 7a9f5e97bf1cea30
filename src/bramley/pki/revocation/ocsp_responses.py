"""OCSP responses (RFC 6960 section 4.2), signed by a delegated responder whose certificate lies in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum
from typing import Final

from cryptography import x509

from bramley.pki import certificates
from bramley.pki.cms import der
from bramley.pki.keys import PrivateKey
from bramley.pki.revocation.entries import CRLReason, Revocation, signed
from bramley.pki.revocation.issuer import IssuerName
from bramley.pki.revocation.ocsp_requests import NONCE, CertID

RESPONSE_TYPE: Final = "application/ocsp-response"

_BASIC: Final = der.oid("1.3.6.1.5.5.7.48.1.1")
_SUCCESSFUL: Final = 0


class Failure(IntEnum):
    """Why there is no answer (RFC 6960 section 4.2.1), by its names. `unauthorized`: about a CA that is not ours to speak of."""

    malformedRequest = 1  # noqa: N815 - the names of the RFC
    internalError = 2  # noqa: N815
    tryLater = 3  # noqa: N815
    unauthorized = 6


class Standing(Enum):
    """What is said of a certificate that is not revoked, as it is written."""

    GOOD = der.context(0, b"", constructed=False)
    UNKNOWN = der.context(2, b"", constructed=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one certificate."""

    certificate: CertID
    status: Standing | Revocation


@dataclass(frozen=True, slots=True)
class Responder:
    """A certificate for OCSP signing (RFC 6960 section 4.2.2.2), issued by the CA that it speaks for, with its key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)


def build(
    answers: Sequence[Answer],
    responder: Responder,
    *,
    produced_at: datetime,
    this_update: datetime,
    next_update: datetime,
    nonce: bytes | None,
) -> bytes:
    """The DER OCSPResponse; the nonce of the request comes back in it (RFC 9654)."""
    dates = der.generalized_time(this_update) + der.context(0, der.generalized_time(next_update))
    content = der.sequence(
        der.context(2, der.octet_string(_key_hash(responder.certificate))),
        der.generalized_time(produced_at),
        der.sequence(*(der.sequence(each.certificate.der, _status(each.status), dates) for each in answers)),
        b"" if nonce is None else der.context(1, der.sequence(_nonce(nonce))),
    )
    chain = der.context(0, der.sequence(certificates.der(responder.certificate)))
    basic = der.sequence(content, *signed(content, responder.key), chain)
    return der.sequence(_status_code(_SUCCESSFUL), der.context(0, der.sequence(_BASIC, der.octet_string(basic))))


def failure(why: Failure) -> bytes:
    """The response without an answer, which nobody signs."""
    return der.sequence(_status_code(why))


def _status_code(code: int) -> bytes:
    return der.element(0x0A, bytes((code,)))


def _status(status: Standing | Revocation) -> bytes:
    if isinstance(status, Standing):
        return status.value
    reason = der.context(0, _status_code(status.reason)) if status.reason is not CRLReason.unspecified else b""
    return der.context(1, der.generalized_time(status.since) + reason)


def _nonce(nonce: bytes) -> bytes:
    return der.sequence(der.oid(NONCE), der.octet_string(der.octet_string(nonce)))


def _key_hash(certificate: x509.Certificate) -> bytes:
    """How a ResponderID names a key: by SHA-1, and nothing else (RFC 6960 section 4.2.1)."""
    return hashlib.sha1(IssuerName.of(certificate).key, usedforsecurity=False).digest()
