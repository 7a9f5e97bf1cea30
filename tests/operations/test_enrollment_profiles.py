"""The enrollment profile: how long a device waits for a person, and what it trusts."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto.cms import ContentInfo

from bramley.model.enrollments import EnrollmentKey, Purpose
from bramley.operations import enrollment_profiles, outside_identities, trusted_cas
from bramley.operations.enrollment_profiles import ByChallenge, Delivery, Recipient
from bramley.operations.errors import NotReady
from bramley.operations.live import Live
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.pki.scep import challenge as challenges
from bramley.settings import Enrollment
from tests.conftest import NOW, URL
from tests.operations.scep_kit import with_scep


def payloads_of(made: Delivery) -> list[dict[str, Any]]:
    assert isinstance(made, ByChallenge)
    content = ContentInfo.load(made.profile)["content"]["encap_content_info"]["content"].native
    found: list[dict[str, Any]] = plistlib.loads(content)["PayloadContent"]
    return found


@pytest.mark.parametrize(
    ("approval", "purpose", "polls"),
    [("manual", Purpose.ENROLL, (1440, 60)), ("manual", Purpose.RENEW, (3, 10)), ("none", Purpose.ENROLL, (3, 10))],
)
async def test_a_device_polls_for_a_day_where_a_person_decides(
    live: Live, approval: str, purpose: Purpose, polls: tuple[int, int]
) -> None:
    server = await with_scep(live, approval=approval)
    recipient = Recipient(EnrollmentKey("a"), purpose, "com.apple.mgmt.External.1")

    made = await enrollment_profiles.prepare(server.installation, server.current(), recipient, timedelta(hours=1), NOW)

    (scep,) = [each["PayloadContent"] for each in payloads_of(made) if each["PayloadType"] == "com.apple.security.scep"]
    assert (scep["Retries"], scep["RetryDelay"]) == polls


@pytest.mark.parametrize(("trust", "trusted"), [({}, ["root"]), ({"anchors": "none"}, []), ({"pin": True}, ["root", "https"])])
async def test_it_brings_the_anchors_that_are_needed_and_pins_on_request(
    live: Live, trust: dict[str, Any], trusted: list[str]
) -> None:
    here = live.installation
    chosen = replace(here, settings=replace(here.settings, enrollment=Enrollment(**trust)))
    recipient = Recipient(EnrollmentKey("a"), Purpose.ENROLL, "com.apple.mgmt.External.1")

    made = await enrollment_profiles.prepare(chosen, live.current(), recipient, timedelta(hours=1), NOW)

    held = live.current().authorities
    ours = {"root": held.root.certificate, "https": held.https.authority.certificate}
    payloads = payloads_of(made)
    brought = {each["PayloadUUID"]: each["PayloadContent"] for each in payloads if isinstance(each.get("PayloadContent"), bytes)}
    assert list(brought.values()) == [certificates.der(ours[name]) for name in trusted]
    pins = payloads[-1].get("ServerURLPinningCertificateUUIDs", [])
    assert [brought[uuid] for uuid in pins] == ([certificates.der(ours["https"])] if trust.get("pin") else [])


OUTSIDE, STATIC = "https://ca.example/scep", "open sesame"
HAS_TOKEN = outside_identities.INVARIANTS


@pytest.mark.parametrize(
    ("scep", "invariants", "url", "challenge", "has_query"),
    [
        ({}, "", f"{URL}/scep", "ours", False),
        ({"outside_url": OUTSIDE}, "", f"{URL}/scep", "ours", False),
        ({"outside_url": OUTSIDE, "outside_challenge": STATIC}, "", f"{URL}/scep/", STATIC, False),
        ({"outside_url": OUTSIDE, "outside_by": "device"}, HAS_TOKEN, OUTSIDE, "nobody's", True),
        ({"outside_url": OUTSIDE, "outside_by": "device", "outside_challenge": STATIC}, HAS_TOKEN, OUTSIDE, STATIC, True),
        # enrolled before, so without a token: what the outside CA gives it would be nobody's
        ({"outside_url": OUTSIDE, "outside_by": "device", "outside_challenge": STATIC}, "", f"{URL}/scep", "ours", False),
        # enrolled with one, and the settings are others since
        ({}, HAS_TOKEN, f"{URL}/scep", "ours", True),
    ],
)
async def test_where_a_device_gets_its_identity(
    live: Live, scep: dict[str, str], invariants: str, url: str, challenge: str, has_query: bool
) -> None:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    ca = self_signed(profiles.ROOT_CA, key, names.make("Corporate CA"), now=NOW)
    await trusted_cas.trust(live.installation, ca, actor="test")
    server = await with_scep(live, **scep)
    recipient = Recipient(EnrollmentKey("a"), Purpose.RENEW, "com.apple.mgmt.External.1", invariants)

    made = await enrollment_profiles.prepare(server.installation, server.current(), recipient, timedelta(hours=1), NOW)

    *_, asks, mdm = payloads_of(made)
    assert isinstance(made, ByChallenge)
    told, path = asks["PayloadContent"]["Challenge"], asks["PayloadContent"]["URL"]
    right = path.rpartition("/")[2] if url.endswith("/") else told
    assert path == (url + right if url.endswith("/") else url)
    assert challenge in (told, "ours", "nobody's")
    # only who is to come back to us with it has the secret
    assert (challenges.digest(right) == made.challenge.secret_sha256) == (not path.startswith(OUTSIDE))
    assert [("?device=a." in mdm[each]) for each in ("ServerURL", "CheckInURL")] == [has_query] * 2


async def test_nobody_is_sent_to_a_ca_that_is_not_trusted(live: Live) -> None:
    server = await with_scep(live, outside_url=OUTSIDE, outside_by="device")
    recipient = Recipient(EnrollmentKey("a"), Purpose.ENROLL, "com.apple.mgmt.External.1", HAS_TOKEN)
    with pytest.raises(NotReady, match="there are 0"):
        await enrollment_profiles.prepare(server.installation, server.current(), recipient, timedelta(hours=1), NOW)
