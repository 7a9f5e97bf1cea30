"""The rules that a table cannot say, each broken by one row; and how findings are told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from bramley.errors import BadInput
from bramley.pki import certificates
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import TYPES, Finding, Rule, Severity, System, Target
from bramley.profiles.validate import check, require

from .kit import Signing, payload, profile

A, B, C = (f"{n:08X}-0000-4000-8000-000000000000" for n in (1, 2, 3))
NOBODY = "00000009-0000-4000-8000-000000000000"
HTTPS = "https://mdm.orchard.example/"


@pytest.fixture(scope="session")
def archive(signing: Signing) -> bytes:
    """A PKCS#12 archive that `cryptography` made, under the password `secret`."""
    return pkcs12.serialize_key_and_certificates(
        b"x", signing.key, signing.signer, None, serialization.BestAvailableEncryption(b"secret")
    )


def scep(**changes: Any) -> dict[str, Any]:
    return {"PayloadContent": {"URL": HTTPS, "Keysize": 2048, "Key Usage": 5, **changes}}


def acme(**changes: Any) -> dict[str, Any]:
    keys = {"DirectoryURL": HTTPS, "ClientIdentifier": "x", "KeySize": 384, "KeyType": "ECSECPrimeRandom"}
    return {**keys, "HardwareBound": True, "Subject": [[["CN", "x"]]], **changes}


def mdm(**changes: Any) -> dict[str, Any]:
    return {"IdentityCertificateUUID": A, "Topic": "com.apple.mgmt.External.1", "ServerURL": HTTPS, **changes}


def eap(**changes: Any) -> dict[str, Any]:
    return {"AcceptEAPTypes": [13], "TLSTrustedServerNames": ["radius.example"], **changes}


def wifi(**changes: Any) -> dict[str, Any]:
    keys = {"SSID_STR": "Orchard", "PayloadCertificateUUID": A, "EAPClientConfiguration": eap(), **changes}
    return {key: value for key, value in keys.items() if value is not None}


def vpn(**changes: Any) -> dict[str, Any]:
    names = {"RemoteAddress": "vpn.example", "LocalIdentifier": "a", "RemoteIdentifier": "b"}
    return {
        "VPNType": "IKEv2",
        "UserDefinedName": "VPN",
        "IKEv2": {**names, "AuthenticationMethod": "Certificate", "PayloadCertificateUUID": A, **changes},
    }


def mail(**changes: Any) -> dict[str, Any]:
    servers = {f"{way}MailServer{key}": value for way in ("Incoming", "Outgoing") for key, value in (
        ("Authentication", "EmailAuthPassword"), ("HostName", "mail.example"))}  # fmt: skip
    return {"EmailAccountType": "EmailTypeIMAP", **servers, **changes}


def findings(kind: str, keys: dict[str, Any], *others: dict[str, Any], **how: Any) -> list[tuple[str, str, str]]:
    """What is found in a payload of a profile, behind an identity that it may name: (severity, rule, path in the payload)."""
    identity = payload("com.apple.security.scep", A, **scep())
    known = TYPES.get(kind)
    around = {"PayloadScope": str(known.scope)} if known and known.scope else {}
    found = check(profile(identity, payload(kind, B, **keys), *others, **around), **how)
    return [(each.severity, each.rule, each.path.removeprefix("PayloadContent[1].")) for each in found]


E, W = "error", "warning"


@pytest.mark.parametrize(
    ("kind", "keys", "expected"),
    [
        ("security.scep", scep(), None),
        ("security.scep", scep(Keysize=1024), (W, Rule.KEY_SIZE, "PayloadContent.Keysize")),
        ("security.scep", {"PayloadContent": {"URL": HTTPS, "Key Usage": 5}}, (W, Rule.KEY_SIZE, "PayloadContent.Keysize")),
        ("security.scep", scep(Keysize=3072), (E, Rule.ALLOWED_VALUE, "PayloadContent.Keysize")),
        ("security.scep", {"PayloadContent": {"URL": HTTPS, "Keysize": 2048}}, (W, Rule.KEY_USAGE, "PayloadContent.Key Usage")),
        ("security.scep", scep(**{"Key Usage": 1}), (W, Rule.KEY_USAGE, "PayloadContent.Key Usage")),
        ("security.scep", scep(**{"Key Usage": 2}), (E, Rule.KEY_USAGE, "PayloadContent.Key Usage")),
        ("security.scep", scep(**{"Key Type": "EC"}), (E, Rule.KEY_TYPE, "PayloadContent.Key Type")),
        ("security.scep", scep(URL="ftp://x"), (E, Rule.HTTP, "PayloadContent.URL")),
        ("security.scep", scep(URL="{{ organization }}"), None),
        ("security.scep", scep(Subject=[[["CN", "a", "b"]]]), (E, Rule.COUNT, "PayloadContent.Subject[0][0]")),
        ("security.acme", acme(), None),
        ("security.acme", acme(KeySize=256, Attest=True), None),
        ("security.acme", acme(KeySize=521), (E, Rule.HARDWARE_BOUND, "HardwareBound")),
        ("security.acme", acme(KeyType="RSA", KeySize=2048), (E, Rule.HARDWARE_BOUND, "HardwareBound")),
        ("security.acme", acme(KeySize=2048, HardwareBound=False), (E, Rule.KEY_SIZE, "KeySize")),
        ("security.acme", acme(KeyType="RSA", KeySize=1024, HardwareBound=False), (W, Rule.KEY_SIZE, "KeySize")),
        ("security.acme", acme(KeyType="RSA", KeySize=2049, HardwareBound=False), (E, Rule.KEY_SIZE, "KeySize")),
        ("security.acme", acme(KeyType="{{ device.model }}"), None),
        ("security.acme", acme(HardwareBound=False, Attest=True), (E, Rule.HARDWARE_BOUND, "Attest")),
        ("security.acme", acme(DirectoryURL="http://x"), (E, Rule.HTTPS, "DirectoryURL")),
        ("mdm", mdm(AccessRights=8191), None),
        ("mdm", mdm(Topic="com.apple.push"), (E, Rule.PUSH_TOPIC, "Topic")),
        ("mdm", mdm(ServerURL="http://x"), (E, Rule.FORM, "ServerURL")),
        ("mdm", mdm(CheckInURL="http://x"), (E, Rule.FORM, "CheckInURL")),
        ("mdm", mdm(AccessRights=0), (E, Rule.ACCESS_RIGHTS, "AccessRights")),
        ("mdm", mdm(AccessRights=8192), (E, Rule.ACCESS_RIGHTS, "AccessRights")),
        ("mdm", mdm(AccessRights=2), (E, Rule.ACCESS_RIGHTS, "AccessRights")),
        ("mdm", mdm(AccessRights=128), (E, Rule.ACCESS_RIGHTS, "AccessRights")),
        ("mdm", mdm(IdentityCertificateUUID=NOBODY), (E, Rule.REFERENCE_EXISTS, "IdentityCertificateUUID")),
        ("mdm", mdm(IdentityCertificateUUID="x"), (E, Rule.FORM, "IdentityCertificateUUID")),
        ("mdm", mdm(ServerURLPinningCertificateUUIDs=[A]), (E, Rule.REFERENCE_FITS, "ServerURLPinningCertificateUUIDs[0]")),
        ("wifi.managed", wifi(), None),
        ("wifi.managed", wifi(SSID_STR=None), (E, Rule.NEEDS, "SSID_STR")),
        ("wifi.managed", wifi(SSID_STR=None, DomainName="x"), None),
        ("wifi.managed", wifi(PayloadCertificateUUID=None), (W, Rule.NEEDS, "PayloadCertificateUUID")),
        ("wifi.managed", wifi(PayloadCertificateUUID=B), (E, Rule.REFERENCE_FITS, "PayloadCertificateUUID")),
        (
            "wifi.managed",
            wifi(EAPClientConfiguration={"AcceptEAPTypes": [13]}),
            (W, Rule.NEEDS, "EAPClientConfiguration.TLSTrustedServerNames"),
        ),
        (
            "wifi.managed",
            wifi(EAPClientConfiguration=eap(AcceptEAPTypes=[])),
            (E, Rule.NEEDS, "EAPClientConfiguration.AcceptEAPTypes"),
        ),
        (
            "wifi.managed",
            wifi(EAPClientConfiguration=eap(AcceptEAPTypes=[13, 14])),
            (E, Rule.ALLOWED_VALUE, "EAPClientConfiguration.AcceptEAPTypes[1]"),
        ),
        (
            "wifi.managed",
            wifi(EAPClientConfiguration=eap(TLSMinimumVersion="1.3")),
            (E, Rule.NEEDS, "EAPClientConfiguration.TLSMinimumVersion"),
        ),
        (
            "wifi.managed",
            wifi(EAPClientConfiguration=eap(PayloadCertificateAnchorUUID=[NOBODY])),
            (E, Rule.REFERENCE_EXISTS, "EAPClientConfiguration.PayloadCertificateAnchorUUID[0]"),
        ),
        ("vpn.managed", vpn(), None),
        ("vpn.managed", {**vpn(), "VPNType": "{{ device.model }}"}, None),
        ("vpn.managed", vpn(TLSMinimumVersion="{{ device.model }}"), None),
        ("vpn.managed", {**vpn(), "VPNType": "L2TP"}, (E, Rule.NEEDS, "PPP")),
        ("vpn.managed", vpn(AuthenticationMethod="SharedSecret"), (E, Rule.NEEDS, "IKEv2.SharedSecret")),
        ("vpn.managed", vpn(PayloadCertificateUUID=NOBODY), (E, Rule.REFERENCE_EXISTS, "IKEv2.PayloadCertificateUUID")),
        (
            "vpn.managed",
            {"VPNType": "VPN", "UserDefinedName": "x", "VPN": {"AuthenticationMethod": "Password+Certificate"}},
            (E, Rule.NEEDS, "VPN.PayloadCertificateUUID"),
        ),
        (
            "vpn.managed",
            vpn(IKESecurityAssociationParameters={"DiffieHellmanGroup": 2}),
            (W, Rule.STRENGTH, "IKEv2.IKESecurityAssociationParameters.DiffieHellmanGroup"),
        ),
        (
            "vpn.managed",
            vpn(ChildSecurityAssociationParameters={"EncryptionAlgorithm": "3DES"}),
            (W, Rule.STRENGTH, "IKEv2.ChildSecurityAssociationParameters.EncryptionAlgorithm"),
        ),
        ("vpn.managed", vpn(MTU=1401), (E, Rule.RANGE, "IKEv2.MTU")),
        ("mail.managed", mail(SMIMESigningEnabled=True, SMIMESigningCertificateUUID=A), None),
        ("mail.managed", mail(SMIMESigningEnabled=True), (W, Rule.NEEDS, "SMIMESigningCertificateUUID")),
        ("mail.managed", mail(SMIMEEncryptionEnabled=True), (W, Rule.NEEDS, "SMIMEEncryptionCertificateUUID")),
        ("mail.managed", mail(EmailAddress=5), (E, Rule.TYPE, "EmailAddress")),
        (
            "security.certificatetransparency",
            {"DisabledForCerts": [{"Algorithm": "sha256", "Hash": b"short"}]},
            (E, Rule.DIGEST, "DisabledForCerts[0].Hash"),
        ),
        ("security.certificaterevocation", {"EnabledForCerts": [{"Algorithm": "sha256", "Hash": b"x" * 32}]}, None),
        (
            "security.FDERecoveryKeyEscrow",
            {"Location": "x", "EncryptCertPayloadUUID": A},
            (E, Rule.REFERENCE_FITS, "EncryptCertPayloadUUID"),
        ),
        ("security.identitypreference", {"Name": "x", "PayloadCertificateUUID": A}, None),
    ],
)
def test_rules_beyond_the_table(kind: str, keys: dict[str, Any], expected: tuple[str, Rule, str] | None) -> None:
    assert findings(f"com.apple.{kind}", keys) == ([] if expected is None else [expected])


def test_certificates_are_certificates(signing: Signing) -> None:
    der, pem = certificates.der(signing.root), certificates.pem(signing.root)
    for kind, content, expected in (
        ("root", der, None),
        ("pkcs1", der, None),
        ("pem", pem, None),
        ("root", pem, (W, Rule.CERTIFICATE, "PayloadContent")),
        ("pem", der, (W, Rule.CERTIFICATE, "PayloadContent")),
        ("pem", pem + pem, (E, Rule.CERTIFICATE, "PayloadContent")),
        ("root", der[:-1], (E, Rule.CERTIFICATE, "PayloadContent")),
        ("root", b"", (E, Rule.CERTIFICATE, "PayloadContent")),
        ("pkcs1", b"no certificate", (E, Rule.CERTIFICATE, "PayloadContent")),
    ):
        found = findings(f"com.apple.security.{kind}", {"PayloadContent": content})
        assert found == ([] if expected is None else [expected]), (kind, content[:20])


def test_an_archive_opens_with_its_password(archive: bytes, signing: Signing) -> None:
    for keys, expected in (
        ({"PayloadContent": archive, "Password": "secret"}, None),
        ({"PayloadContent": archive, "Password": "XYZZY"}, (E, Rule.ARCHIVE_OPENS, "Password")),
        ({"PayloadContent": archive, "Password": "{{ user.id }}"}, None),
        ({"PayloadContent": archive}, (W, Rule.ARCHIVE_OPENS, "Password")),
        ({"PayloadContent": b"x", "Password": "secret"}, (E, Rule.ARCHIVE_OPENS, "PayloadContent")),
        ({"PayloadContent": certificates.der(signing.root), "Password": "x"}, (E, Rule.ARCHIVE_OPENS, "PayloadContent")),
    ):
        assert findings("com.apple.security.pkcs12", keys) == ([] if expected is None else [expected])


def test_an_archive_of_openssl_opens_and_a_weak_key_in_it_is_told(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here to make an archive with")
    for bits, expected in ((1024, [(W, Rule.STRENGTH, "PayloadContent")]), (2048, [])):
        for command in (
            f"openssl req -x509 -newkey rsa:{bits} -nodes -keyout key -subj /CN=x -out cert",
            "openssl pkcs12 -export -inkey key -in cert -out p12 -passout pass:secret",
        ):
            subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=True)
        keys = {"PayloadContent": (tmp_path / "p12").read_bytes(), "Password": "secret"}
        assert findings("com.apple.security.pkcs12", keys) == expected


def test_secrets_are_in_no_finding(archive: bytes) -> None:
    broken = profile(
        payload("com.apple.security.pkcs12", A, PayloadContent=archive, Password="XYZZY"),
        payload("com.apple.security.scep", B, **scep(Challenge=["XYZZY"])),
        payload("com.apple.wifi.managed", C, **wifi(Password={"XYZZY": "XYZZY"})),
        payload("com.apple.mdm", NOBODY, **mdm(ServerURL="http://XYZZY")),
    )
    found = check(broken)
    assert len(found) >= 4
    assert "XYZZY" not in repr(found)


def test_two_payloads_share_nothing_that_names_them() -> None:
    one = payload("com.apple.security.scep", A, **scep())
    same = check(profile(one, {**one, "PayloadIdentifier": "other"}))
    assert [(each.rule, each.path) for each in same] == [(Rule.UNIQUE_UUID, "PayloadContent[1].PayloadUUID")]
    assert [each.rule for each in check(profile({**one, "PayloadUUID": "P"}))] == [Rule.UNIQUE_UUID]
    alike = check(profile(one, {**one, "PayloadUUID": B}))
    assert [(each.severity, each.rule) for each in alike] == [(W, Rule.UNIQUE_IDENTIFIER)]


def test_two_mdm_payloads_and_no_payloads() -> None:
    two = [payload("com.apple.mdm", uuid, **mdm(IdentityCertificateUUID=C)) for uuid in (A, B)]
    found = check(profile(*two, payload("com.apple.security.scep", C, **scep())))
    assert [(each.rule, each.path) for each in found] == [(Rule.ONE_MDM_PAYLOAD, "PayloadContent[1].PayloadType")]
    assert [(each.severity, each.rule) for each in check(profile())] == [(W, Rule.HAS_PAYLOADS)]
    assert [each.rule for each in check({**profile(), "PayloadContent": 5})] == [Rule.HAS_PAYLOADS]
    assert [each.rule for each in check({"PayloadType": "x"})] == [Rule.IS_A_PROFILE]


def test_what_the_table_lacks_is_told_and_its_references_are_looked_at() -> None:
    assert findings("com.apple.dock", {"autohide": True}) == [("note", Rule.KNOWN_TYPE, "PayloadContent[1]")]
    named = findings("com.apple.eas.account", {"PayloadCertificateUUID": NOBODY, "SMIMESigningCertificateUUID": A})
    assert named[1:] == [(E, Rule.REFERENCE_EXISTS, "PayloadCertificateUUID")]
    deep = {
        "EAPClientConfiguration": {"PayloadCertificateAnchorUUID": [A, NOBODY]},
        "Relays": [{"PayloadCertificateUUID": NOBODY}],
        "EncryptCertPayloadUUID": NOBODY,
        "VPNUUID": NOBODY,
        "PayloadCertificateUUIDUserOverrideable": True,
    }
    assert findings("com.apple.relay.managed", deep)[1:] == [
        (E, Rule.REFERENCE_EXISTS, "EAPClientConfiguration.PayloadCertificateAnchorUUID[1]"),
        (E, Rule.REFERENCE_EXISTS, "Relays[0].PayloadCertificateUUID"),
        (E, Rule.REFERENCE_EXISTS, "EncryptCertPayloadUUID"),
    ]
    assert findings("com.apple.ManagedClient.preferences", {"PayloadContent": {"example": deep}})[1:] == []
    [note, missing] = check(profile({"PayloadType": "com.apple.dock", "PayloadVersion": 1, "PayloadUUID": A}))[::-1]
    assert (note.rule, missing.rule, missing.path) == (Rule.KNOWN_TYPE, Rule.REQUIRED, "PayloadContent[0].PayloadIdentifier")


def test_an_identity_of_a_type_that_the_table_lacks_may_be_named() -> None:
    other = payload("com.apple.ADCertificate.managed", C)
    assert [each[1] for each in findings("com.apple.wifi.managed", wifi(PayloadCertificateUUID=C), other)] == [Rule.KNOWN_TYPE]


def test_unknown_keys_warn_with_what_may_be_meant() -> None:
    [found] = check(profile(payload("com.apple.security.scep", A, **scep(KeySize=2048))))
    assert (found.severity, found.path, found.rule) == (W, "PayloadContent[0].PayloadContent.KeySize", Rule.KNOWN_KEY)
    assert "Keysize is one" in found.words


def test_versions_and_enrollments() -> None:
    def told(kind: str, keys: dict[str, Any], *targets: str, user: bool = False) -> list[Any]:
        systems = [Target.parse(each) for each in targets]
        identity = payload("com.apple.security.scep", A, **scep())
        return [
            (each.severity, each.rule, each.systems)
            for each in check(profile(identity, payload(kind, B, **keys)), systems=systems, user_enrollment=user)
            if not each.path.startswith("PayloadContent[0]")
        ]

    key = mdm(RequiredAppIDForMDM=5)
    assert told("com.apple.mdm", key, "iOS", "iOS 15.1", "iOS 17.4.1") == []
    assert told("com.apple.mdm", key, "iOS 15.0", "macOS 15") == [(W, Rule.OFFERED, (System.IOS, System.MACOS))]
    assert told("com.apple.mdm", mdm(ManagedAppleID="x"), "iOS 18.0", user=True) == [(W, Rule.OFFERED, (System.IOS,))]
    assert told("com.apple.mdm", mdm(ManagedAppleID="x"), "iOS 17") == [(W, Rule.USER_ENROLLMENT, (System.IOS,))]
    assert told("com.apple.security.acme", acme(), "iOS 15.8") == [(E, Rule.OFFERED, (System.IOS,))]
    assert told("com.apple.security.acme", acme(), "iOS 15.8", "iOS 17") == [(W, Rule.OFFERED, (System.IOS,))]
    assert told("com.apple.vpn.managed", vpn(), "iOS 17", user=True) == [(E, Rule.USER_ENROLLMENT, (System.IOS,))]
    assert told("com.apple.vpn.managed", vpn(), user=True) == [
        (E, Rule.USER_ENROLLMENT, (System.IOS, System.MACOS, System.VISIONOS))
    ]
    assert told("com.apple.wifi.managed", wifi(ProxyServer="x"), "macOS 15", user=True) == [
        (W, Rule.USER_ENROLLMENT, (System.MACOS,))
    ]


def test_words_name_the_version() -> None:
    [found] = check(profile(payload("com.apple.security.acme", A, **acme())), systems=[Target.parse("ios 15")])
    assert found.words == "Expected systems that have com.apple.security.acme; iOS has it from 16.0 on."


@pytest.mark.parametrize("text", ["", "iPadOS 17", "iOS seventeen", "iOS 17.", "iOS 1²", "iOS 17.99999"])
def test_a_system_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="Expected a system"):
        Target.parse(text)


def test_variables_stand_for_any_text_and_unknown_ones_are_errors() -> None:
    assert findings("com.apple.wifi.managed", wifi(SSID_STR="{{ organization }}", EncryptionType="{{ device.model }}")) == []
    assert findings("com.apple.wifi.managed", wifi(SSID_STR="{{ device.shoe }}")) == [(E, Rule.KNOWN_VARIABLE, "SSID_STR")]


@pytest.mark.parametrize("key", ["PayloadIdentifier", "PayloadUUID", "PayloadScope"])
def test_what_names_a_profile_is_the_same_on_every_device(key: str) -> None:
    content = profile(payload("com.apple.security.scep", A, **scep()), **{key: "{{ device.serial }}"})
    assert [(each.severity, each.rule, each.path) for each in check(content)] == [(E, Rule.NO_VARIABLE, key)]
    assert [each.rule for each in check(content, as_it_is=True)] == ([Rule.ALLOWED_VALUE] if key == "PayloadScope" else [])


@pytest.mark.parametrize("key", ["PayloadIdentifier", "PayloadUUID", "PayloadType"])
@pytest.mark.parametrize("kind", ["com.apple.security.scep", "com.apple.dock"])
def test_what_names_a_payload_is_the_same_on_every_device(kind: str, key: str) -> None:
    found = check(profile({**payload(kind, A, **scep()), key: "{{ device.serial }}"}))
    assert (E, Rule.NO_VARIABLE, f"PayloadContent[0].{key}") in [(each.severity, each.rule, each.path) for each in found]


@pytest.mark.parametrize(
    ("kind", "keys", "path"),
    [
        ("wifi.managed", wifi(PayloadCertificateUUID="{{ device.udid }}"), "PayloadCertificateUUID"),
        (
            "wifi.managed",
            wifi(EAPClientConfiguration=eap(PayloadCertificateAnchorUUID=["{{ device.udid }}"])),
            "EAPClientConfiguration.PayloadCertificateAnchorUUID[0]",
        ),
        ("eas.account", {"PayloadCertificateUUID": "{{ device.udid }}"}, "PayloadCertificateUUID"),
    ],
)
def test_a_reference_is_the_same_on_every_device(kind: str, keys: dict[str, Any], path: str) -> None:
    found = [each for each in findings(f"com.apple.{kind}", keys) if each[0] == E]
    assert found == [(E, Rule.NO_VARIABLE, path)]


def test_braces_are_text_in_what_goes_out_as_it_is() -> None:
    content = profile(payload("com.apple.wifi.managed", B, SSID_STR="{{ device.shoe", EncryptionType="None"))
    assert [each.rule for each in check(content)] == [Rule.KNOWN_VARIABLE]
    assert check(content, as_it_is=True) == ()


def test_a_payload_has_a_name() -> None:
    for key in ("PayloadIdentifier", "PayloadUUID"):
        for kind in ("com.apple.security.scep", "com.apple.dock"):
            found = check(profile({**payload(kind, A, **scep()), key: ""}))
            assert (E, Rule.FORM, f"PayloadContent[0].{key}") in [(each.severity, each.rule, each.path) for each in found]


def test_looking_for_what_may_be_meant_has_an_end() -> None:
    many = {f"SSID_ST{at}": True for at in range(1000)}
    found = check(profile(payload("com.apple.wifi.managed", B, SSID_STR="x", EncryptionType="None", **many)))
    assert len(found) == len(many)
    assert sum("SSID_STR is one" in each.words for each in found) == 100


def test_the_first_error_is_raised_and_the_others_counted() -> None:
    good = profile(payload("com.apple.security.scep", A, **scep(Keysize=1024)))
    assert [each.rule for each in require(good)] == [Rule.KEY_SIZE]
    with pytest.raises(BadProfile, match=r"PayloadContent\[0\].PayloadContent.Key Type: Expected RSA") as refused:
        require(profile(payload("com.apple.security.scep", A, **scep(**{"Key Type": "EC", "Key Usage": 2}))))
    assert (refused.value.key, refused.value.rule) == ("PayloadContent[0].PayloadContent.Key Type", Rule.KEY_TYPE)
    assert "(1 more are wrong.)" in refused.value.message


def test_a_finding_is_for_all_systems_unless_it_says_so() -> None:
    assert Finding(Severity.ERROR, "", Rule.TYPE, "words").systems == ()


@pytest.mark.parametrize(
    ("kind", "scope", "systems", "told"),
    [
        ("com.apple.mail.managed", None, [], True),
        ("com.apple.mail.managed", "System", ["iOS", "macOS"], True),
        ("com.apple.mail.managed", "User", [], False),
        ("com.apple.mail.managed", None, ["iOS"], False),
        ("com.apple.security.certificatetransparency", "User", [], True),
        ("com.apple.security.certificatetransparency", None, [], False),
        ("com.apple.wifi.managed", "User", ["macOS"], False),
    ],
)
def test_the_scope_in_which_macs_take_it(kind: str, scope: str | None, systems: list[str], told: bool) -> None:
    around = {} if scope is None else {"PayloadScope": scope}
    found = check(profile(payload(kind, A), **around), systems=[Target.parse(each) for each in systems])
    assert [(each.severity, each.systems) for each in found if each.rule is Rule.SCOPE] == (
        [(W, (System.MACOS,))] if told else []
    )
