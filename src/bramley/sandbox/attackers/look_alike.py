"""Somebody with a CA of their own, which bears the name of the server's: names prove nothing, keys do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bramley.clock import Clock
from bramley.pki import cms
from bramley.sandbox import signature
from bramley.sandbox.attackers.attempts import Attempt, Target, every_message, send, try_all
from bramley.sandbox.device import SimulatedDevice, messages
from bramley.sandbox.device.identity import DeviceIdentity
from bramley.sandbox.signature import Identity

_DAY = timedelta(days=1)
_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


async def look_alike_ca(
    attacker: SimulatedDevice,
    victim: DeviceIdentity,
    clock: Clock,
    *,
    genuine_ca: x509.Certificate,
    genuine_leaf: x509.Certificate | None = None,
    tls_base: str | None = None,
) -> AsyncIterator[Attempt]:
    """Every message in the victim's name, with certificates that only look right.

    The attacker's device lends its connection and knows the server's addresses. `genuine_ca` is the server's identity CA,
    which is public; `genuine_leaf`, the victim's certificate if the attacker has seen it, gives name and serial number away.
    """
    now = clock.now()
    target = Target(attacker.mdm, tls_base)
    tries = every_message(messages.sender(victim), victim, target.mdm.topic)
    ca_key, key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    ca = _copy_of_ca(genuine_ca, ca_key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, victim.udid)])
    serial = x509.random_serial_number()
    if genuine_leaf is not None:
        subject, serial = genuine_leaf.subject, genuine_leaf.serial_number
    by_name = Identity(_leaf(subject, serial, ca, key, ca_key, now), key)
    alone = Identity(_leaf(subject, serial, None, key, key, now), key)
    named = Identity(_leaf(subject, serial, ca, key, key, now), key)
    identities = {
        "a certificate of a CA with the same name": by_name,
        "a self-signed certificate": alone,
        "a certificate signed by itself that names the CA": named,
        "the look-alike CA itself": Identity(ca, ca_key),
    }
    for description, identity in identities.items():
        async for attempt in try_all(attacker.transport, target, tries, identity, description, now):
            yield attempt
    for name, content_type, message in tries:
        body = messages.encode(message)
        headers = _with_chain(body, by_name, ca, now)
        description = f"a certificate of a CA with the same name and that CA beside it: {name}"
        yield await send(attacker.transport, target.url(content_type), content_type, body, headers, description)
    if genuine_leaf is not None:
        for name, content_type, message in tries:
            body = messages.encode(message)
            headers = _in_anothers_name(body, key, genuine_leaf)
            description = f"the victim's own certificate with a signature by another key: {name}"
            yield await send(attacker.transport, target.url(content_type), content_type, body, headers, description)


def _with_chain(body: bytes, identity: Identity, ca: x509.Certificate, now: datetime) -> dict[str, str]:
    message = cms.sign(body, key=identity.key, certificate=identity.certificate, others=[ca], detached=True, signing_time=now)
    return {signature.HEADER: base64.b64encode(message).decode()}


def _in_anothers_name(body: bytes, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> dict[str, str]:
    message = signature.without_attributes(certificate, key.sign(body, padding.PKCS1v15(), hashes.SHA256()))
    return {signature.HEADER: base64.b64encode(message).decode()}


def _copy_of_ca(genuine: x509.Certificate, key: rsa.RSAPrivateKey) -> x509.Certificate:
    """Everything as in the genuine one, key identifiers and serial number included; only the key is another."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(genuine.subject)
        .issuer_name(genuine.issuer)
        .public_key(key.public_key())
        .serial_number(genuine.serial_number)
        .not_valid_before(genuine.not_valid_before_utc)
        .not_valid_after(genuine.not_valid_after_utc)
    )
    for extension in genuine.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    return builder.sign(key, hashes.SHA256())


def _leaf(
    subject: x509.Name,
    serial: int,
    ca: x509.Certificate | None,
    key: rsa.RSAPrivateKey,
    signing_key: rsa.RSAPrivateKey,
    now: datetime,
) -> x509.Certificate:
    """What the identity CA issues to devices, from anybody; without a CA it names itself as issuer."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if ca is None else ca.subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 300 * _DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
