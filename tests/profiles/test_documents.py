"""Profiles as they come: made here and by OpenSSL, kept octet for octet, and refused where they are none."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from bramley.pki import certificates, cms
from bramley.profiles.documents import LARGEST, DocumentKind, read
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import Rule
from bramley.profiles.sign import sign

from .kit import NOW, Signing

PAYLOAD = {"PayloadType": "com.apple.dock", "PayloadUUID": "U", "PayloadIdentifier": "example.dock", "PayloadVersion": 1}
MDM = {**PAYLOAD, "PayloadType": "com.apple.mdm"}


ONLY_A_VERSION = bytes.fromhex("3012 06092a864886f70d010703 a005 3003 020100")


def plain(*payloads: Any, **changes: Any) -> bytes:
    keys = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "example", "PayloadUUID": "P"}
    whole = {**keys, "PayloadDisplayName": "Orchard & Sons", "PayloadContent": list(payloads) or [PAYLOAD], **changes}
    return plistlib.dumps({key: value for key, value in whole.items() if value is not None})


@pytest.fixture(scope="session")
def signed(signing: Signing) -> Callable[[bytes], bytes]:
    return lambda data: sign(data, certificate=signing.signer, key=signing.key, chain=(signing.ca,), now=NOW)


@pytest.fixture(scope="session")
def openssl(signing: Signing, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """What `openssl cms` makes of some octets, with the signer and its CA at hand, and a recipient."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here to sign and encrypt with")
    folder = tmp_path_factory.mktemp("openssl")
    key = signing.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, content in (("key", key), ("signer", certificates.pem(signing.signer)), ("ca", certificates.pem(signing.ca))):
        (folder / name).write_bytes(content)
    run(folder, "openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -subj /CN=device -out device")

    def cms_of(data: bytes, options: str) -> bytes:
        (folder / "in").write_bytes(data)
        run(folder, f"openssl cms -binary -in in -out out {options}")
        return (folder / "out").read_bytes()

    return cms_of


def run(folder: Path, command: str) -> None:
    done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SIGN = "-sign -nodetach -signer signer -inkey key -certfile ca"
ENCRYPT = "-encrypt -aes128 -outform DER device"


@pytest.fixture(scope="session")
def encrypted(openssl: Callable[..., bytes]) -> bytes:
    """A profile whose payloads OpenSSL encrypted to a device."""
    return plain(PayloadContent=None, IsEncrypted=True, EncryptedPayloadContent=openssl(plistlib.dumps([PAYLOAD]), ENCRYPT))


def names(data: bytes) -> tuple[Any, ...]:
    document = read(data)
    return document.kind, document.identifier, document.uuid, document.display_name


def test_a_plain_profile() -> None:
    document = read(plain())
    assert (document.raw, document.content) == (plain(), plistlib.loads(plain()))
    assert names(plain()) == (DocumentKind.PLAIN, "example", "P", "Orchard & Sons")
    assert (document.signed, document.encrypted, document.signer, document.certificates) == (False, False, None, ())


@pytest.mark.parametrize("options", [f"{SIGN} -outform DER", f"{SIGN} -outform DER -stream", f"{SIGN} -outform DER -md sha1"])
def test_a_profile_that_openssl_signed_passes_untouched(openssl: Callable[..., bytes], signing: Signing, options: str) -> None:
    message = openssl(plain(), options)
    document = read(message)
    assert (document.raw, document.kind, document.signed, document.encrypted) == (message, DocumentKind.SIGNED, True, False)
    assert document.content == plistlib.loads(plain())
    assert document.signer == signing.signer
    assert set(document.certificates) == {certificates.der(signing.signer), certificates.der(signing.ca)}


@pytest.mark.parametrize("wrapping", ["PEM", "SMIME"])
def test_pem_and_smime_are_taken_off(openssl: Callable[..., bytes], wrapping: str) -> None:
    document = read(openssl(plain(), f"{SIGN} -outform {wrapping}"))
    assert document.kind is DocumentKind.SIGNED
    assert read(document.raw).raw == document.raw
    assert cms.verify(cms.parse_signed_data(document.raw), policy=cms.STRICT).content == plain()


def test_encrypted_profiles_keep_their_names_and_show_no_payloads(encrypted: bytes, signed: Callable[[bytes], bytes]) -> None:
    assert names(encrypted) == (DocumentKind.ENCRYPTED, "example", "P", "Orchard & Sons")
    assert names(signed(encrypted)) == (DocumentKind.SIGNED_AND_ENCRYPTED, "example", "P", "Orchard & Sons")
    for data in (encrypted, signed(encrypted)):
        document = read(data)
        assert (document.raw, document.encrypted) == (data, True)
        assert document.content is not None
        assert "PayloadContent" not in document.content


def test_a_profile_encrypted_whole_shows_nothing(openssl: Callable[..., bytes], signed: Callable[[bytes], bytes]) -> None:
    message = openssl(plain(), ENCRYPT)
    assert names(message) == (DocumentKind.ENCRYPTED, None, None, None)
    assert names(signed(message)) == (DocumentKind.SIGNED_AND_ENCRYPTED, None, None, None)
    assert read(signed(message)).content is None


@pytest.mark.parametrize(
    ("data", "key", "rule"),
    [
        (b"", "", Rule.IS_A_PROFILE),
        (b"hello", "", Rule.IS_A_PROFILE),
        (b"<html><body>Sign in</body></html>", "", Rule.IS_A_PROFILE),
        (plistlib.dumps({}, fmt=plistlib.FMT_BINARY), "", Rule.IS_A_PROFILE),
        (plistlib.dumps([1]), "", Rule.IS_A_PROFILE),
        (plain()[:-20], "", Rule.IS_A_PROFILE),
        (b" " * (LARGEST + 1), "", Rule.IS_A_PROFILE),
        (plistlib.dumps({"MessageType": "Authenticate"}), "PayloadType", Rule.IS_A_PROFILE),
        (plain(PayloadType="Profile Service", PayloadContent={}), "PayloadType", Rule.IS_A_PROFILE),
        (plain(PayloadType=5), "PayloadType", Rule.IS_A_PROFILE),
        (plain(PayloadIdentifier=None), "PayloadIdentifier", Rule.IS_A_PROFILE),
        (plain(PayloadUUID=""), "PayloadUUID", Rule.IS_A_PROFILE),
        (plain(PayloadContent=None), "PayloadContent", Rule.HAS_PAYLOADS),
        (plain(PayloadContent={"a": 1}), "PayloadContent", Rule.HAS_PAYLOADS),
        (plain("text"), "PayloadContent[0]", Rule.TYPE),
        (plain(MDM, PAYLOAD, MDM), "PayloadContent[2].PayloadType", Rule.ONE_MDM_PAYLOAD),
        (plain(PayloadContent=None, EncryptedPayloadContent=b"no CMS"), "EncryptedPayloadContent", Rule.ENCRYPTED_IS_CMS),
        (plain(PayloadContent=None, EncryptedPayloadContent="text"), "EncryptedPayloadContent", Rule.ENCRYPTED_IS_CMS),
        (b"Content-Type: multipart/signed\n\nx", "", Rule.IS_A_PROFILE),
        (plain(PayloadContent=None, EncryptedPayloadContent=ONLY_A_VERSION), "EncryptedPayloadContent", Rule.ENCRYPTED_IS_CMS),
        (ONLY_A_VERSION, "", Rule.IS_A_PROFILE),
        (b'<?xml version="1.0"?>\n<!-- a page -->\n<!DOCTYPE html><html></html>', "", Rule.IS_A_PROFILE),
        (b"-----BEGIN CMS-----\nAAAA\n-----END CMS", "", Rule.IS_A_PROFILE),
    ],
)
def test_what_is_no_profile_is_refused_with_key_and_rule(data: bytes, key: str, rule: Rule) -> None:
    with pytest.raises(BadProfile) as refused:
        read(data)
    assert (refused.value.key, refused.value.rule) == (key, rule)


def test_a_word_of_html_makes_no_page_of_a_profile() -> None:
    described = plain(PayloadDescription="HTML")
    commented = described.replace(b"<dict>", b"<!-- not <html> --><dict>", 1)
    for data in (commented, described.replace(b"<string>HTML</string>", b"<string><![CDATA[<html>]]></string>")):
        assert names(data)[0] is DocumentKind.PLAIN


def test_what_is_signed_is_not_to_be_converted(signed: Callable[[bytes], bytes]) -> None:
    for data, advice in (
        (plistlib.dumps(plistlib.loads(plain()), fmt=plistlib.FMT_BINARY), "plutil -convert"),
        (plain().decode().encode("utf-16"), "UTF-8"),
    ):
        with pytest.raises(BadProfile) as refused:
            read(data)
        assert advice in refused.value.advice
        with pytest.raises(BadProfile) as refused:
            read(signed(data))
        assert "would not outlive" in refused.value.advice


def test_a_signature_by_itself_is_told_as_such(openssl: Callable[..., bytes]) -> None:
    with pytest.raises(BadProfile, match="by itself"):
        read(openssl(plain(), "-sign -signer signer -inkey key -outform DER"))


def test_payloads_in_clear_beside_encrypted_ones_are_refused(encrypted: bytes) -> None:
    both = plistlib.dumps({**plistlib.loads(encrypted), "PayloadContent": [PAYLOAD]})
    with pytest.raises(BadProfile, match="both came"):
        read(both)


def test_a_certificate_or_a_key_is_no_profile(signing: Signing) -> None:
    for data in (certificates.der(signing.signer), certificates.pem(signing.signer)):
        with pytest.raises(BadProfile, match="a certificate came"):
            read(data)


def test_what_a_signature_covers_must_be_a_profile(signed: Callable[[bytes], bytes]) -> None:
    for inner in (b"hello", plain(MDM, MDM), signed(plain())):
        with pytest.raises(BadProfile):
            read(signed(inner))


def test_what_was_signed_as_something_else_is_refused(signing: Signing) -> None:
    """The type of the content is signed, too: what somebody signed as a time-stamp, say, they did not sign as a profile."""
    one: dict[str, Any] = {"key": signing.key, "certificate": signing.signer, "others": [signing.ca]}
    assert read(cms.sign(plain(), **one)).signed
    with pytest.raises(BadProfile) as refused:
        read(cms.sign(plain(), **one, content_type="1.2.840.113549.1.9.16.1.4"))
    assert refused.value.rule is Rule.SIGNATURE_HOLDS


def test_a_signature_that_does_not_hold_is_refused(signed: Callable[[bytes], bytes], openssl: Callable[..., bytes]) -> None:
    message = signed(plain())
    at = message.index(b"Orchard &amp; Sons")
    others = (
        message[:at] + b"0" + message[at + 1 :],
        message[:-1] + bytes([message[-1] ^ 1]),
        cms.certs_only([signer]) if (signer := read(message).signer) else b"",
        openssl(plain(), f"{SIGN} -nocerts -outform DER"),
        openssl(plain(), "-sign -signer signer -inkey key -outform DER"),
    )
    for broken in others:
        with pytest.raises(BadProfile) as refused:
            read(broken)
        assert refused.value.rule is Rule.SIGNATURE_HOLDS
    with pytest.raises(BadProfile):
        read(message[: len(message) // 2])
