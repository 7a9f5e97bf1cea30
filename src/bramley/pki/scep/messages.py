"""What SCEP messages say (RFC 8894 section 3.2.1): their types, statuses and reasons, and a message once it was opened."""

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
NEXT_CA_CERTIFICATES_TYPE: Final = "application/x-x509-next-ca-cert"


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
class Opened(Transaction):
    """A message whose envelope opened; `cipher` is the envelope's ("aes-256-cbc", "des-ede3-cbc"…), for the answer."""

    cipher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Opened):
    """A PKCSReq or RenewalReq, opened: signed by its signer certificate, its CSR by the key to be certified.

    The two keys may differ (Apple's do). Nothing is said about who the signer is: of a renewal, the caller demands that the
    signer certificate is a live identity; of a first enrolment, that `challenge` is good.
    """

    message_type: MessageType
    csr: CertificateRequest
    challenge: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll(Opened):
    """A CertPoll (RFC 8894 section 3.3.3): what became of the request of this transaction?

    `issuer` and `subject` are whole DER Names, as they stand in the message.
    """

    issuer: bytes
    subject: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Opened):
    """A GetCert or GetCRL (RFC 8894 section 3.3.4): for a certificate, or the CRL that would tell of its revocation.

    It is named by its issuer (a whole DER Name, as it stands in the message) and serial number.
    """

    message_type: MessageType
    issuer: bytes
    serial: int
