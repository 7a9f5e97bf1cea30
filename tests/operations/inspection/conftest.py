"""Files of every sort that an MDM administrator meets, made once."""

from __future__ import annotations

import json
import textwrap
from base64 import b64encode, encodebytes
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bramley.apple.push_certificate import customer_request, encryption_certificate, sign_request, vendor_identity
from bramley.mdm import plist
from bramley.pki import certificates, cms, csr, keys, names, pkcs12
from bramley.pki.ca import profiles as kinds
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.certificates import sha256
from bramley.pki.keys import KeyAlgorithm
from bramley.profiles import payloads
from bramley.profiles.build import Profile
from bramley.sandbox.apple_ca import SandboxAppleCA
from tests.conftest import NOW

TOPIC = "com.apple.mgmt.External.0a1b2c3d"
SECRETS = (
    "OAUTH-SECRET",
    "CONSUMER-KEY",
    "ACCESS-TOKEN",
    "VPP-SECRET",
    "CHALLENGE-SECRET",
    "PUSHMAGIC-SECRET",
    "P12-SECRET",
    "pass word",
)
PASSWORD = "pass word"


@pytest.fixture(scope="session")
def roots(apple: SandboxAppleCA) -> frozenset[str]:
    return frozenset({sha256(apple.root)})


@pytest.fixture(scope="session")
def files(apple: SandboxAppleCA, push_key: Any, device_keys: list[Any]) -> dict[str, bytes]:
    rsa_key, other_key, ca_key = device_keys
    push = apple.issue_push_certificate(push_key.public_key(), topic=TOPIC, now=NOW)
    vendor = apple.issue_vendor_certificate(rsa_key.public_key(), organization="Orchard", now=NOW)
    request = customer_request(push_key, common_name="Orchard School", email="mdm@orchard.example")
    chain = (vendor, apple.wwdr["G3"].certificate, apple.root)
    signed = sign_request(request, vendor_identity(vendor, rsa_key, NOW), chain, roots=frozenset({sha256(apple.root)}), now=NOW)
    authority = Authority(self_signed(kinds.ROOT_CA, ca_key, names.make("Orchard Root"), now=NOW), ca_key)
    device = issue(
        authority, kinds.DEVICE_IDENTITY, other_key.public_key(), subject=names.make("F2LX0001", uid="device-1"), now=NOW
    )
    https = issue(
        authority, kinds.HTTPS_SERVER, other_key.public_key(), subject=names.make("mdm.orchard.example"), now=NOW,
        sans=(x509.DNSName("mdm.orchard.example"),),
    )  # fmt: skip
    signer = issue(authority, kinds.PROFILE_SIGNER, other_key.public_key(), subject=names.make("Orchard signer"), now=NOW)
    reply = encryption_certificate(rsa_key, NOW)
    bundle = pkcs12.Bundle(push_key, push, (apple.intermediate,))
    enveloped = cms.encrypt(signed.to_file(), recipients=[reply])
    token = json.dumps(
        {"consumer_key": "CONSUMER-KEY", "consumer_secret": "OAUTH-SECRET", "access_token": "ACCESS-TOKEN",
         "access_secret": "OAUTH-SECRET", "access_token_expiry": "2027-01-31T12:00:00Z"}
    ).encode()  # fmt: skip
    ade = cms.encrypt(b"Content-Type: text/plain\r\n\r\n" + token, recipients=[reply], cipher="des-ede3-cbc")
    apps = b64encode(
        json.dumps({"token": "VPP-SECRET", "expDate": "2026-11-20T01:02:03+0000", "orgName": "Orchard School"}).encode()
    )
    profile = _profile(authority.certificate).to_bytes()
    encrypted = plist.dumps(
        {"PayloadType": "Configuration", "PayloadIdentifier": "a", "PayloadOrganization": "Orchard", "IsEncrypted": True,
         "EncryptedPayloadContent": cms.encrypt(b"<plist/>", recipients=[device])}
    )  # fmt: skip
    signed_profile = cms.sign(profile, key=other_key, certificate=signer, others=[authority.certificate], signing_time=NOW)
    place = signed_profile.index(b"Orchard Wi-Fi")
    detached = cms.sign(b"<plist/>", key=other_key, certificate=device, signing_time=NOW, detached=True)
    revocations = (
        x509.CertificateRevocationListBuilder(authority.certificate.subject, NOW - timedelta(days=9), NOW - timedelta(days=2))
        .add_revoked_certificate(x509.RevokedCertificateBuilder(7, NOW - timedelta(days=9)).build())
        .sign(ca_key, hashes.SHA256())
    )  # fmt: skip
    pem_key = push_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    broken_request = bytearray(csr.build(other_key, names.make("F2LX0001")))
    broken_request[-1] ^= 1
    swapped = sign_request(
        customer_request(other_key, common_name="Another", email="a@b.example"),
        vendor_identity(vendor, rsa_key, NOW), chain, roots=frozenset({sha256(apple.root)}), now=NOW,
    )  # fmt: skip
    return {
        "push.pem": certificates.pem(push),
        "push.der": certificates.der(push),
        "push and key": certificates.pem(push) + pem_key,
        "vendor": certificates.der(vendor),
        "wwdr": certificates.pem(apple.wwdr["G3"].certificate),
        "root": certificates.pem(authority.certificate),
        "device": certificates.pem(device),
        "https": certificates.pem(https),
        "signer": certificates.pem(signer),
        "mdmcert certificate": certificates.pem(reply),
        "p12": pkcs12.write(bundle, PASSWORD),
        "key": pem_key,
        "locked key": push_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode())),
        "public key": push_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "ssh": push_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "request": request.public_bytes(Encoding.PEM),
        "broken request": bytes(broken_request),
        "push request": signed.to_file(),
        "push request, wrapped": "\r\n".join(textwrap.wrap(signed.to_file().decode(), 76)).encode(),
        "push request, other signature": type(signed)(signed.csr, signed.chain, swapped.signature).to_file(),
        "mdmcert reply": "\n".join(textwrap.wrap(enveloped.hex(), 80)).encode() + b"\n",
        "enveloped": enveloped,
        "ADE token": b"Content-Type: application/pkcs7-mime\r\nMIME-Version: 1.0\r\n\r\n" + encodebytes(ade),
        "ADE token, decrypted": b"Content-Type: text/plain\n\n-----BEGIN MESSAGE-----\n" + token + b"\n-----END MESSAGE-----\n",
        "ADE token, JSON": token,
        "Apps and Books": apps,
        "profile": profile,
        "signed profile": signed_profile,
        "signed profile, changed": signed_profile[:place] + b"o" + signed_profile[place + 1 :],
        "encrypted profile": encrypted,
        "Mdm-Signature": b64encode(detached),
        "detached": detached,
        "p7b": cms.certs_only([device, authority.certificate]),
        "CRL": revocations.public_bytes(Encoding.DER),
        "TokenUpdate": plist.dumps({"MessageType": "TokenUpdate", "PushMagic": "PUSHMAGIC-SECRET", "Token": b"t"}),
        "binary plist": b"bplist00\xd0\x08",
        "HTML": b"<html><title>Sign in</title></html>",
        "JSON": b'{"devices": []}',
        "empty": b"",
        "text": b"to be or not to be",
        "cut": certificates.der(push)[:300],
    }  # fmt: skip


def _profile(anchor: x509.Certificate) -> Profile:
    common: Any = {"identifier": "example.orchard.a", "display_name": "Orchard Wi-Fi"}
    scep = payloads.SCEPPayload(
        **common, uuid="1", url="https://mdm.orchard.example/scep?challenge=CHALLENGE-SECRET", challenge="CHALLENGE-SECRET",
        subject=((("CN", "a"),),), name="Orchard",
    )  # fmt: skip
    mdm = payloads.MDMPayload(
        **common, uuid="2", identity_uuid="1", topic=TOPIC, server_url="https://mdm.orchard.example/mdm/connect",
        check_in_url="https://mdm.orchard.example/mdm/checkin",
    )  # fmt: skip
    root = payloads.RootCertificatePayload(**common, uuid="3", certificate=certificates.der(anchor))
    return Profile("example.orchard", "4", "Orchard enrollment", "Orchard School", (root, scep, mdm))


@pytest.fixture(scope="session")
def p256() -> keys.PrivateKey:
    return keys.generate(KeyAlgorithm.P_256)
