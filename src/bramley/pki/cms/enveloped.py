"""EnvelopedData (RFC 5652 section 6): content for the holders of RSA keys. BER in, DER out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import oids
from bramley.pki.cms import algorithms, ber, certificate_ids, content_info, der, values
from bramley.pki.cms.algorithms import CIPHERS, CIPHERS_BY_OID, SINGLE_DES, ContentCipher
from bramley.pki.cms.ber import Limits, Node, Source
from bramley.pki.cms.errors import CipherNotAllowed, DecryptionFailed, Malformed, NotForUs, Refused

_PKCS1V15: Final = padding.PKCS1v15()
_ENCRYPTED_CONTENT: Final = 0x80
_KEY_IDENTIFIER: Final = 0x80


@dataclass(frozen=True, slots=True)
class Decrypted:
    """What was in an EnvelopedData. Decryption proves nothing about who sent it."""

    content: bytes
    cipher: str
    content_type: str


@dataclass(frozen=True, slots=True)
class _Envelope:
    """An EnvelopedData as sent: its recipients, and the encrypted content with its cipher and initialisation vector."""

    recipients: list[Node]
    content_type: str
    cipher: ContentCipher
    iv: bytes
    encrypted: bytes


def decrypt(
    data: bytes,
    *,
    key: rsa.RSAPrivateKey,
    certificate: x509.Certificate,
    allow_single_des: bool = False,
    limits: Limits = ber.DEFAULT_LIMITS,
) -> Decrypted:
    """Open a ContentInfo of type EnvelopedData that names `certificate`, whose private key is `key`.

    Raises `Malformed` for a structure or cipher that we do not read, `NotForUs` when no recipient is this certificate, and one
    and the same `DecryptionFailed` for whatever goes wrong from the key transport on: a message that opens under a wrong key
    must look like any other (RFC 3218 section 2.3). RSAES-PKCS1-v1_5 is the only key transport (RFC 3370 section 4.2.1).
    """
    envelope = _parse(Source(data, limits), allow_single_des)
    encrypted_key = _key_for(envelope.recipients, certificate)
    try:
        content_key = key.decrypt(encrypted_key, _PKCS1V15)
    except ValueError:
        content_key = b""
    if len(content_key) != envelope.cipher.key_size:
        # go on with a key of our own, so that a bad key and a bad padding cannot be told apart, by message or by time
        content_key = os.urandom(envelope.cipher.key_size)
    decryptor = Cipher(envelope.cipher.algorithm(content_key), CBC(envelope.iv)).decryptor()
    padded = decryptor.update(envelope.encrypted) + decryptor.finalize()
    unpadder = PKCS7(envelope.cipher.block_size * 8).unpadder()
    try:
        content = unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise DecryptionFailed(
            "The message names our certificate and does not open with its key.",
            advice="Check that the sender encrypts to the certificate that is now in use.",
        ) from None
    return Decrypted(content, envelope.cipher.name, envelope.content_type)


def is_for(data: bytes, certificate: x509.Certificate, *, limits: Limits = ber.DEFAULT_LIMITS) -> bool:
    """Whether a ContentInfo of type EnvelopedData names the certificate as a recipient; False for what is none."""
    try:
        _key_for(_parse(Source(data, limits), allow_single_des=True).recipients, certificate)
    except (Malformed, NotForUs):
        return False
    return True


def serials(data: bytes, *, limits: Limits = ber.DEFAULT_LIMITS) -> tuple[int, ...]:
    """The serial numbers by which an EnvelopedData names recipients' certificates, in its order. Raises as `decrypt`."""
    recipients = _parse(Source(data, limits), allow_single_des=True).recipients
    ids = [each.children[1] for each in recipients if each.tag == ber.SEQUENCE and len(each.children) > 1]
    named = (each for each in ids if each.tag == ber.SEQUENCE)
    return tuple(certificate_ids.read_issuer_and_serial(each.source, each.body, each.stop)[1] for each in named)


def encrypt(
    content: bytes,
    *,
    recipients: Sequence[x509.Certificate],
    cipher: str = "aes-256-cbc",
    allow_single_des: bool = False,
    content_type: str = oids.DATA,
) -> bytes:
    """A ContentInfo with an EnvelopedData that each of the recipients can open, DER.

    Recipients are named by issuer and serial number. Raises `Refused` for a cipher that we do not write (single DES only when
    a client can do nothing else and the caller allows it) and for a recipient whose key is not RSA.
    """
    chosen = CIPHERS.get(cipher)
    if chosen is None or (cipher == SINGLE_DES and not allow_single_des):
        raise Refused(f"Cannot encrypt with {cipher}.", advice="Use aes-128-cbc, aes-192-cbc, aes-256-cbc or des-ede3-cbc.")
    if not recipients:
        raise Refused("An EnvelopedData needs a recipient; none was given.")
    content_key, iv = os.urandom(chosen.key_size), os.urandom(chosen.block_size)
    padder = PKCS7(chosen.block_size * 8).padder()
    encryptor = Cipher(chosen.algorithm(content_key), CBC(iv)).encryptor()
    encrypted = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
    enveloped_data = der.sequence(
        der.integer(0),
        der.set_of([_recipient_info(recipient, content_key) for recipient in recipients]),
        der.sequence(
            der.oid(content_type),
            algorithms.identifier(chosen.oid, der.octet_string(iv)),
            der.context(0, encrypted, constructed=False),
        ),
    )
    return content_info.wrap(oids.ENVELOPED_DATA, enveloped_data)


def _recipient_info(certificate: x509.Certificate, content_key: bytes) -> bytes:
    """KeyTransRecipientInfo, version 0 (RFC 5652 section 6.2.1)."""
    public_key = certificate.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise Refused(
            "Cannot encrypt to a key that is not RSA.", advice="Give the recipient an RSA identity for encryption besides."
        )
    return der.sequence(
        der.integer(0),
        certificate_ids.write_issuer_and_serial(certificate),
        algorithms.identifier(oids.RSA_ENCRYPTION, der.null()),
        der.octet_string(public_key.encrypt(content_key, _PKCS1V15)),
    )


def _parse(source: Source, allow_single_des: bool) -> _Envelope:
    """EnvelopedData; everything that can be judged without the key is judged here."""
    parts = ber.elements(source, *content_info.enter(source, oids.ENVELOPED_DATA))
    at = 2 if len(parts) > 1 and parts[1].tag == 0xA0 else 1
    if len(parts) not in (at + 2, at + 3) or parts[0].tag != ber.INTEGER or parts[at].tag != ber.SET:
        raise Malformed("An EnvelopedData should hold a version, recipients and encrypted content; this one does not.")
    if len(parts) == at + 3 and parts[-1].tag != 0xA1:
        raise ber.unexpected(parts[-1], "[1] unprotected attributes")
    content = ber.sequence(parts[at + 1], "EncryptedContentInfo")
    if len(content) != 3:
        raise Malformed("An EncryptedContentInfo should hold a type, a cipher and [0] content; this one does not.")
    oid, parameters = algorithms.read_identifier(content[1])
    cipher = CIPHERS_BY_OID.get(oid)
    if cipher is None or (cipher.name == SINGLE_DES and not allow_single_des):
        raise CipherNotAllowed(f"The content cipher {cipher.name if cipher else oid} is not one that is read here.")
    if parameters is None:
        raise Malformed(f"The cipher {cipher.name} should come with an initialisation vector; it has none.")
    iv, encrypted = values.octets(parameters), values.octets(content[2], _ENCRYPTED_CONTENT)
    if len(iv) != cipher.block_size or not encrypted or len(encrypted) % cipher.block_size:
        raise Malformed(f"The vector or the content is not made of whole blocks of {cipher.name}.")
    return _Envelope(parts[at].children, values.oid(content[0]), cipher, iv, encrypted)


def _key_for(recipients: list[Node], certificate: x509.Certificate) -> bytes:
    """The encrypted content key of the first recipient that is `certificate`; other kinds of recipient are passed over."""
    ours = certificate_ids.issuer_and_serial(certificate.public_bytes(Encoding.DER))
    for recipient in recipients:
        if recipient.tag != ber.SEQUENCE:
            continue
        parts = recipient.children
        if len(parts) != 4 or parts[0].tag != ber.INTEGER:
            raise Malformed(f"The KeyTransRecipientInfo at octet {recipient.start} should have four elements.")
        name = parts[1]
        if name.tag == ber.SEQUENCE:
            named = certificate_ids.read_issuer_and_serial(name.source, name.body, name.stop) == ours
        else:
            ski = values.octets(name, _KEY_IDENTIFIER)
            named = certificate_ids.subject_key_identifier(certificate) == ski
        if not named:
            continue
        transport = algorithms.read_plain_identifier(parts[2].raw)
        if transport != oids.RSA_ENCRYPTION:
            raise Malformed(f"Expected a content key under RSAES-PKCS1-v1_5 ({oids.RSA_ENCRYPTION}); found {transport}.")
        return values.octets(parts[3])
    raise NotForUs(
        f"None of the message's {len(recipients)} recipients is our certificate.",
        advice="Check that the sender encrypts to the certificate that is now in use.",
    )
