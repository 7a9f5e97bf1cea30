"""One enrolment as its client sees it (RFC 8894 sections 3.3.1, 3.3.2): the request it sends, the CertRep it accepts. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.errors import BadInput
from bramley.pki import certificates, chains, cms, csr, keys, oids
from bramley.pki.cms import certificate_ids
from bramley.pki.errors import BadCertificate, ChainError
from bramley.pki.scep import attributes
from bramley.pki.scep.errors import BadReply, MalformedMessage, Pending, Refused
from bramley.pki.scep.messages import FailInfo, MessageType, PKIStatus

_DAY: Final = timedelta(days=1)
_STATUSES: Final = {str(int(status)): status for status in PKIStatus}
_FAIL_INFOS: Final = {str(int(fail_info)): fail_info for fail_info in FailInfo}


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs a request and opens the answer: a live identity when renewing, otherwise a temporary self-signed one."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A request as sent (`message`), and what its answer is held against. `recipient` is the CA, or the RA in front of it."""

    message: bytes
    transaction_id: str
    sender_nonce: bytes
    signer: Signer
    public_key: keys.PublicKey
    ca: x509.Certificate
    recipient: x509.Certificate
    digest: str


def transaction_id(public_key: keys.PublicKey) -> str:
    """Names a transaction by its key, as RFC 8894 section 3.2.1.1 suggests and Apple's clients do.

    Upper hexadecimal SHA-1 of the PKCS#1 RSAPublicKey; of an EC key, for which Apple has no form, SHA-256 of its SPKI.
    """
    if isinstance(public_key, rsa.RSAPublicKey):
        pkcs1 = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
        return hashlib.sha1(pkcs1, usedforsecurity=False).hexdigest().upper()
    return keys.spki_sha256(public_key).upper()


def temporary_signer(key: rsa.RSAPrivateKey, subject: x509.Name, *, now: datetime) -> Signer:
    """A self-signed certificate for a first enrolment (RFC 8894 section 2.3): the CSR's subject, a day back and forth."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
    )
    return Signer(builder.sign(key, hashes.SHA256()), key)


def signer_for(
    key: keys.PrivateKey,
    subject: x509.Name,
    given: tuple[x509.Certificate, keys.PrivateKey] | None,
    *,
    renewal: bool,
    now: datetime,
) -> Signer:
    """The signer given, or else a temporary one of the key itself. Raises BadInput where there can be none."""
    if given is None:
        if renewal:
            raise BadInput("A RenewalReq is signed by the identity to be renewed; none was given.", advice="Give it as signer.")
        if isinstance(key, rsa.RSAPrivateKey):
            return temporary_signer(key, subject, now=now)
    elif isinstance(given[1], rsa.RSAPrivateKey):
        return Signer(given[0], given[1])
    raise BadInput(
        "SCEP answers are encrypted to an RSA key (RFC 8894 section 3.2.2); the signer's key is on a curve.",
        advice="Give a signer with an RSA key: the CSR's own may be EC.",
    )


def request(
    csr_der: bytes,
    *,
    signer: Signer,
    ca: x509.Certificate,
    ra: x509.Certificate | None = None,
    renewal: bool = False,
    now: datetime,
    digest: str = "sha256",
    cipher: str = "aes-256-cbc",
) -> Enrollment:
    """A PKCSReq, or a RenewalReq, around the CSR, encrypted to the RA or else the CA. Raises BadRequest for a bad CSR."""
    public_key = csr.load(csr_der).public_key
    recipient = ra or ca
    nonce = attributes.new_nonce()
    name = transaction_id(public_key)
    message = cms.sign(
        cms.encrypt(csr_der, recipients=[recipient], cipher=cipher),
        key=signer.key,
        certificate=signer.certificate,
        digest=digest,
        allow_sha1=digest == "sha1",
        signing_time=now,
        attributes=attributes.encode(
            transaction_id=name,
            message_type=MessageType.RenewalReq if renewal else MessageType.PKCSReq,
            sender_nonce=nonce,
        ),
    )
    return Enrollment(message, name, nonce, signer, public_key, ca, recipient, digest)


def accept(
    reply: bytes, sent: Enrollment, *, now: datetime, skew: timedelta = timedelta(), allow_legacy: bool = False
) -> tuple[x509.Certificate, ...]:
    """The certificates in a CertRep SUCCESS, ours first.

    It has to be signed by whom we wrote to, to name our transaction and our nonce, and to hold a certificate for our key that
    the CA issued and that is valid `now` (aware), give or take `skew`. SHA-1 is taken where we sent it ourselves; SHA-1 and
    single DES always with `allow_legacy`, for servers that know no other way to answer. Raises BadReply where that is not so,
    Refused and Pending where the CA, so proven, says so.
    """
    verified = _verified(reply, sent, allow_legacy)
    try:
        kind = attributes.text(verified.attributes, oids.SCEP_MESSAGE_TYPE)
        name = attributes.text(verified.attributes, oids.SCEP_TRANSACTION_ID)
        nonce = attributes.nonce(verified.attributes, oids.SCEP_RECIPIENT_NONCE)
        status = _STATUSES.get(attributes.text(verified.attributes, oids.SCEP_PKI_STATUS) or "")
        fail_info = _FAIL_INFOS.get(attributes.text(verified.attributes, oids.SCEP_FAIL_INFO) or "")
        text = attributes.text(verified.attributes, oids.SCEP_FAIL_INFO_TEXT)
    except MalformedMessage as error:
        raise BadReply(error.message) from error
    if kind != str(int(MessageType.CertRep)):
        raise BadReply(f"Expected a CertRep (messageType 3); {(kind or 'none')[:20]!r} came.")
    if name != sent.transaction_id or nonce != sent.sender_nonce:
        raise BadReply("Expected the answer to our request; this one has another transactionID or recipientNonce.")
    if status is PKIStatus.FAILURE:
        raise Refused(fail_info, text)
    if status is PKIStatus.PENDING:
        raise Pending("Expected a certificate; the CA answers that it is pending.", advice="Ask its operator to approve it.")
    if status is not PKIStatus.SUCCESS:
        raise BadReply("Expected a pkiStatus of 0, 2 or 3 (RFC 8894 section 3.2.1.3).")
    return _certificates(verified.content, sent, now, skew, allow_legacy)


def _verified(reply: bytes, sent: Enrollment, allow_legacy: bool) -> cms.VerifiedSignature:
    """The outer SignedData, signed by the certificate that we wrote to and no other, with a digest that we take."""
    recipient = certificates.der(sent.recipient)
    policy = replace(cms.STRICT, digests=cms.STRICT.digests | ({sent.digest, "sha1"} if allow_legacy else {sent.digest}))
    try:
        message = cms.parse_signed_data(reply)
        verified = cms.verify(
            message,
            # a FAILURE or PENDING has no content, or one of no octets
            content=b"" if message.content is None else None,
            policy=policy,
            extra_certificates=[recipient],
        )
    except cms.CMSError as error:
        raise BadReply(f"Expected a CertRep that the CA signed. {error.message}") from error
    if verified.certificate != recipient:
        raise BadReply("Expected a CertRep signed by the certificate that the request was encrypted to; another signed it.")
    return verified


def _certificates(
    envelope: bytes, sent: Enrollment, now: datetime, skew: timedelta, allow_legacy: bool
) -> tuple[x509.Certificate, ...]:
    signer = sent.signer
    try:
        opened = cms.decrypt(envelope, key=signer.key, certificate=signer.certificate, allow_single_des=allow_legacy)
        found = [certificate_ids.load(der) for der in cms.parse_certs_only(opened.content)]
        ours = [each for each in found if certificates.matches(each, sent.public_key)]
    except (cms.CMSError, BadCertificate) as error:
        raise BadReply(f"Expected certificates encrypted to us. {error.message}") from error
    if len(ours) != 1:
        raise BadReply(f"Expected one certificate for our key among {len(found)}; found {len(ours)}.")
    try:
        chains.verify(ours[0], intermediates=(), anchors=[sent.ca], at=now, skew=skew)
    except ChainError as error:
        raise BadReply(f"Expected a certificate that the CA issued. {error.message}") from error
    return (ours[0], *(each for each in found if each is not ours[0]))
