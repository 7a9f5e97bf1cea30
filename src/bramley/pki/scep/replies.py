"""CertRep, the answer to a request (RFC 8894 section 3.3.2), in the shape that Apple's clients are known to read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from bramley.pki import certificates, cms
from bramley.pki.scep import attributes
from bramley.pki.scep.errors import WrongCertificate
from bramley.pki.scep.messages import FailInfo, MessageType, PKIStatus, Request, Transaction
from bramley.pki.scep.requests import Responder

_ANSWER_CIPHERS: Final = {"des-cbc": "des-ede3-cbc"}
"""Who asks with single DES is answered with triple DES, which every such client reads. Other ciphers answer for themselves."""


def success(request: Request, responder: Responder, issued: x509.Certificate, *, now: datetime) -> bytes:
    """A CertRep SUCCESS with the issued certificate, encrypted to the request's signer in the request's own cipher.

    The leaf is alone inside and first outside: iOS takes the first certificate of the SignedData for its own ("mismatching
    public keys", error 22008). `now` (aware) is the signingTime. Raises WrongCertificate if `issued` is for another key.
    """
    if not certificates.matches(issued, request.csr.public_key):
        raise WrongCertificate("Expected to answer with a certificate for the key in the CSR; this one is for another key.")
    envelope = cms.encrypt(
        cms.certs_only([issued]),
        recipients=[request.signer_certificate],
        cipher=_ANSWER_CIPHERS.get(request.cipher, request.cipher),
    )
    return _cert_rep(request, responder, envelope, PKIStatus.SUCCESS, enclosed=[issued, responder.certificate], now=now)


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
