"""CertRep, the answer to whatever a client asks (RFC 8894 section 3.3.2), in the shape that Apple's clients are known to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from bramley.pki import certificates, cms
from bramley.pki.scep import attributes
from bramley.pki.scep.errors import WrongCertificate
from bramley.pki.scep.messages import FailInfo, MessageType, Opened, PKIStatus, Request, Transaction
from bramley.pki.scep.requests import Responder

_ANSWER_CIPHERS: Final = {"des-cbc": "des-ede3-cbc"}
"""Who asks with single DES is answered with triple DES, which every such client reads. Other ciphers answer for themselves."""


def success(asked: Opened, responder: Responder, certificate: x509.Certificate, *, now: datetime) -> bytes:
    """A CertRep SUCCESS with the certificate that was requested, polled for or asked for.

    It is encrypted to the message's signer in the message's own cipher. The leaf is alone inside and first outside: iOS takes
    the first certificate of the SignedData for its own ("mismatching public keys", error 22008). `now` (aware) is the
    signingTime. Raises WrongCertificate if a request is for another key.
    """
    if isinstance(asked, Request) and not certificates.matches(certificate, asked.csr.public_key):
        raise WrongCertificate("Expected to answer with a certificate for the key in the CSR; this one is for another key.")
    inside = cms.certs_only([certificate])
    return _found(asked, responder, inside, enclosed=[certificate, responder.certificate], now=now)


def crl(asked: Opened, responder: Responder, published: bytes, *, now: datetime) -> bytes:
    """A CertRep SUCCESS with a CRL (DER) and nothing else inside, the answer to GetCRL."""
    return _found(asked, responder, cms.certs_only([], crls=[published]), enclosed=[responder.certificate], now=now)


def pending(transaction: Transaction, responder: Responder, *, now: datetime) -> bytes:
    """A CertRep PENDING: the request is kept, and the client is to ask again. Empty like a FAILURE, for the same reason."""
    return _cert_rep(transaction, responder, b"", PKIStatus.PENDING, enclosed=[responder.certificate], now=now)


def failure(
    transaction: Transaction, responder: Responder, fail_info: FailInfo, *, now: datetime, text: str | None = None
) -> bytes:
    """A CertRep FAILURE to a request, or to the `transaction` of an error; `text` is for people (failInfoText).

    The pkcsPKIEnvelope is left out (RFC 8894 section 3.3.2.2): the content is an OCTET STRING of no octets. It is not absent
    altogether, because OpenSSL's PKCS7_verify, and so certmonger, cannot verify a message without content.
    """
    return _cert_rep(
        transaction,
        responder,
        b"",
        PKIStatus.FAILURE,
        enclosed=[responder.certificate],
        now=now,
        fail_info=fail_info,
        fail_info_text=text,
    )


def _found(asked: Opened, responder: Responder, content: bytes, *, enclosed: Sequence[x509.Certificate], now: datetime) -> bytes:
    cipher = _ANSWER_CIPHERS.get(asked.cipher, asked.cipher)
    envelope = cms.encrypt(content, recipients=[asked.signer_certificate], cipher=cipher)
    return _cert_rep(asked, responder, envelope, PKIStatus.SUCCESS, enclosed=enclosed, now=now)


def _cert_rep(
    transaction: Transaction,
    responder: Responder,
    content: bytes,
    status: PKIStatus,
    *,
    enclosed: Sequence[x509.Certificate],
    now: datetime,
    fail_info: FailInfo | None = None,
    fail_info_text: str | None = None,
) -> bytes:
    return cms.sign(
        content,
        key=responder.key,
        certificate=responder.certificate,
        certificates=enclosed,
        # a client that signs with SHA-1 may know nothing newer
        digest=transaction.digest,
        allow_sha1=transaction.digest == "sha1",
        signing_time=now,
        attributes=attributes.encode(
            transaction_id=transaction.transaction_id,
            message_type=MessageType.CertRep,
            sender_nonce=attributes.new_nonce(),
            recipient_nonce=transaction.sender_nonce,
            status=status,
            fail_info=fail_info,
            fail_info_text=fail_info_text,
        ),
    )
