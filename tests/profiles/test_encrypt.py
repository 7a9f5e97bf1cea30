"""Profiles encrypted to one device: OpenSSL opens what we encrypt, nobody else's key does, and nothing goes out in clear."""

from __future__ import annotations

import contextlib
import plistlib
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7

from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.keys import KeyAlgorithm
from bramley.profiles.encrypt import ContentCipher, encrypt, require_recipient
from bramley.profiles.errors import BadPayload, NoRecipient
from bramley.profiles.sign import sign

from .kit import NOW, Signing

SECRET = "correct horse battery"
PROFILE: Mapping[str, Any] = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadIdentifier": "example.wifi",
    "PayloadUUID": "00000000-0000-4000-8000-000000000001",
    "PayloadDisplayName": "Wi-Fi",
    "PayloadContent": [
        {
            "PayloadType": "com.apple.wifi.managed",
            "PayloadVersion": 1,
            "PayloadIdentifier": "example.wifi.1",
            "PayloadUUID": "00000000-0000-4000-8000-000000000002",
            "SSID_STR": "Orchard",
            "Password": SECRET,
        }
    ],
}


@pytest.fixture(scope="module")
def issuing() -> Authority:
    key = keys.generate(KeyAlgorithm.RSA_2048)
    return Authority(self_signed(profiles.ROOT_CA, key, names.make("Orchard Root"), now=NOW), key)


@pytest.fixture(scope="module")
def device_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def device(issuing: Authority, device_key: rsa.RSAPrivateKey) -> x509.Certificate:
    return issue(issuing, profiles.DEVICE_IDENTITY, device_key.public_key(), subject=names.make("device"), now=NOW)


@pytest.mark.parametrize("cipher", list(ContentCipher))
def test_openssl_opens_it_with_the_devices_key(
    device: x509.Certificate, device_key: rsa.RSAPrivateKey, cipher: ContentCipher, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here to decrypt with")
    encrypted = plistlib.loads(encrypt(PROFILE, device, cipher=cipher))
    (tmp_path / "sealed").write_bytes(encrypted["EncryptedPayloadContent"])
    (tmp_path / "device.pem").write_bytes(certificates.pem(device))
    pem = device_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    command = "openssl cms -decrypt -inform DER -in sealed -recip device.pem -inkey key.pem -binary -out payloads"
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert plistlib.loads((tmp_path / "payloads").read_bytes()) == PROFILE["PayloadContent"]
    shown = subprocess.run(
        ["openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "sealed"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert cipher.value in shown.stdout.lower()


def test_what_names_it_stays_and_nothing_else_is_in_clear(device: x509.Certificate, schema: Any) -> None:
    written = encrypt(PROFILE, device)
    encrypted = plistlib.loads(written)
    clear = {key: value for key, value in PROFILE.items() if key != "PayloadContent"}
    assert {key: encrypted[key] for key in clear} == clear
    assert set(encrypted) == {*clear, "IsEncrypted", "EncryptedPayloadContent"}
    assert encrypted["IsEncrypted"] is True
    assert SECRET.encode() not in written
    assert b"com.apple.wifi" not in written
    told = [problem for problem in schema.profile(encrypted) if "PayloadContent" not in str(problem)]
    assert told == []


def test_another_device_cannot_open_it(device: x509.Certificate, device_key: rsa.RSAPrivateKey, issuing: Authority) -> None:
    sealed = plistlib.loads(encrypt(PROFILE, device))["EncryptedPayloadContent"]
    stranger = rsa.generate_private_key(65537, 2048)
    other = issue(issuing, profiles.DEVICE_IDENTITY, stranger.public_key(), subject=names.make("other"), now=NOW)
    assert cms.decrypt(sealed, certificate=device, key=device_key).content
    with pytest.raises(cms.CMSError):
        cms.decrypt(sealed, certificate=other, key=stranger)
    with contextlib.suppress(cms.CMSError):
        # with another key the padding is right once in some hundred times, and then what comes out is noise
        assert cms.decrypt(sealed, certificate=device, key=stranger).content != plistlib.dumps(PROFILE["PayloadContent"])


def test_encrypted_then_signed_verifies_and_opens(
    device: x509.Certificate, device_key: rsa.RSAPrivateKey, signing: Signing
) -> None:
    signed = sign(encrypt(PROFILE, device), certificate=signing.signer, key=signing.key, chain=(signing.ca,), now=NOW)
    verified = cms.verify(cms.parse_signed_data(signed), policy=cms.STRICT)
    sealed = plistlib.loads(verified.content)["EncryptedPayloadContent"]
    decrypted = pkcs7.pkcs7_decrypt_der(sealed, device, device_key, [])
    assert plistlib.loads(decrypted) == PROFILE["PayloadContent"]


def test_it_differs_each_time(device: x509.Certificate) -> None:
    assert encrypt(PROFILE, device) != encrypt(PROFILE, device)


def test_an_elliptic_identity_is_no_recipient(issuing: Authority) -> None:
    key = keys.generate(KeyAlgorithm.P_256)
    elliptic = issue(issuing, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("ec"), now=NOW)
    with pytest.raises(NoRecipient, match="not RSA"):
        encrypt(PROFILE, elliptic)


def test_nor_is_one_whose_usage_lacks_key_encipherment(issuing: Authority) -> None:
    with pytest.raises(NoRecipient, match="keyEncipherment"):
        require_recipient(issuing.certificate)


@pytest.mark.parametrize("content", [None, [], "text", b"sealed already"])
def test_a_profile_without_payloads_is_refused(device: x509.Certificate, content: object) -> None:
    with pytest.raises(BadPayload, match="has none"):
        encrypt({**PROFILE, "PayloadContent": content}, device)  # type: ignore[dict-item]
