"""Payloads and the profile around them: Apple's schema finds no fault, and what no device would accept is not made."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from bramley.model.profiles import Scope
from bramley.pki import certificates
from bramley.profiles.build import Profile
from bramley.profiles.errors import BadPayload
from bramley.profiles.payloads import CertificatePayload, MDMPayload, PKCS12Payload, RootCertificatePayload, SCEPPayload

from .kit import Signing

S = "00000000-0000-4000-8000-00000000005C"
M = "00000000-0000-4000-8000-00000000003D"
P = "00000000-0000-4000-8000-000000000090"


def scep(**changes: Any) -> SCEPPayload:
    given: dict[str, Any] = {
        "identifier": "example.orchard.scep",
        "uuid": S,
        "display_name": "Identity",
        "url": "https://mdm.orchard.example/scep",
        "challenge": "once",
        "subject": ((("O", "Orchard"),), (("CN", "one"), ("2.5.4.5", "two"))),
        "name": "Orchard",
    }
    return SCEPPayload(**{**given, **changes})


def pkcs12(**changes: Any) -> PKCS12Payload:
    given: dict[str, Any] = {
        "identifier": "example.orchard.pkcs12",
        "uuid": S,
        "display_name": "Identity",
        "archive": b"an archive",
        "password": "XYZZY",
    }
    return PKCS12Payload(**{**given, **changes})


def mdm(**changes: Any) -> MDMPayload:
    given: dict[str, Any] = {
        "identifier": "example.orchard.mdm",
        "uuid": M,
        "display_name": "Management",
        "identity_uuid": S,
        "topic": "com.apple.mgmt.External.5f2a",
        "server_url": "https://mdm.orchard.example/mdm/connect",
        "check_in_url": "https://mdm.orchard.example/mdm/checkin",
    }
    return MDMPayload(**{**given, **changes})


def profile(*payloads: Any, **changes: Any) -> Profile:
    return Profile("example.orchard", P, "Orchard", "Orchard Ltd", tuple(payloads), **changes)


def test_the_schema_finds_no_fault(schema: Any, signing: Signing) -> None:
    root = RootCertificatePayload("example.orchard.root", "R", "Root", certificates.der(signing.root))
    ca = CertificatePayload("example.orchard.ca", "C", "CA", certificates.der(signing.ca))
    made = profile(root, ca, scep(), mdm(), description="Hello", scope=Scope.SYSTEM, removal_disallowed=True)
    assert list(schema.profile(plistlib.loads(made.to_bytes()))) == []


def test_the_schema_finds_no_fault_where_the_identity_comes_along(schema: Any) -> None:
    made = plistlib.loads(profile(pkcs12(), mdm()).to_bytes())
    assert list(schema.profile(made)) == []
    brought = made["PayloadContent"][0]
    assert (brought["PayloadContent"], brought["Password"]) == (b"an archive", "XYZZY")
    assert (brought["KeyIsExtractable"], brought["AllowAllAppsAccess"]) == (False, False)


def test_a_reference_to_no_payload_would_not_go_unseen(schema: Any) -> None:
    assert any("IdentityCertificateUUID" in line for line in schema.profile(profile(mdm()).to_plist()))


def test_scep_asks_for_a_key_that_can_encrypt_and_stays_where_it_is() -> None:
    content = scep().to_plist()["PayloadContent"]
    assert isinstance(content, dict)
    assert (content["Keysize"], content["Key Type"], content["Key Usage"]) == (2048, "RSA", 5)
    assert content["KeyIsExtractable"] is False
    assert content["Subject"] == [[["O", "Orchard"]], [["CN", "one"], ["2.5.4.5", "two"]]]
    assert "CAFingerprint" not in content


def test_mdm_signs_its_messages_and_says_when_it_leaves() -> None:
    keys = mdm().to_plist()
    assert (keys["SignMessage"], keys["CheckOutWhenRemoved"], keys["AccessRights"]) == (True, True, 8191)
    assert keys["ServerCapabilities"] == ["com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken"]
    assert mdm(per_user_connections=False, bootstrap_token=False).to_plist()["ServerCapabilities"] == []


@pytest.mark.parametrize("changes", [{"key_size": 1024}, {"key_usage": 0}, {"challenge": ""}, {"subject": ()}])
def test_a_weak_or_nameless_identity_is_not_asked_for(changes: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        scep(**changes)


@pytest.mark.parametrize("changes", [{"archive": b""}, {"password": ""}])
def test_an_identity_that_no_device_could_open_is_not_sent(changes: dict[str, Any]) -> None:
    with pytest.raises(BadPayload, match="archive and its password"):
        pkcs12(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"server_url": "http://mdm.orchard.example/"},
        {"check_in_url": "ftp://mdm.orchard.example/"},
        {"topic": "com.orchard.push"},
        {"access_rights": 0},
        {"access_rights": 8192},
        {"access_rights": 2},
        {"access_rights": 128},
    ],
)
def test_management_that_no_device_accepts_is_not_built(changes: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        mdm(**changes)


def test_payloads_do_not_share_a_uuid_and_there_is_one() -> None:
    for payloads in ((), (scep(), mdm(uuid=S)), (scep(uuid=P),)):
        with pytest.raises(BadPayload, match="UUID"):
            profile(*payloads)


def test_what_is_not_set_is_left_out() -> None:
    keys = profile(scep()).to_plist()
    assert keys.keys().isdisjoint({"PayloadScope", "PayloadDescription", "PayloadRemovalDisallowed"})
    assert (keys["PayloadType"], keys["PayloadVersion"], keys["PayloadOrganization"]) == ("Configuration", 1, "Orchard Ltd")


def test_challenge_archive_and_password_are_not_shown() -> None:
    shown = repr(profile(scep(challenge="XYZZY"), pkcs12(uuid="other")))
    assert "XYZZY" not in shown
    assert "an archive" not in shown
