"""Profiles from descriptions: what each short form becomes, the same names each time, and what is refused where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from bramley.mdm import plist
from bramley.pki import certificates
from bramley.profiles.building import FORMS, ReadFile, build, read_spec
from bramley.profiles.building.spec import LARGEST
from bramley.profiles.documents import DocumentKind, read
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import TYPES, Rule, Target
from bramley.profiles.validate import check

from .kit import Signing

YAML = b"""\
identifier: example.orchard.wifi
name: Orchard Wi-Fi
organization: Orchard
payloads:
  - {type: root-certificate, name: corp-root, file: root.pem}
  - type: scep
    name: corp-identity
    url: https://ca.orchard.example/scep
    subject: /O=Orchard/CN={{ device.serial }}+2.5.4.5=x
    challenge: once
  - type: wifi
    display_name: Orchard
    ssid: Orchard
    encryption: WPA3
    certificate: corp-identity
    anchors: corp-root
    server_names: [radius.orchard.example]
"""
TOML = b"""\
identifier = "example.orchard.wifi"
name = "Orchard Wi-Fi"
organization = "Orchard"
[[payloads]]
type = "root-certificate"
name = "corp-root"
file = "root.pem"
[[payloads]]
type = "scep"
name = "corp-identity"
url = "https://ca.orchard.example/scep"
subject = "/O=Orchard/CN={{ device.serial }}+2.5.4.5=x"
challenge = "once"
[[payloads]]
type = "wifi"
display_name = "Orchard"
ssid = "Orchard"
encryption = "WPA3"
certificate = "corp-identity"
anchors = "corp-root"
server_names = ["radius.orchard.example"]
"""
NOW = datetime(2027, 1, 1, tzinfo=UTC)
TOO_EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
SCEP = {"type": "scep", "url": "https://x/scep", "subject": "/CN=x"}
CERTIFICATE = {"type": "certificate", "file": "root.der"}
MAIL = {"type": "mail", "address": "{{ user.short_name }}@x", "incoming_server": "imap.x", "outgoing_server": "smtp.x"}
IKEV2 = {"type": "ikev2", "server": "vpn.x", "remote_id": "vpn.x", "local_id": "me"}
MDM = {"type": "mdm", "certificate": "scep", "topic": "com.apple.mgmt.x", "server_url": "https://x/mdm"}
ACME = {"type": "acme", "directory_url": "https://x/acme", "client_identifier": "{{ device.udid }}", "subject": "/CN=x"}


@pytest.fixture(scope="session")
def files(signing: Signing) -> ReadFile:
    encryption = serialization.BestAvailableEncryption(b"secret")
    known = {
        "root.pem": certificates.pem(signing.root),
        "root.der": certificates.der(signing.root),
        "id.p12": pkcs12.serialize_key_and_certificates(b"x", signing.key, signing.signer, None, encryption),
        "no": b"no certificate",
    }

    def read_file(name: str) -> bytes:
        if name not in known:
            raise FileNotFoundError(2, "No such file or directory")
        return known[name]

    return read_file


def spec(*payloads: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {"identifier": "example.orchard", "name": "Orchard", "payloads": list(payloads) or [SCEP], **changes}


def own(payload: Mapping[str, Any]) -> dict[str, Any]:
    common = {"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName"}
    return {key: value for key, value in payload.items() if key not in common}


def test_yaml_toml_and_json_are_one(files: ReadFile) -> None:
    made = [build(read_spec(text, f"x.{ending}"), read_file=files) for text, ending in (
        (YAML, "yaml"), (TOML, "toml"), (json.dumps(read_spec(YAML, "x.yml")).encode(), "JSON"))]  # fmt: skip
    assert made[0] == made[1] == made[2]


def test_names_become_uuids_and_files_octets(files: ReadFile, signing: Signing, schema: Any) -> None:
    profile = build(read_spec(YAML, "x.yaml"), read_file=files)
    root, scep, wifi = profile["PayloadContent"]

    assert own(root) == {"PayloadContent": certificates.der(signing.root)}
    assert own(scep)["PayloadContent"] == {
        "URL": "https://ca.orchard.example/scep",
        "Subject": [[["O", "Orchard"]], [["CN", "{{ device.serial }}"], ["2.5.4.5", "x"]]],
        "Challenge": "once",
        "Keysize": 2048,
        "Key Usage": 5,
        "KeyIsExtractable": False,
    }
    assert own(wifi) == {
        "SSID_STR": "Orchard",
        "EncryptionType": "WPA3",
        "PayloadCertificateUUID": scep["PayloadUUID"],
        "EAPClientConfiguration": {
            "PayloadCertificateAnchorUUID": [root["PayloadUUID"]],
            "TLSTrustedServerNames": ["radius.orchard.example"],
            "AcceptEAPTypes": [13],
        },
    }
    assert (wifi["PayloadIdentifier"], wifi["PayloadDisplayName"]) == ("example.orchard.wifi.wifi", "Orchard")
    assert {key: value for key, value in profile.items() if key not in ("PayloadContent", "PayloadUUID")} == {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "example.orchard.wifi",
        "PayloadDisplayName": "Orchard Wi-Fi",
        "PayloadOrganization": "Orchard",
    }
    assert list(schema.profile(profile)) == []
    assert read(plist.dumps(profile)).kind is DocumentKind.PLAIN


def test_built_again_it_replaces_itself(files: ReadFile) -> None:
    def uuids(**changes: Any) -> list[str]:
        profile = build(spec(SCEP, {**SCEP, "name": "other"}, **changes))
        return [profile["PayloadUUID"], *(each["PayloadUUID"] for each in profile["PayloadContent"])]

    first = uuids()
    assert {UUID(each).version for each in first} == {5}
    assert len(set(first)) == 3
    assert uuids(name="Another name") == first
    assert not set(uuids(identifier="example.other")) & set(first)
    reordered = build(spec({**SCEP, "name": "other"}, {**SCEP, "key_size": 4096}))
    assert [each["PayloadUUID"] for each in reordered["PayloadContent"]] == [first[2], first[1]]


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (
            ACME,
            {
                "DirectoryURL": "https://x/acme", "ClientIdentifier": "{{ device.udid }}", "Subject": [[["CN", "x"]]],
                "KeyType": "ECSECPrimeRandom", "KeySize": 384, "HardwareBound": True,
            },
        ),
        (
            IKEV2,
            {
                "VPNType": "IKEv2", "UserDefinedName": "ikev2",
                "IKEv2": {
                    "RemoteAddress": "vpn.x", "RemoteIdentifier": "vpn.x", "LocalIdentifier": "me",
                    "AuthenticationMethod": "None",
                },
            },
        ),
        (
            MAIL,
            {
                "EmailAddress": "{{ user.short_name }}@x", "EmailAccountType": "EmailTypeIMAP",
                "IncomingMailServerHostName": "imap.x", "IncomingMailServerUseSSL": True,
                "IncomingMailServerAuthentication": "EmailAuthPassword", "OutgoingMailServerHostName": "smtp.x",
                "OutgoingMailServerUseSSL": True, "OutgoingMailServerAuthentication": "EmailAuthPassword",
            },
        ),
        ({"type": "wifi", "ssid": "x", "password": "y"}, {"SSID_STR": "x", "Password": "y"}),
        ({"type": "wifi", "ssid": "x", "eap_types": [25], "server_names": "r"}, {
            "SSID_STR": "x", "EAPClientConfiguration": {"AcceptEAPTypes": [25], "TLSTrustedServerNames": ["r"]}}),
        ({"type": "certificate-transparency", "domains": ["x"]}, {"DisabledForDomains": ["x"]}),
        ({"type": "com.apple.dock", "keys": {"a": True, "when": {"date": "2027-01-01T00:00:00Z"}, "x": {"base64": "YQ=="}}},
         {"a": True, "when": NOW, "x": b"a"}),
    ],
)  # fmt: skip
def test_forms_by_themselves(described: dict[str, Any], expected: dict[str, Any]) -> None:
    assert own(build(spec(described))["PayloadContent"][0]) == expected


def test_forms_that_name_others(files: ReadFile, signing: Signing, schema: Any) -> None:
    described: list[dict[str, Any]] = [
        SCEP,
        CERTIFICATE,
        {"type": "certificate-pem", "file": "root.der"},
        {"type": "pkcs12", "file": "id.p12", "password": "secret"},
        {"type": "certificate-preference", "for": "x@x", "certificate": "certificate"},
        {"type": "identity-preference", "for": "https://x", "certificate": "pkcs12"},
        {"type": "certificate-transparency", "certificates": "root.pem"},
        {"type": "certificate-revocation", "certificates": ["root.pem"]},
        {"type": "filevault-escrow", "location": "here", "certificate": "certificate"},
        {**MDM, "pins": "certificate", "capabilities": ["com.apple.mdm.token"]},
        {**IKEV2, "certificate": "scep", "eap": True, "certificate_type": "RSA"},
        {**MAIL, "signing_certificate": "pkcs12", "encryption_certificate": "scep"},
        {"type": "com.apple.eas.account", "keys": {"Host": "x", "PayloadCertificateUUID": {"uuid_of": "scep"}}},
        ACME,
        {"type": "wifi", "ssid": "x", "certificate": "acme", "anchors": ["certificate"], "keys": {"AutoJoin": False}},
        {"type": "root-certificate", "file": "root.der"},
    ]
    profile = build(spec(*described), read_file=files)
    by_name = {each["PayloadIdentifier"].removeprefix("example.orchard."): each for each in profile["PayloadContent"]}
    uuid = {name: each["PayloadUUID"] for name, each in by_name.items()}
    digest = {"Algorithm": "sha256", "Hash": hashlib.sha256(_spki(signing)).digest()}

    assert by_name.keys() == {each["type"] for each in described}
    assert FORMS.keys() | {"com.apple.eas.account"} == by_name.keys()
    assert own(by_name["certificate-pem"]) == {"PayloadContent": certificates.pem(signing.root)}
    assert own(by_name["pkcs12"]) == {"PayloadContent": files("id.p12"), "Password": "secret", "KeyIsExtractable": False}
    assert own(by_name["certificate-preference"]) == {"Name": "x@x", "PayloadCertificateUUID": uuid["certificate"]}
    assert own(by_name["identity-preference"]) == {"Name": "https://x", "PayloadCertificateUUID": uuid["pkcs12"]}
    assert own(by_name["certificate-transparency"]) == {"DisabledForCerts": [digest]}
    assert own(by_name["certificate-revocation"]) == {"EnabledForCerts": [digest]}
    assert own(by_name["filevault-escrow"]) == {"Location": "here", "EncryptCertPayloadUUID": uuid["certificate"]}
    mdm = own(by_name["mdm"])
    assert (mdm["IdentityCertificateUUID"], mdm["SignMessage"], mdm["AccessRights"]) == (uuid["scep"], True, 8191)
    assert (mdm["ServerURLPinningCertificateUUIDs"], mdm["ServerCapabilities"]) == (
        [uuid["certificate"]],
        ["com.apple.mdm.token"],
    )
    vpn = own(by_name["ikev2"])["IKEv2"]
    assert (vpn["AuthenticationMethod"], vpn["PayloadCertificateUUID"], vpn["ExtendedAuthEnabled"]) == (
        "Certificate",
        uuid["scep"],
        1,
    )
    mail = own(by_name["mail"])
    assert (mail["SMIMESigningEnabled"], mail["SMIMESigningCertificateUUID"]) == (True, uuid["pkcs12"])
    assert (mail["SMIMEEncryptionEnabled"], mail["SMIMEEncryptionCertificateUUID"]) == (True, uuid["scep"])
    assert own(by_name["com.apple.eas.account"])["PayloadCertificateUUID"] == uuid["scep"]
    assert (by_name["wifi"]["PayloadCertificateUUID"], by_name["wifi"]["AutoJoin"]) == (uuid["acme"], False)
    assert [line for line in schema.profile(profile) if line.startswith("error") and "eas.account" not in line] == []
    assert {each.payload_type for each in FORMS.values()} == TYPES.keys()


def _spki(signing: Signing) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return signing.root.public_key().public_bytes(encoding, form)


def test_what_is_said_of_the_whole_profile() -> None:
    profile = build(
        spec(
            description="d", scope="User", removal_disallowed=True, removal_date=NOW,
            keys={"ConsentText": {"default": "Yes?"}, "PayloadExpirationDate": {"date": "2027-01-01T00:00:00Z"}},
        )
    )  # fmt: skip
    for key, value in (("PayloadDescription", "d"), ("PayloadScope", "User"), ("PayloadRemovalDisallowed", True),
                       ("RemovalDate", NOW), ("PayloadExpirationDate", NOW), ("ConsentText", {"default": "Yes?"})):  # fmt: skip
        assert profile[key] == value
    assert check(profile, systems=[Target.parse("macOS 15")]) == ()


@pytest.mark.parametrize(
    ("described", "key", "rule"),
    [
        ({}, "identifier", Rule.REQUIRED),
        (spec(identifier="a b"), "identifier", Rule.FORM),
        (spec(identifier=5), "identifier", Rule.TYPE),
        (spec(name=""), "name", Rule.REQUIRED),
        (spec(payloads=[]), "payloads", Rule.HAS_PAYLOADS),
        (spec(payloads={}), "payloads", Rule.HAS_PAYLOADS),
        (spec(payloads=["x"]), "payloads[0]", Rule.TYPE),
        (spec(organisation="x"), "organisation", Rule.KNOWN_KEY),
        (spec(scope="Galaxy"), "PayloadScope", Rule.ALLOWED_VALUE),
        (spec(removal_date=datetime(2027, 1, 1)), "removal_date", Rule.TYPE),
        (spec(removal_date=NOW.date()), "removal_date", Rule.TYPE),
        (spec(description=None), "description", Rule.TYPE),
        (spec(description="a\x07b"), "description", Rule.FORM),
        (spec(keys={"a\0": 1}), "keys", Rule.FORM),
        (spec(keys={"A": [1, 1 << 64]}), "keys.A[1]", Rule.FORM),
        (spec(removal_date=TOO_EARLY), "removal_date", Rule.FORM),
        (spec(keys={"A": {"date": "0001-01-01T00:00:00+14:00"}}), "keys.A.date", Rule.FORM),
        (spec(keys={"A": {"date": "2027-01-31T12:00:00"}}), "keys.A.date", Rule.FORM),
        (spec(keys={"A": {"date": 5}}), "keys.A.date", Rule.TYPE),
        (spec(keys={"PayloadUUID": "x"}), "keys.PayloadUUID", Rule.UNIQUE_IDENTIFIER),
        (spec(keys=5), "keys", Rule.TYPE),
        (spec({}), "payloads[0].type", Rule.REQUIRED),
        (spec({"type": "wlan"}), "payloads[0].type", Rule.KNOWN_TYPE),
        (spec({**SCEP, "name": "a/b"}), "payloads[0].name", Rule.FORM),
        (spec(SCEP, SCEP), "payloads[1].name", Rule.UNIQUE_IDENTIFIER),
        (spec({**SCEP, "ulr": "x"}), "payloads[0].ulr", Rule.KNOWN_KEY),
        (spec({"type": "scep", "subject": "/CN=x"}), "payloads[0].url", Rule.REQUIRED),
        (spec({**SCEP, "url": 5}), "payloads[0].url", Rule.TYPE),
        (spec({**SCEP, "key_size": "2048"}), "payloads[0].key_size", Rule.TYPE),
        (spec({**SCEP, "key_size": True}), "payloads[0].key_size", Rule.TYPE),
        (spec({**SCEP, "subject": "CN=x"}), "payloads[0].subject", Rule.FORM),
        (spec({**SCEP, "subject": "/CN=a/b"}), "payloads[0].subject", Rule.FORM),
        (spec({**SCEP, "key_size": 1000}), "PayloadContent[0].PayloadContent.Keysize", Rule.ALLOWED_VALUE),
        (spec({**SCEP, "url": "{{ device.shoe }}"}), "PayloadContent[0].PayloadContent.URL", Rule.KNOWN_VARIABLE),
        (spec({**CERTIFICATE, "file": "absent"}), "payloads[0].file", Rule.REFERENCE_EXISTS),
        (spec({**CERTIFICATE, "file": "no"}), "payloads[0].file", Rule.CERTIFICATE),
        (spec({**CERTIFICATE, "file": "id.p12"}), "payloads[0].file", Rule.CERTIFICATE),
        (spec({"type": "pkcs12", "file": "id.p12", "password": "x"}), "PayloadContent[0].Password", Rule.ARCHIVE_OPENS),
        (spec(MDM), "payloads[0].certificate", Rule.REFERENCE_EXISTS),
        (spec(SCEP, MDM, {**MDM, "name": "b"}), "PayloadContent[2].PayloadType", Rule.ONE_MDM_PAYLOAD),
        (spec({**MDM, "certificate": "certificate"}, CERTIFICATE), "PayloadContent[0].IdentityCertificateUUID",
         Rule.REFERENCE_FITS),
        (
            spec({"type": "filevault-escrow", "location": "x", "certificate": "scep"}, SCEP),
            "PayloadContent[0].EncryptCertPayloadUUID",
            Rule.REFERENCE_FITS,
        ),
        (spec({"type": "wifi", "ssid": "x", "anchors": ["a"]}), "payloads[0].anchors[0]", Rule.REFERENCE_EXISTS),
        (spec({**SCEP, "keys": {"PayloadType": "x"}}), "payloads[0].keys.PayloadType", Rule.UNIQUE_IDENTIFIER),
        (spec({**SCEP, "keys": {"PayloadContent": {"x": {"uuid_of": "b"}}}}), "payloads[0].keys.PayloadContent.x.uuid_of",
         Rule.REFERENCE_EXISTS),
        (spec({**SCEP, "keys": {"a": [{"base64": "!"}]}}), "payloads[0].keys.a[0].base64", Rule.FORM),
        (spec({**SCEP, "keys": {"a": {"date": "tomorrow"}}}), "payloads[0].keys.a.date", Rule.FORM),
        (spec({**SCEP, "keys": {"a": {"file": "absent"}}}), "payloads[0].keys.a.file", Rule.REFERENCE_EXISTS),
        (spec({**IKEV2, "keys": {"IKEv2": 5}}), "PayloadContent[0].IKEv2", Rule.TYPE),
        (spec({**SCEP, "keys": {5: 5}}), "payloads[0].keys", Rule.TYPE),
    ],
)  # fmt: skip
def test_bad_descriptions_are_refused_with_key_and_rule(described: Any, key: str, rule: Rule, files: ReadFile) -> None:
    with pytest.raises(BadProfile) as refused:
        build(described, read_file=files)
    assert (refused.value.key, refused.value.rule) == (key, rule)


def test_without_files_none_is_read() -> None:
    with pytest.raises(BadProfile, match="files cannot be read here"):
        build(spec(CERTIFICATE))


def test_secrets_are_in_no_error(files: ReadFile) -> None:
    for described in (
        spec({**SCEP, "challenge": ["XYZZY"]}),
        spec({"type": "pkcs12", "file": "id.p12", "password": "XYZZY"}),
        spec({"type": "wifi", "ssid": "x", "password": {"XYZZY": "XYZZY"}}),
    ):
        with pytest.raises(BadProfile) as refused:
            build(described, read_file=files)
        assert "XYZZY" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"{", "x.json"),
        (b"[1]", "x.json"),
        (b"[" * 100_000, "x.json"),
        (b"a = ", "x.toml"),
        (b"\xff", "x.toml"),
        (b"- a", "x.yaml"),
        (b"a: XYZZY: c", "x.yaml"),
        (b"a: " + b"[" * 100_000, "x.yaml"),
        (b"a: &a [1]\nb: *a", "x.yaml"),
        (b"a: !!python/object/apply:os.system [true]", "x.yaml"),
        (b"a: !!bool XYZZY", "x.yaml"),
        (b"{}", "x.plist"),
        (b"{}", "x"),
        (b" " * (LARGEST + 1), "x.json"),
    ],
)
def test_what_cannot_be_read_is_refused(text: bytes, name: str) -> None:
    with pytest.raises(BadProfile) as refused:
        read_spec(text, name)
    assert refused.value.rule is Rule.IS_A_PROFILE
    assert "XYZZY" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b'{"payloads": [{"ssid": "XYZZY", "type": "wifi", "ssid": "b"}]}', "x.json"),
        (b"payloads:\n- ssid: XYZZY\n  type: wifi\n  ssid: b\n", "x.yaml"),
        (b"a: {b: {ssid: XYZZY, ssid: XYZZY}}", "x.yml"),
    ],
)
def test_of_two_values_for_one_key_none_is_taken(text: bytes, name: str) -> None:
    with pytest.raises(BadProfile, match=r"ssid: .* came twice") as refused:
        read_spec(text, name)
    assert (refused.value.key, refused.value.rule) == ("ssid", Rule.UNIQUE_KEY)
    assert "XYZZY" not in str(refused.value)


def test_an_empty_description_is_told_in_words() -> None:
    with pytest.raises(BadProfile, match="nothing came"):
        read_spec(b"", "x.yaml")


def test_too_much_is_refused() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    wide: Any = [[1] * 300] * 300
    for value in (deep, wide):
        with pytest.raises(BadProfile, match="at most"):
            build(spec(keys={"a": value}))
