"""The enrollment profile: right by Apple's schema, stable where a replacement must keep things, new where it must renew."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from typing import Any

import pytest

from bramley.model.enrollments import EnrollmentKey
from bramley.pki import certificates
from bramley.profiles.enrollment import EnrollmentProfileSettings, enrollment_profile, scep_identity
from bramley.profiles.errors import BadPayload

from .kit import Signing

SETTINGS = EnrollmentProfileSettings(
    organization="Orchard & Sons",
    base_url="https://mdm.orchard.example/",
    topic="com.apple.mgmt.External.5f2a",
    identifier_prefix="example.orchard.mdm",
)


def made(signing: Signing, settings: EnrollmentProfileSettings = SETTINGS, **changes: Any) -> dict[str, Any]:
    """The profile as plistlib reads it."""
    given: dict[str, Any] = {
        "url": "https://mdm.orchard.example/scep",
        "challenge_id": "challenge-1",
        "challenge": "once only",
        "common_name": "key-1",
        **changes,
    }
    key, anchors = EnrollmentKey(given.pop("enrollment_key", "key-1")), given.pop("anchors", (signing.root, signing.ca))
    identity = scep_identity(settings, key, **given)
    profile: dict[str, Any] = plistlib.loads(
        enrollment_profile(settings, enrollment_key=key, identity=identity, anchors=anchors).to_bytes()
    )
    return profile


def by_type(profile: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {payload["PayloadType"]: payload for payload in profile["PayloadContent"]}


def test_the_schema_finds_no_fault(schema: Any, signing: Signing) -> None:
    assert list(schema.profile(made(signing))) == []


def test_it_trusts_then_identifies_then_manages(signing: Signing) -> None:
    profile = made(signing)
    kinds = [payload["PayloadType"] for payload in profile["PayloadContent"]]
    assert kinds == ["com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.scep", "com.apple.mdm"]
    payloads = by_type(profile)
    assert payloads["com.apple.security.root"]["PayloadContent"] == certificates.der(signing.root)
    assert payloads["com.apple.security.pkcs1"]["PayloadContent"] == certificates.der(signing.ca)
    scep, mdm = payloads["com.apple.security.scep"], payloads["com.apple.mdm"]
    assert mdm["IdentityCertificateUUID"] == scep["PayloadUUID"]
    assert mdm["ServerURL"] == "https://mdm.orchard.example/mdm/connect"
    assert mdm["CheckInURL"] == "https://mdm.orchard.example/mdm/checkin"
    assert mdm["SignMessage"] is True
    assert scep["PayloadContent"]["Challenge"] == "once only"
    assert scep["PayloadContent"]["Subject"] == [[["O", "Orchard & Sons"]], [["CN", "key-1"]]]


def test_a_renewal_keeps_all_but_the_identity(signing: Signing) -> None:
    before, after = made(signing), made(signing, challenge_id="challenge-2", challenge="another")
    identity = "com.apple.security.scep"
    assert before["PayloadUUID"] == after["PayloadUUID"]
    assert before["PayloadIdentifier"] == after["PayloadIdentifier"]
    for kind, payload in by_type(before).items():
        renewed = by_type(after)[kind]
        assert payload["PayloadIdentifier"] == renewed["PayloadIdentifier"]
        assert (payload["PayloadUUID"] == renewed["PayloadUUID"]) is (kind != identity)
    mdm = dict(by_type(after)["com.apple.mdm"])
    assert mdm.pop("IdentityCertificateUUID") == by_type(after)[identity]["PayloadUUID"]
    assert mdm.items() <= by_type(before)["com.apple.mdm"].items()


def test_the_same_again_is_the_same(signing: Signing) -> None:
    assert made(signing) == made(signing)


def test_every_enrollment_has_uuids_of_its_own_under_common_identifiers(signing: Signing) -> None:
    one, two = made(signing), made(signing, enrollment_key=EnrollmentKey("key-2"))
    assert one["PayloadIdentifier"] == two["PayloadIdentifier"]
    uuids = [p["PayloadUUID"] for profile in (one, two) for p in (profile, *profile["PayloadContent"])]
    assert len(set(uuids)) == len(uuids)


def test_an_anchor_that_stays_keeps_its_uuid_when_another_comes(signing: Signing) -> None:
    one, two = made(signing, anchors=(signing.root,)), made(signing, anchors=(signing.ca, signing.root))
    root = "com.apple.security.root"
    assert by_type(one)[root] == by_type(two)[root]


def test_nothing_travels_in_clear(signing: Signing) -> None:
    with pytest.raises(BadPayload, match="SCEP"):
        made(signing, url="http://mdm.orchard.example/scep")
    with pytest.raises(BadPayload, match="MDM"):
        made(signing, replace(SETTINGS, base_url="http://mdm.orchard.example"))


def test_what_is_pinned_is_in_the_profile_and_named_for_both_urls(signing: Signing, schema: Any) -> None:
    assert not any("Pinning" in key for key in by_type(made(signing))["com.apple.mdm"])
    key = EnrollmentKey("key-1")
    identity = scep_identity(SETTINGS, key, url="https://a/scep", challenge_id="1", challenge="once", common_name="key-1")
    profile = plistlib.loads(
        enrollment_profile(
            SETTINGS, enrollment_key=key, identity=identity, anchors=(signing.root, signing.ca), pins=(signing.ca,)
        ).to_bytes()
    )
    assert list(schema.profile(profile)) == []
    payloads = by_type(profile)
    (pinned,) = payloads["com.apple.mdm"]["ServerURLPinningCertificateUUIDs"]
    assert payloads["com.apple.mdm"]["CheckInURLPinningCertificateUUIDs"] == [pinned]
    assert payloads["com.apple.security.pkcs1"]["PayloadUUID"] == pinned
    assert payloads["com.apple.security.pkcs1"]["PayloadContent"] == certificates.der(signing.ca)
    assert len(profile["PayloadContent"]) == 4, "what is trusted and pinned is there once"
