"""Templates of network identities: what is read, what is refused and by which key, and what comes of one for a device."""

from __future__ import annotations

import hashlib
import plistlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from asn1crypto import x509 as asn1
from cryptography import x509

from bramley.model.enrollments import EnrollmentKey
from bramley.model.networks import RECIPIENT, NetworkIssuer, NetworkUse
from bramley.pki import certificates, keys
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.pki.names import make
from bramley.profiles import network_profile
from bramley.profiles.errors import MissingVariable
from bramley.profiles.network import LARGEST, BadTemplate, Template
from bramley.profiles.network_profile import UPN, Order
from bramley.profiles.network_reading import read

DEVICE = {"device.serial": "C02XG0FDJGH5", "device.name": "Ann's Mac", "enrollment.key": "KEY"}
LEAST = 'name = "wifi"\nuse = "wifi"\nsubject = [["CN", "{{ device.serial }}"]]\n'
WIFI = (
    LEAST
    + """
[san]
rfc822Name = "{{ device.serial }}@orchard.example"
dNSName = "{{ device.serial }}.orchard.example"
uniformResourceIdentifier = "urn:device:{{ device.serial }}"
ntPrincipalName = "{{ device.serial }}@orchard.example"

[[payloads]]
PayloadType = "com.apple.security.root"
PayloadUUID = "11111111-2222-3333-4444-555555555555"
PayloadContent = { base64 = "ANCHOR" }

[[payloads]]
PayloadType = "com.apple.wifi.managed"
SSID_STR = "Orchard {{ device.serial }}"
EncryptionType = "WPA2"
PayloadCertificateUUID = "{{identity.uuid}}"

[payloads.EAPClientConfiguration]
AcceptEAPTypes = [13]
PayloadCertificateAnchorUUID = ["11111111-2222-3333-4444-555555555555"]
"""
)


@pytest.fixture(scope="module")
def ca() -> x509.Certificate:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    return self_signed(profiles.ROOT_CA, key, make("Outside CA"), now=datetime.fromisoformat("2026-01-01T00:00:00+00:00"))


def outside(of: x509.Certificate, **changed: str) -> str:
    table = {"url": "https://ca.example/scep", "challenge": "s3cret challenge", "ca": certificates.pem(of).decode(), **changed}
    return LEAST + "[outside]\n" + "".join(f'{key} = """{value}"""\n' for key, value in table.items())


def order(identity_id: str = "1", **changed: Any) -> Order:
    made = Order(EnrollmentKey("KEY"), identity_id, "https://mdm.example/scep", "one-time", "Identity CA", "Orchard", "bramley")
    return replace(made, **changed)


def made(template: Template, values: Mapping[str, str] = DEVICE, **changed: Any) -> dict[str, Any]:
    content: dict[str, Any] = plistlib.loads(network_profile.profile(template, order(**changed), values).to_bytes())
    return content


def test_the_least_that_there_can_be() -> None:
    template = read(LEAST.encode())
    network_profile.check(template)
    assert (template.name, template.use, template.issuer) == ("wifi", NetworkUse.WIFI, NetworkIssuer.BRAMLEY)
    assert (template.key_size, template.lifetime) == (2048, timedelta(days=365))
    assert template.renew_at == pytest.approx(2 / 3)
    (scep,) = made(template)["PayloadContent"]
    assert scep["PayloadContent"] == {
        "URL": "https://mdm.example/scep",
        "Name": "Identity CA",
        "Subject": [[["CN", "C02XG0FDJGH5"]]],
        "Challenge": "one-time",
        "Keysize": 2048,
        "Key Type": "RSA",
        "Key Usage": 5,
        "KeyIsExtractable": False,
        "Retries": 3,
        "RetryDelay": 10,
    }


def test_further_payloads_use_the_identity_and_stay_the_same_while_it_changes(ca: x509.Certificate) -> None:
    anchor = certificates.der(ca)
    template = read(WIFI.replace("ANCHOR", b64encode(anchor[:60]).decode() + " " + b64encode(anchor[60:]).decode()).encode())
    network_profile.check(template)
    first, second = made(template), made(template, identity_id="2")
    assert first["PayloadIdentifier"] == "bramley.network.wifi"
    assert {first["PayloadUUID"]} == {second["PayloadUUID"]}
    for profile in (first, second):
        scep, root, wifi = profile["PayloadContent"]
        assert wifi["PayloadCertificateUUID"] == scep["PayloadUUID"]
        assert wifi["SSID_STR"] == "Orchard C02XG0FDJGH5"
        assert root["PayloadContent"] == anchor
        assert root["PayloadUUID"] == "11111111-2222-3333-4444-555555555555"
    kept = [[payload["PayloadUUID"] for payload in profile["PayloadContent"]] for profile in (first, second)]
    assert kept[0][0] != kept[1][0]
    assert kept[0][1:] == kept[1][1:]
    assert made(template, key=EnrollmentKey("OTHER"))["PayloadUUID"] != first["PayloadUUID"]
    assert scep["PayloadContent"]["SubjectAltName"] == {
        "rfc822Name": "C02XG0FDJGH5@orchard.example",
        "dNSName": "C02XG0FDJGH5.orchard.example",
        "uniformResourceIdentifier": "urn:device:C02XG0FDJGH5",
        "ntPrincipalName": "C02XG0FDJGH5@orchard.example",
    }


def test_alternative_names_as_others_read_them() -> None:
    names = network_profile.names(read(WIFI.partition("[[payloads]]")[0].encode()), DEVICE)
    key = keys.generate(keys.KeyAlgorithm.P_256)
    certificate = self_signed(profiles.DEVICE_IDENTITY, key, names.subject, sans=names.sans, now=datetime.now().astimezone())
    told = asn1.Certificate.load(certificates.der(certificate)).subject_alt_name_value
    assert [(name.name, name.native) for name in told] == [
        ("rfc822_name", "C02XG0FDJGH5@orchard.example"),
        ("dns_name", "C02XG0FDJGH5.orchard.example"),
        ("uniform_resource_identifier", "urn:device:C02XG0FDJGH5"),
        ("other_name", {"type_id": UPN, "value": "C02XG0FDJGH5@orchard.example"}),
    ]
    assert told[3].chosen["value"].parsed.__class__.__name__ == "UTF8String"


def test_an_outside_ca(ca: x509.Certificate) -> None:
    template = read(outside(ca, ca_fingerprint=hashlib.sha1(certificates.der(ca)).hexdigest()).encode())
    network_profile.check(template)
    assert template.outside is not None
    assert (template.issuer, template.lifetime) == (NetworkIssuer.OUTSIDE, None)
    assert "s3cret" not in repr(template)
    (scep,) = made(template)["PayloadContent"]
    assert scep["PayloadContent"]["CAFingerprint"] == hashlib.sha1(certificates.der(ca)).digest()
    assert "one-time" not in repr(order())


@pytest.mark.parametrize("value", ["Ann, O=Admins", "Ann+OU=x", 'Ann"\\', "CN=root", "Äpfel", "{{ device.serial }}"])
def test_what_a_device_calls_itself_is_a_value_and_nothing_else(value: str) -> None:
    template = read(LEAST.replace("serial", "name").encode())
    subject = network_profile.names(template, {"device.name": value}).subject
    assert [(each.oid.dotted_string, each.value) for each in subject] == [("2.5.4.3", value)]
    ((rdn,),) = made(template, {"device.name": value})["PayloadContent"][0]["PayloadContent"]["Subject"]
    assert rdn == ["CN", value]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("CN", "x" * 65),
        ("CN", "ä" * 33),
        ("CN", "two\nlines"),
        ("CN", "\u202eevil"),
        ("dNSName", "*.example"),
        ("dNSName", "two words"),
        ("dNSName", "ä.example"),
        ("dNSName", "-a.example"),
        ("dNSName", "a" * 64),
        ("rfc822Name", "a@b@c"),
        ("rfc822Name", "a b@c"),
        ("rfc822Name", "a@c\n"),
        ("rfc822Name", "@c"),
        ("uniformResourceIdentifier", "no scheme"),
        ("uniformResourceIdentifier", "http:"),
        ("ntPrincipalName", "ann"),
        ("ntPrincipalName", "a@" + "b" * 254),
    ],
)
def test_a_value_that_fits_no_such_name_is_refused(kind: str, value: str) -> None:
    text = LEAST.replace("serial", "name") if kind == "CN" else LEAST + f'[san]\n{kind} = "{{{{ device.name }}}}"\n'
    template = read(text.encode())
    for make_it in (network_profile.names, lambda t, v: network_profile.profile(t, order(), v)):
        with pytest.raises(BadTemplate, match=kind):
            make_it(template, {"device.serial": "C02", "device.name": value})


@pytest.mark.parametrize("value", [None, ""])
def test_a_value_that_the_device_has_not_is_refused(value: str | None) -> None:
    with pytest.raises(MissingVariable, match=r"device\.serial"):
        network_profile.names(read(LEAST.encode()), {"device.serial": value})


PAYLOAD = LEAST + '[[payloads]]\nPayloadType = "com.apple.wifi.managed"\n'

BAD = [
    ("", "name"),
    ("name = 1", "name"),
    (LEAST.replace('"wifi"\nuse', '"Wi-Fi"\nuse'), "name"),
    (LEAST.replace('"wifi"\nuse', '"wi fi"\nuse'), "name"),
    (LEAST.replace('"wifi"\nuse', '"-wifi"\nuse'), "name"),
    (LEAST.replace('"wifi"\nuse', f'"{"w" * 64}"\nuse'), "name"),
    (LEAST.replace('"wifi"\nuse', f'"{RECIPIENT}"\nuse'), "name"),
    (LEAST.replace('use = "wifi"', 'use = "tls"'), "use"),
    (LEAST.replace("subject", "subjects"), "subject"),
    ('name = "a"\nuse = "wifi"\nsubject = []', "subject"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN"]]', "subject[0]"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN", 1]]', "subject[0]"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN", "a"], ["DN", "a"]]', "subject[1]"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN", ""]]', "subject[0]"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN", "{{ device.colour }}"]]', "subject[0]"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN", "{{ user.id }}"]]', "subject[0]"),
    ('name = "a"\nuse = "wifi"\nsubject = [["CN", "{{ device.serial"]]', "subject[0]"),
    (LEAST + "key_size = 1024", "key_size"),
    (LEAST + "key_size = 2048.0", "key_size"),
    (LEAST + "lifetime_days = 0", "lifetime_days"),
    (LEAST + "lifetime_days = 100000", "lifetime_days"),
    (LEAST + "lifetime_days = true", "lifetime_days"),
    (LEAST + "renew_at = 1", "renew_at"),
    (LEAST + "renew_at = nan", "renew_at"),
    (LEAST + "colour = 1", "colour"),
    (LEAST + '[san]\nURI = "urn:x"', "san.URI"),
    (LEAST + '[san]\ndNSName = ["a"]', "san.dNSName"),
    (LEAST + '[san]\ndNSName = "not a name"', "san.dNSName"),
    (LEAST.replace('use = "wifi"', 'use = "smime"'), "san.rfc822Name"),
    (LEAST.replace('"{{ device.serial }}"', '"' + "x" * 65 + '"'), "subject CN"),
    (LEAST + "payloads = 1", "payloads"),
    (LEAST + "[[payloads]]\nSSID_STR = 'a'", "payloads[0]"),
    (LEAST + '[[payloads]]\nPayloadType = "com.apple.mdm"', "payloads[0].PayloadType"),
    (LEAST + '[[payloads]]\nPayloadType = "com.apple.security.scep"', "payloads[0].PayloadType"),
    (PAYLOAD + 'SSID_STR = "{{ device.colour }}"', "payloads[0].SSID_STR"),
    (PAYLOAD + 'SSID_STR = { base64 = "=" }', "payloads[0].SSID_STR.base64"),
    (PAYLOAD + "SSID_STR = { base64 = 1 }", "payloads[0].SSID_STR.base64"),
    (PAYLOAD + 'SSID_STR = "a"\nPayloadCertificateUUID = "elsewhere"', "payloads"),
    (PAYLOAD + "SSID_STR = 2026-01-01", "payloads"),
    (LEAST + '[[payloads]]\nPayloadType = "x"\n' * 17, "payloads"),
    ("name = ", ""),
    (b"\xff", ""),
    ("a = " + "[" * 5000, ""),
    ("#" * (LARGEST + 1), ""),
]


@pytest.mark.parametrize(("text", "key"), BAD)
def test_what_is_wrong_is_refused_by_its_key(text: str | bytes, key: str) -> None:
    with pytest.raises(BadTemplate) as refused:
        network_profile.check(read(text if isinstance(text, bytes) else text.encode()))
    assert refused.value.key == key
    assert refused.value.message.startswith(f"{key}: " if key else "Expected ")
    assert len(refused.value.message) < 500


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"url": "ftp://ca.example"}, "outside.url"),
        ({"url": "https://"}, "outside.url"),
        ({"url": "https://[ca"}, "outside.url"),
        ({"url": "https://ca.example/a b"}, "outside.url"),
        ({"url": "http://ca.example/scep"}, "outside.ca_fingerprint"),
        ({"ca_fingerprint": "00" * 32}, "outside.ca_fingerprint"),
        ({"ca_fingerprint": "0011"}, "outside.ca_fingerprint"),
        ({"ca_fingerprint": "pomme"}, "outside.ca_fingerprint"),
        ({"challenge": ""}, "outside.challenge"),
        ({"ca": "pomme"}, "outside.ca"),
        ({"port": "1"}, "outside.port"),
    ],
)
def test_what_is_wrong_with_an_outside_ca(ca: x509.Certificate, changed: dict[str, str], key: str) -> None:
    with pytest.raises(BadTemplate) as refused:
        read(outside(ca, **changed).encode())
    assert refused.value.key == key
    assert "s3cret" not in refused.value.message


def test_an_outside_ca_decides_how_long_a_certificate_lasts(ca: x509.Certificate) -> None:
    with pytest.raises(BadTemplate) as refused:
        read(("lifetime_days = 30\n" + outside(ca)).encode())
    assert refused.value.key == "lifetime_days"
