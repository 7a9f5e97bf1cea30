"""A former MDM's enrollment profile: what is kept of it, and the renewal that devices take in its place."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bramley.model.enrollments import EnrollmentKey
from bramley.pki import certificates
from bramley.profiles import former
from bramley.profiles.build import Profile
from bramley.profiles.enrollment import EnrollmentProfileSettings, enrollment_profile, scep_identity
from bramley.profiles.errors import BadProfile
from bramley.profiles.payloads import RootCertificatePayload
from bramley.profiles.sign import sign

from .kit import NOW, Signing, payload, profile

HOST = "mdm.orchard.example"
TOPIC = "com.apple.mgmt.External.5f2a"
SECRET = "open sesame"
PATHS = ("/mdm/connect", "/mdm/checkin", "/mdm")
Change = Callable[[dict[str, Any]], Any]


def identity(**rest: Any) -> dict[str, Any]:
    content = {"URL": "https://old.example/scep", "Challenge": SECRET}
    return payload("com.apple.security.scep", "SCEP", **{"PayloadContent": content, **rest})


def mdm(**rest: Any) -> dict[str, Any]:
    usual = {
        "IdentityCertificateUUID": "SCEP", "Topic": TOPIC, "ServerURL": f"https://{HOST}/mdm?group=staff", "SignMessage": True,
        "CheckOutWhenRemoved": True, "AccessRights": 3, "ServerCapabilities": ["com.apple.mdm.per-user-connections"],
    }  # fmt: skip
    return payload("com.apple.mdm", "MDM", **{**usual, **rest})


def theirs(*more: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """What NanoMDM's users hand out: one URL, a SCEP payload, a Wi-Fi payload beside it."""
    wifi = payload("com.apple.wifi.managed", "WIFI", SSID_STR="orchard", Password="pippin")
    return profile(identity(), mdm(**rest), wifi, *more, PayloadScope="System", PayloadDisplayName="Their MDM")


def read(content: dict[str, Any] | bytes, paths: tuple[str, ...] = PATHS) -> former.FormerProfile:
    data = content if isinstance(content, bytes) else plistlib.dumps(content)
    return former.read(data, host=HOST, topics=[TOPIC], paths=paths)


def ours(signing: Signing) -> Profile:
    settings = EnrollmentProfileSettings("Bramley", f"https://{HOST}", TOPIC, "bramley")
    key = EnrollmentKey("key-1")
    fresh = scep_identity(settings, key, url=f"https://{HOST}/scep", challenge_id="1", challenge="fresh", common_name="key-1")
    return enrollment_profile(settings, enrollment_key=key, identity=fresh, anchors=[signing.root])


@pytest.mark.parametrize(
    "kind", ["com.apple.security.scep", "com.apple.security.pkcs12", "com.apple.security.acme"], ids=lambda kind: kind[19:]
)
def test_its_identity_is_not_kept_and_all_else_is(kind: str) -> None:
    given = theirs()
    given["PayloadContent"][0] |= {"PayloadType": kind, "Password": SECRET, "PayloadContent": SECRET.encode()}
    kept = read(given)
    assert SECRET.encode() not in kept.content
    assert plistlib.loads(kept.content) == {**given, "PayloadContent": given["PayloadContent"][1:]}
    assert kept.topic == TOPIC
    assert SECRET not in repr(kept)
    assert "pippin" not in repr(kept)
    assert kept.warnings == ()


def test_a_signed_one_is_the_same_one(signing: Signing) -> None:
    plain = plistlib.dumps(theirs())
    signed = sign(plain, certificate=signing.signer, key=signing.key, chain=[signing.ca], now=NOW)
    assert read(signed) == read(plain)
    assert read(theirs(AccessRights=1)).id != read(plain).id
    other_secret = theirs()
    other_secret["PayloadContent"][0]["PayloadContent"]["Challenge"] = "another"
    assert read(other_secret).id == read(plain).id


def test_a_renewal_changes_nothing_but_the_identity(signing: Signing, schema: Any) -> None:
    given = theirs()
    made = plistlib.loads(former.renewal(read(given).content, ours(signing)))
    payloads = {each["PayloadType"]: each for each in made["PayloadContent"]}
    before = {each["PayloadType"]: each for each in given["PayloadContent"]}
    scep = payloads["com.apple.security.scep"]
    assert scep["PayloadContent"]["URL"] == f"https://{HOST}/scep"
    assert scep["PayloadContent"]["Challenge"] == "fresh"
    assert payloads["com.apple.mdm"] == before["com.apple.mdm"] | {"IdentityCertificateUUID": scep["PayloadUUID"]}
    assert payloads["com.apple.wifi.managed"] == before["com.apple.wifi.managed"]
    assert payloads["com.apple.security.root"]["PayloadContent"] == certificates.der(signing.root)
    assert {k: v for k, v in made.items() if k != "PayloadContent"} == {k: v for k, v in given.items() if k != "PayloadContent"}
    assert len(made["PayloadContent"]) == 4
    assert list(schema.profile(made)) == []


def test_what_is_there_under_our_name_stays_and_comes_once(signing: Signing) -> None:
    mine = ours(signing)
    anchor = next(each for each in mine.payloads if isinstance(each, RootCertificatePayload))
    theirs_of_it = replace(anchor, uuid="OF-ANOTHER-BRAMLEY").to_plist()
    made = plistlib.loads(former.renewal(read(theirs(dict(theirs_of_it))).content, mine))
    roots = [each for each in made["PayloadContent"] if each["PayloadType"] == "com.apple.security.root"]
    assert [each["PayloadUUID"] for each in roots] == ["OF-ANOTHER-BRAMLEY"]


BAD: dict[str, tuple[Change, str, str, str]] = {
    "topic": (lambda p: p["PayloadContent"][1].update(Topic="com.apple.mgmt.other"), "PayloadContent[1].Topic", "allowed-value",
              "push import"),
    "no topic": (lambda p: p["PayloadContent"][1].pop("Topic"), "PayloadContent[1].Topic", "allowed-value", "None came"),
    "host": (lambda p: p["PayloadContent"][1].update(ServerURL="https://old.example/mdm"), "PayloadContent[1].ServerURL",
             "allowed-value", "setting url"),
    "http": (lambda p: p["PayloadContent"][1].update(ServerURL=f"http://{HOST}/mdm"), "PayloadContent[1].ServerURL",
             "allowed-value", "https"),
    "no URL": (lambda p: p["PayloadContent"][1].pop("ServerURL"), "PayloadContent[1].ServerURL", "allowed-value", "None came"),
    "no URL at all": (lambda p: p["PayloadContent"][1].update(ServerURL="https://["), "PayloadContent[1].ServerURL",
                      "allowed-value", "https"),
    "path": (lambda p: p["PayloadContent"][1].update(CheckInURL=f"https://{HOST}/checkin"), "PayloadContent[1].CheckInURL",
             "allowed-value", "Add /checkin to the setting former_paths"),
    "identity missing": (lambda p: p["PayloadContent"].pop(0), "PayloadContent[0].IdentityCertificateUUID", "reference-exists",
                         "none came"),
    "identity is no identity": (lambda p: p["PayloadContent"][1].update(IdentityCertificateUUID="WIFI"),
                                "PayloadContent[1].IdentityCertificateUUID", "reference-fits", "wifi"),
    "no MDM": (lambda p: p["PayloadContent"].pop(1), "PayloadContent", "one-MDM-payload", "none came"),
    "two MDM": (lambda p: p["PayloadContent"].append(mdm()), "PayloadContent[3].PayloadType", "one-MDM-payload", "2"),
    "no profile": (lambda p: p.update(PayloadType="Nothing"), "PayloadType", "is-a-profile", "Nothing"),
    "too large": (lambda p: p.update(ConsentText={"default": "x" * former.LARGEST}), "", "is-a-profile", "at most"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_one_that_its_devices_could_not_go_on_with_is_refused(case: str) -> None:
    change, key, rule, words = BAD[case]
    given = theirs()
    change(given)
    with pytest.raises(BadProfile) as caught:
        read(given)
    assert (caught.value.key, caught.value.rule) == (key, rule)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_path_must_be_served() -> None:
    with pytest.raises(BadProfile, match="Add /mdm to the setting former_paths"):
        read(theirs(), paths=("/mdm/connect", "/mdm/checkin"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p["PayloadContent"][1].pop("SignMessage"), "SignMessage"),
        (lambda p: p["PayloadContent"][1].update(ServerURLPinningCertificateUUIDs=["X"]), "pins"),
        (lambda p: p["PayloadContent"].append(payload("com.apple.security.pkcs12", "VPN")), "example.VPN"),
    ],
)
def test_what_deserves_a_look_is_told(change: Change, words: str) -> None:
    given = theirs()
    change(given)
    (warning,) = read(given).warnings
    assert words in warning
