"""Every file that an administrator may have is told for what it is; no file makes an inspection fail or tell a secret."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bramley.operations.inspection import LARGEST, Finding, What, inspect
from bramley.pki import names
from tests.conftest import NOW

from .conftest import PASSWORD, SECRETS, TOPIC

Files = dict[str, bytes]

IMPORT, VENDOR = "bramley push import", "bramley push vendor import"

# the file: what it is, whose, the command that takes it, and words that stand in its details or purpose
KNOWN: dict[str, tuple[What, str, str, tuple[str, ...]]] = {
    "push.pem": (What.CERTIFICATE, TOPIC, IMPORT, ("MDM push certificate", "push", "RSA, 2048 bits")),
    "push.der": (What.CERTIFICATE, TOPIC, IMPORT, ("MDM push certificate", TOPIC)),
    "push and key": (What.SEVERAL, TOPIC, IMPORT, ()),
    "vendor": (What.CERTIFICATE, "MDM Vendor: Orchard", VENDOR, ("MDM vendor certificate", "push-vendor")),
    "wwdr": (What.CERTIFICATE, "Worldwide Developer", "", ("intermediate CA",)),
    "root": (What.CERTIFICATE, "Orchard Root", "", ("root CA", "trust-anchor")),
    "device": (What.CERTIFICATE, "F2LX0001", "", ("client identity", "device-identity")),
    "https": (What.CERTIFICATE, "mdm.orchard.example", "", ("HTTPS server certificate", "https")),
    "signer": (What.CERTIFICATE, "Orchard signer", "", ("signing certificate", "profile-signer")),
    "mdmcert certificate": (What.CERTIFICATE, "mdmcert.download", "", ("mdmcert-encryption",)),
    "p12": (What.PKCS12, TOPIC, IMPORT, ("False", "2")),
    "key": (What.PRIVATE_KEY, "", IMPORT, ("RSA, 2048 bits, exponent 65537", "False")),
    "locked key": (What.PRIVATE_KEY, "", IMPORT, ("RSA, 2048 bits, exponent 65537", "True")),
    "public key": (What.PUBLIC_KEY, "", "", ("RSA, 2048 bits, exponent 65537",)),
    "ssh": (What.SSH_KEY, "", "", ("Not usable",)),
    "request": (What.REQUEST, "Orchard School", "bramley push sign", ("good",)),
    "broken request": (What.REQUEST, "", "", ()),
    "push request": (What.PUSH_REQUEST, "Orchard School", "", ("MDM Vendor: Orchard", "good, up to Apple's root")),
    "push request, wrapped": (What.PUSH_REQUEST, "Orchard School", "", ("good, up to Apple's root",)),
    "push request, other signature": (What.PUSH_REQUEST, "Orchard School", "", ("broken",)),
    "mdmcert reply": (What.MDMCERT_REPLY, "CN=mdmcert.download, serial", "bramley push mdmcert decrypt", ("aes-256-cbc",)),
    "enveloped": (What.ENCRYPTED, "CN=mdmcert.download, serial", "", ("aes-256-cbc",)),
    "ADE token": (What.ADE_TOKEN_FILE, "CN=mdmcert.download, serial", "", ("des-ede3-cbc",)),
    "ADE token, decrypted": (What.ADE_TOKEN, "", "", ()),
    "ADE token, JSON": (What.ADE_TOKEN, "", "", ()),
    "Apps and Books": (What.APPS_AND_BOOKS_TOKEN, "Orchard School", "", ("base64",)),
    "profile": (What.PROFILE, "Orchard School", "", (TOPIC, "https://mdm.orchard.example/mdm/connect", "com.apple.mdm")),
    "signed profile": (What.PROFILE, "Orchard School", "", (TOPIC, "good; whether", "Orchard signer", "Enrolls a device")),
    "signed profile, changed": (What.PROFILE, "Orchard School", "", ("broken",)),
    "encrypted profile": (What.PROFILE, "Orchard", "", ("True",)),
    "Mdm-Signature": (What.MDM_SIGNATURE, "F2LX0001", "", ("not checked",)),
    "detached": (What.SIGNED, "F2LX0001", "", ("not checked",)),
    "p7b": (What.CERTIFICATE_BUNDLE, "", "", ("2",)),
    "CRL": (What.CRL, "Orchard Root", "", ("1",)),
    "TokenUpdate": (What.PROPERTY_LIST, "", "", ("TokenUpdate", "PushMagic")),
    "binary plist": (What.PROPERTY_LIST, "", "", ("binary",)),
    "HTML": (What.HTML, "", "", ("sign in",)),
    "JSON": (What.JSON, "", "", ("devices",)),
    "empty": (What.EMPTY, "", "", ()),
    "text": (What.UNKNOWN, "", "", ("74 6f 20 62 65 20 6f 72",)),
    "cut": (What.UNKNOWN, "", "", ()),
}


@pytest.fixture
def look(files: Files, roots: frozenset[str]) -> Any:
    return lambda name, password=PASSWORD, now=NOW: inspect(files[name], password=password, now=now, roots=roots)


def everything(finding: Finding) -> str:
    """All that a finding says, down to what is inside."""
    said = [finding.what, finding.purpose, finding.owner, *map(str, finding.details.values()), *finding.warnings]
    return "\n".join([*said, *map(everything, finding.inside)])


def test_no_file_is_without_a_row(files: Files) -> None:
    assert set(KNOWN) == set(files)


@pytest.mark.parametrize("name", KNOWN)
def test_a_file_is_told_for_what_it_is(name: str, look: Any) -> None:
    what, owner, command, words = KNOWN[name]
    finding = look(name)
    assert (finding.what, finding.command) == (what, command)
    assert owner in finding.owner
    assert bool(owner) == bool(finding.owner)
    said = {str(value) for value in finding.details.values()}
    for word in words:
        assert any(word == each or (len(word) > 5 and word in each) for each in (*said, finding.purpose)), (word, finding)
    assert finding.any_broken == (name in ("broken request", "push request, other signature", "signed profile, changed"))
    assert not [secret for secret in SECRETS if secret in everything(finding) or secret in repr(finding)]


INSIDE: dict[str, list[What]] = {
    "push and key": [What.CERTIFICATE, What.PRIVATE_KEY],
    "p12": [What.CERTIFICATE, What.PRIVATE_KEY, What.CERTIFICATE],
    "push request": [What.REQUEST, What.CERTIFICATE, What.CERTIFICATE, What.CERTIFICATE],
    "profile": [What.CERTIFICATE],
    "signed profile": [What.CERTIFICATE, What.CERTIFICATE, What.CERTIFICATE],
    "encrypted profile": [What.ENCRYPTED],
    "Mdm-Signature": [What.CERTIFICATE],
    "p7b": [What.CERTIFICATE, What.CERTIFICATE],
}


@pytest.mark.parametrize("name", INSIDE)
def test_what_is_inside_is_told_too(name: str, look: Any) -> None:
    assert [each.what for each in look(name).inside] == INSIDE[name]


def test_dates_come_from_the_file_and_what_is_over_is_warned_of(look: Any) -> None:
    for name in ("push.pem", "push and key", "p12"):
        assert look(name).not_after == NOW + timedelta(days=365)
    assert look("ADE token, JSON").not_after == datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert look("Apps and Books").not_after == datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)
    assert look("Apps and Books").warnings == ("It expired on 2026-11-20.",)
    assert look("CRL").warnings == ("It is out of date: a newer one is due.",)
    assert "It expired on 2027-11-24 12:00 UTC." in look("push.pem", now=NOW + timedelta(days=366)).warnings
    assert "It is not valid before 2026-11-23 12:00 UTC." in look("push.pem", now=NOW - timedelta(days=2)).warnings
    assert any("Apple would refuse it" in each for each in look("push request", now=NOW + timedelta(days=366)).warnings)


@pytest.mark.parametrize("name", ["p12", "locked key"])
@pytest.mark.parametrize("password", [None, "wrong"])
def test_without_the_password_it_is_locked_and_known_all_the_same(name: str, password: str | None, look: Any) -> None:
    finding = look(name, password)
    assert finding.what is KNOWN[name][0]
    assert finding.details["locked"] is True
    assert bool(finding.warnings) == (password is not None)


def changed(files: Files, *further: dict[str, Any], **changes: Any) -> bytes:
    """The profile, with other keys and further payloads."""
    profile = plistlib.loads(files["profile"])
    return plistlib.dumps({**profile, "PayloadContent": [*profile["PayloadContent"], *further], **changes})


def test_an_identity_of_a_profile_is_opened_with_the_password_beside_it(files: Files) -> None:
    archive = {"PayloadType": "com.apple.security.pkcs12", "PayloadContent": files["p12"]}
    (*_, found) = inspect(changed(files, {**archive, "Password": PASSWORD}), password=None, now=NOW).inside
    assert (found.what, found.details["locked"], found.not_after) == (What.PKCS12, False, NOW + timedelta(days=365))
    assert [each.what for each in found.inside] == [What.CERTIFICATE, What.PRIVATE_KEY, What.CERTIFICATE]
    assert PASSWORD not in everything(found)
    for password in ({}, {"Password": "other"}):
        (*_, found) = inspect(changed(files, {**archive, **password}), password=None, now=NOW).inside
        assert (found.what, found.details["locked"], found.inside) == (What.PKCS12, True, ())
    many = inspect(changed(files, *[{**archive, "Password": PASSWORD}] * 9), password=None, now=NOW)
    assert sum(bool(each.inside) for each in many.inside) == 4


def test_certificates_beyond_the_most_that_are_shown_are_told_of(files: Files) -> None:
    root = {"PayloadType": "com.apple.security.root", "PayloadContent": files["root"]}
    exactly = inspect(changed(files, *[root] * 99), password=None, now=NOW)
    assert (len(exactly.inside), exactly.warnings) == (100, ())
    for further in ([root] * 130, [{**root, "PayloadType": "com.apple.security.pem", "PayloadContent": files["root"] * 130}]):
        found = inspect(changed(files, *further), password=None, now=NOW)
        assert (len(found.inside), len(found.warnings)) == (100, 1)
        assert "first 100 of its certificates" in found.warnings[0]


def test_a_word_makes_no_push_request_of_a_profile(files: Files) -> None:
    said = changed(files, PayloadDescription="no PushCertRequestCSR")
    commented = files["profile"].replace(b"<dict>", b"<!-- PushCertRequestCSR --><dict>", 1)
    for data in (said, commented, b64encode(said)):
        assert inspect(data, password=None, now=NOW).what is What.PROFILE


def test_urls_are_shown_without_what_may_be_secret(files: Files) -> None:
    secret = "https://user:P12-SECRET@mdm.example/a?token=CHALLENGE-SECRET"
    mdm = {"PayloadType": "com.apple.mdm", "ServerURL": secret, "CheckInURL": secret}
    scep = {"PayloadType": "com.apple.security.scep", "PayloadContent": {"URL": secret}}
    acme = {"PayloadType": "com.apple.security.acme", "DirectoryURL": secret}
    found = inspect(changed(files, PayloadContent=[mdm, scep, acme]), password=None, now=NOW)
    for name in ("server URL", "check in URL", "SCEP URL", "ACME directory"):
        assert found.details[name] == "https://mdm.example/a?…"
    assert not [each for each in SECRETS if each in everything(found)]


def test_a_request_under_a_root_that_is_not_apples_is_warned_of(files: Files) -> None:
    finding = inspect(files["push request"], password=None, now=NOW)
    assert "none of the roots that count" in finding.warnings[0]
    assert not finding.any_broken


def test_a_push_certificate_not_issued_by_apple_is_warned_of(look: Any) -> None:
    assert any("not Apple" in each for each in look("push.pem").warnings)


def certificate(key: Any, *extensions: x509.ExtensionType, name: x509.Name, issuer: x509.Name | None = None) -> bytes:
    builder = x509.CertificateBuilder(issuer or name, name, key.public_key(), 5, NOW, NOW + timedelta(days=9))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def mark(oid: str) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")


CA = x509.BasicConstraints(ca=True, path_length=None)
APPLE_INC = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Apple Inc.")])
WWDR = x509.Name([*APPLE_INC, x509.NameAttribute(x509.NameOID.COMMON_NAME, "Apple Worldwide Developer Relations CA")])
USES: dict[str, tuple[x509.Name, x509.Name | None, list[x509.ExtensionType]]] = {
    "app push certificate": (names.make("a", uid="com.example"), names.make("b"), [mark("1.2.840.113635.100.6.3.2")]),
    "Developer ID certificate": (names.make("a"), names.make("b"), [mark("1.2.840.113635.100.6.1.14")]),
    "factory certificate of a device": (names.make("a"), names.make("Apple iPhone Device CA"), []),
    "Apple WWDR intermediate": (WWDR, APPLE_INC, [CA]),
    "Apple intermediate": (APPLE_INC, names.make("b"), [CA]),
    "root CA": (APPLE_INC, None, [CA]),
    "self-signed certificate": (names.make("a"), None, []),
    "certificate": (names.make("a", uid="com.apple.mgmt"), names.make("b"), []),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_a_certificate_is_told_by_its_marks(use: str, p256: Any) -> None:
    name, issuer, extensions = USES[use]
    finding = inspect(certificate(p256, *extensions, name=name, issuer=issuer), password=None, now=NOW)
    assert finding.details["use"] == use
    assert finding.command == ""


def test_apples_roots_and_the_messages_of_real_devices_are_known(vectors: Path) -> None:
    chain = inspect((vectors / "apple-ca/apple-iphone-device-ca-chain.pem").read_bytes(), password=None, now=NOW)
    assert [each.details["use"] for each in chain.inside] == ["Apple intermediate", "Apple intermediate", "Apple root"]
    assert inspect((vectors / "mdm-signature/idle.header.b64").read_bytes(), password=None, now=NOW).what is What.MDM_SIGNATURE
    scep = inspect((vectors / "scep/macos-2016-PKCSReq.der").read_bytes(), password=None, now=NOW)
    assert (scep.what, [each.what for each in scep.inside]) == (What.SIGNED, [What.ENCRYPTED, What.CERTIFICATE])
    assert not scep.any_broken


def test_what_openssl_signs_and_encrypts_is_known(files: Files, tmp_path: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command on this machine")
    (tmp_path / "pair.pem").write_bytes(files["push and key"])
    (tmp_path / "in").write_bytes(files["profile"])
    (tmp_path / "recipient.pem").write_bytes(files["mdmcert certificate"])
    cms = [program, "cms", "-binary", "-in", str(tmp_path / "in"), "-out", str(tmp_path / "out"), "-outform"]

    def made(*options: object) -> Finding:
        subprocess.run([*cms, *map(str, options)], check=True, capture_output=True)
        return inspect((tmp_path / "out").read_bytes(), password=None, now=NOW)

    signed = made("DER", "-sign", "-nodetach", "-signer", tmp_path / "pair.pem")
    assert (signed.what, signed.details["signed by"], signed.any_broken) == (What.PROFILE, TOPIC, False)
    for cipher, shown in (("-aes256", "aes-256-cbc"), ("-des3", "des-ede3-cbc"), ("-aes-256-gcm", None)):
        sealed = made("PEM", "-encrypt", cipher, tmp_path / "recipient.pem")
        assert sealed.what is (What.ENCRYPTED if shown else What.OTHER_CMS)
        assert sealed.details.get("cipher") == shown
        assert ("serial" in sealed.owner) == bool(shown)


def test_names_from_a_file_stay_on_their_line(p256: Any) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a\nwhat: \x1b[31mroot")])
    finding = inspect(certificate(p256, name=name), password=None, now=NOW)
    assert everything(finding).count("root") >= 1
    assert not any("\x1b" in each or "\n" in each for each in (finding.owner, *map(str, finding.details.values())))


COSTLY: dict[str, bytes] = {
    "a mountain of PEM": b"-----BEGIN X-----\n-----END X-----\n" * 200_000,
    "BEGIN without END": b"-----BEGIN X-----\n" * 400_000,
    "base64 in base64 in base64": b64encode(b64encode(b64encode(b64encode(b64encode(b64encode(b64encode(b"x" * 99))))))),
    "deep JSON": b"[" * 900_000,
    "large JSON": b"[" + b"1," * 5_000_000 + b"1]",
    "deep DER": b"\x30\x80" * 500_000,
    "nested white space": b"A" * 40 + b" \n" * 5_000_000 + b"!",
    "wide DER": b"\x30\x83\x7f\xff\xff" + b"\x05\x00" * 4_000_000,
    "comments before HTML": b"<!---->" * 500_000,
    "dashes": b"-" * 8_000_000,
    "a deep property list": b'<?xml version="1.0"?><plist>' + b"<array>" * 100_000,
    "the largest": b"\x30" + bytes(LARGEST - 1),
    "much hexadecimal": b"30" * (LARGEST // 2),
}


@pytest.mark.parametrize("case", COSTLY)
def test_what_is_made_to_cost_much_does_not(case: str) -> None:
    began = time.process_time()
    assert inspect(COSTLY[case], password="x", now=NOW).what in (What.UNKNOWN, What.JSON)
    assert time.process_time() - began < 5


def test_many_keys_are_not_all_opened(files: Files) -> None:
    began = time.process_time()
    finding = inspect(files["locked key"] * 200, password=PASSWORD, now=NOW)
    assert time.process_time() - began < 10
    assert len(finding.inside) == 100
    assert sum("key" in each.details for each in finding.inside) == 4
    assert "100 more were not looked at." in finding.warnings


@settings(max_examples=600, deadline=None)
@given(
    name=st.sampled_from(sorted(set(KNOWN) - {"empty", "locked key"})),
    changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=4),
    kept=st.none() | st.floats(0, 1),
)
def test_no_change_of_bytes_makes_it_fail(
    name: str, changes: list[tuple[float, int]], kept: float | None, files: Files, roots: frozenset[str]
) -> None:
    octets = bytearray(files[name])
    for place, octet in changes:
        octets[int(place * len(octets))] = octet
    data = bytes(octets if kept is None else octets[: int(kept * len(octets))])
    finding = inspect(data, password=None, now=NOW, roots=roots)
    assert finding.purpose
    assert not [secret for secret in SECRETS if secret in everything(finding)]


def test_the_fingerprint_is_the_one_that_others_show(files: Files, look: Any) -> None:
    expected = x509.load_pem_x509_certificate(files["push.pem"]).fingerprint(hashes.SHA256()).hex()
    assert look("push.pem").details["SHA 256"] == look("push.der").details["SHA 256"] == expected
