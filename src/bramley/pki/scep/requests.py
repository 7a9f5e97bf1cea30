"""Opening what a client sends (RFC 8894 section 3.3), and of it a PKCSReq or RenewalReq: who asks, and for which key.

The order is part of the safety: nothing is decrypted before the outer signature held and the message type was allowed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates, cms, csr, keys, oids
from bramley.pki.cms import certificate_ids
from bramley.pki.errors import BadCertificate, BadKey, BadRequest
from bramley.pki.scep import attributes
from bramley.pki.scep.errors import (
    AlgorithmRefused,
    BadProof,
    MalformedMessage,
    MessageTypeRefused,
    ResponderExpired,
    WrongRecipient,
)
from bramley.pki.scep.messages import MessageType, Request, Transaction

MESSAGE_LIMITS: Final = cms.Limits(size=1024 * 1024, depth=32, elements=5_000)
"""What a message may cost. A PKCSReq has some 3 kB; the edge in front sets a limit of its own."""

ENROLLING: Final = frozenset({MessageType.PKCSReq, MessageType.RenewalReq})

_TRANSACTION_ID_CHARACTERS: Final = range(1, 255 + 1)
_ALGORITHM_REASONS: Final = frozenset({cms.SignatureReason.ALGORITHM_NOT_ALLOWED, cms.SignatureReason.WEAK_KEY})


@dataclass(frozen=True, slots=True)
class Responder:
    """The server's end of SCEP: whom clients encrypt to and who signs the answers.

    In single-CA mode it is the identity CA itself, in RA mode an RA's certificate with digitalSignature and keyEncipherment.
    """

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """A pkiMessage whose signature held, made by `check_signature`; nothing in it is decrypted, and nobody known yet."""

    message: bytes = field(repr=False)
    verified: cms.VerifiedSignature = field(repr=False)

    @property
    def signer_certificate(self) -> x509.Certificate:
        return certificate_ids.load(self.verified.certificate)


def addressed(signed: SignedMessage, responders: Sequence[Responder]) -> Responder:
    """The first of the responders that the message is encrypted for; the first of all where it is for none of them.

    There are several while a CA or an RA is being replaced: a client writes to the one that it was told of, and expects that
    one to answer.
    """
    if len(responders) == 1:
        return responders[0]
    envelope = signed.verified.content
    named = (each for each in responders if cms.is_for(envelope, each.certificate, limits=MESSAGE_LIMITS))
    return next(named, responders[0])


def open_request(message: bytes | SignedMessage, responder: Responder, *, now: datetime, allow_legacy: bool = False) -> Request:
    """The PKCSReq or RenewalReq in a pkiMessage: signature, envelope and proof of possession checked, its key strong.

    `now` (aware) is held against our own certificate alone, before anything is spent; the validity of a signer certificate
    is the caller's to judge, since self-signed ones come from devices with odd clocks. SHA-1 and triple DES are taken, as
    Apple sends them; single DES only with `allow_legacy`.

    A signature that was checked before is not checked again. Raises a SCEPError; see there which of them can be answered by
    a CertRep.
    """
    require_in_force(responder, now)
    return require_strong_key(read_message(message, responder, allow_legacy=allow_legacy))


def read_message(message: bytes | SignedMessage, responder: Responder, *, allow_legacy: bool = False) -> Request:
    """As `open_request`, judging neither our own dates nor the strength of the key in the CSR: for recorded messages."""
    signed = message if isinstance(message, SignedMessage) else check_signature(message)
    return request_in(open_envelope(signed, responder, ENROLLING, allow_legacy=allow_legacy))


def request_in(opened: Envelope) -> Request:
    """The request in an envelope, its proof of possession checked."""
    try:
        request = csr.load(opened.content)
    except BadRequest as error:
        raise bad_contents(opened.transaction) from error
    return Request(**opened.common(), message_type=opened.kind, csr=request, challenge=request.challenge_password)


def require_strong_key(request: Request) -> Request:
    """The request, once the key in its CSR is worth certifying."""
    try:
        keys.require_strong(request.csr.public_key)
    except BadKey as error:
        raise AlgorithmRefused(error.message, transaction=request, advice=error.advice) from error
    return request


def check_signature(message: bytes) -> SignedMessage:
    """The outer SignedData (RFC 8894 section 3.2), its one signature checked by the certificate it brings along.

    Nothing is decrypted. Raises a SCEPError that has no transaction.
    """
    try:
        verified = cms.verify(
            cms.parse_signed_data(message, limits=MESSAGE_LIMITS),
            policy=cms.SCEP_REQUEST,
            public_key_of=_public_key_of,
        )
    except cms.SignatureInvalid as error:
        refused = AlgorithmRefused if error.reason in _ALGORITHM_REASONS else BadProof
        raise refused(error.message, advice=error.advice) from error
    except (cms.CMSError, BadCertificate) as error:
        raise MalformedMessage(error.message, advice=error.advice) from error
    return SignedMessage(message, verified)


def _public_key_of(signer: bytes) -> keys.PublicKey:
    """Refuses a signer certificate whose names cannot be read before anyone after us trips over them."""
    return certificates.public_key(certificates.require_names(certificate_ids.load(signer)))


def transaction_of(signed: SignedMessage) -> Transaction:
    """What there is to answer to. Without a transactionID there is nothing, and the MalformedMessage has no transaction."""
    verified = signed.verified
    transaction_id = attributes.text(verified.attributes, oids.SCEP_TRANSACTION_ID) or ""
    if len(transaction_id) not in _TRANSACTION_ID_CHARACTERS or not (transaction_id.isascii() and transaction_id.isprintable()):
        raise MalformedMessage("Expected a transactionID of 1 to 255 printable ASCII characters (RFC 8894 section 3.2.1.1).")
    return Transaction(
        transaction_id=transaction_id,
        sender_nonce=attributes.nonce(verified.attributes, oids.SCEP_SENDER_NONCE),
        signer_certificate=signed.signer_certificate,
        digest=verified.digest,
        message_sha256=hashlib.sha256(signed.message).hexdigest(),
    )


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message of an allowed type whose envelope opened: what was in it, and in which cipher."""

    transaction: Transaction
    kind: MessageType
    content: bytes = field(repr=False)
    cipher: str

    def common(self) -> dict[str, Any]:
        """The fields of `messages.Opened`."""
        said = {each.name: getattr(self.transaction, each.name) for each in fields(Transaction)}
        return said | {"cipher": self.cipher}


def open_envelope(signed: SignedMessage, responder: Responder, kinds: Collection[MessageType], *, allow_legacy: bool) -> Envelope:
    """The pkcsPKIEnvelope (RFC 8894 section 3.2.2) opened, once the type is one of `kinds` and the signer can be answered."""
    transaction = transaction_of(signed)
    kind = _allowed_kind(signed, transaction, kinds)
    if not isinstance(certificates.public_key(transaction.signer_certificate), rsa.RSAPublicKey):
        # RFC 8894 section 3.2.2 has the answer encrypted to this key, by key transport
        raise AlgorithmRefused(
            "Expected a message signed by an RSA key, to which the answer can be encrypted; this one is signed by an EC key.",
            transaction=transaction,
            advice="Sign with a temporary RSA key; the CSR's own key may be on a curve.",
        )
    try:
        opened = cms.decrypt(
            signed.verified.content,
            key=responder.key,
            certificate=responder.certificate,
            allow_single_des=allow_legacy,
            limits=MESSAGE_LIMITS,
        )
    except cms.NotForUs as error:
        raise WrongRecipient(
            error.message, transaction=transaction, advice="The client must ask for our CA certificate (GetCACert) again."
        ) from error
    except cms.DecryptionFailed as error:
        raise bad_contents(transaction) from error
    except cms.CipherNotAllowed as error:
        raise AlgorithmRefused(error.message, transaction=transaction, advice="Use AES, or DES3 (GetCACaps).") from error
    except cms.CMSError as error:
        raise MalformedMessage(error.message, transaction=transaction, advice=error.advice) from error
    return Envelope(transaction, kind, opened.content, opened.cipher)


def _allowed_kind(signed: SignedMessage, transaction: Transaction, kinds: Collection[MessageType]) -> MessageType:
    """The messageType, by the exact text of the attribute.

    By what is allowed: a server that matched on what it refuses let UpdateReq in unchallenged.
    """
    try:
        text = attributes.text(signed.verified.attributes, oids.SCEP_MESSAGE_TYPE)
    except MalformedMessage as error:
        raise MalformedMessage(error.message, transaction=transaction) from error
    kind = next((each for each in kinds if str(int(each)) == text), None)
    if kind is None:
        expected = ", ".join(f"{int(each)} ({each.name})" for each in sorted(kinds))
        raise MessageTypeRefused(
            f"Expected a messageType of {expected}; {(text or 'none')[:20]!r} came.", transaction=transaction
        )
    return kind


def require_in_force(responder: Responder, now: datetime) -> None:
    """Raises ResponderExpired where no client could accept an answer."""
    certificate = responder.certificate
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ResponderExpired(
            f"Expected our SCEP certificate to be valid at {now:%Y-%m-%d %H:%M}Z; it is from "
            f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}.",
            advice="Replace the identity CA (or the RA certificate), and check this machine's clock.",
        )


def bad_contents(transaction: Transaction) -> BadProof:
    """One answer for an envelope that does not open and for contents that are not what the type of message promises.

    Anyone may sign a recorded envelope anew. If a changed ciphertext were answered one way when its padding is right and
    another when it is not, that difference would decrypt it, octet by octet, challenge included (Vaudenay 2002, RFC 3218).
    """
    return BadProof(
        "Expected an envelope that opens, around a CSR signed by its own key or the names asked for; this is not.",
        transaction=transaction,
    )
