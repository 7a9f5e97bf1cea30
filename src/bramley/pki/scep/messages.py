"""What SCEP messages say (RFC 8894 section 3.2.1): their types, statuses and reasons, and a request once it was opened."""

# The members bear the names that RFC 8894 gives them:
# ruff: noqa: N815

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography import x509

from bramley.pki.csr import CertificateRequest

CA_CERTIFICATE_TYPE: Final = "application/x-x509-ca-cert"
CA_RA_CERTIFICATES_TYPE: Final = "application/x-x509-ca-ra-cert"
PKI_MESSAGE_TYPE: Final = "application/x-pki-message"


class MessageType(IntEnum):
    """RFC 8894 section 3.2.1.2; UpdateReq is from the drafts before it, and some clients still know it."""

    CertRep = 3
    RenewalReq = 17
    UpdateReq = 18
    PKCSReq = 19
    CertPoll = 20
    GetCert = 21
    GetCRL = 22


class PKIStatus(IntEnum):
    """RFC 8894 section 3.2.1.3."""

    SUCCESS = 0
    FAILURE = 2
    PENDING = 3


class FailInfo(IntEnum):
    """Why a CertRep refuses: RFC 8894 section 3.2.1.4."""

    badAlg = 0
    badMessageCheck = 1
    badRequest = 2
    badTime = 3
    badCertId = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """What a CertRep has to repeat or obey, out of a message whose outer signature held.

    `digest` is the one that the sender signed with ("sha1", "sha256", "sha384", "sha512"); `message_sha256` (lower
    hexadecimal) names the message as it came, for telling a message sent twice from a new one.
    """

    transaction_id: str
    sender_nonce: bytes | None
    signer_certificate: x509.Certificate
    digest: str
    message_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Transaction):
    """A PKCSReq or RenewalReq, opened: signed by its signer certificate, its CSR by the key to be certified.

    The two keys may differ (Apple's do). Nothing is said about who the signer is: of a renewal, the caller demands that the
    signer certificate is a live identity; of a first enrolment, that `challenge` is good. `cipher` is the envelope's
    ("aes-256-cbc", "des-ede3-cbc"…).
    """

    message_type: MessageType
    csr: CertificateRequest
    challenge: str | None = field(repr=False)
    cipher: str
