"""The enrollment profile of a server where a person approves first requests."""

from __future__ import annotations

import plistlib
from datetime import timedelta

import pytest
from asn1crypto.cms import ContentInfo

from bramley.model.enrollments import EnrollmentKey, Purpose
from bramley.operations import enrollment_profiles
from bramley.operations.enrollment_profiles import ByChallenge, Recipient
from bramley.operations.live import Live
from tests.conftest import NOW
from tests.operations.scep_kit import with_scep


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

    assert isinstance(made, ByChallenge)
    content = ContentInfo.load(made.profile)["content"]["encap_content_info"]["content"].native
    payloads = plistlib.loads(content)["PayloadContent"]
    (scep,) = [each["PayloadContent"] for each in payloads if each["PayloadType"] == "com.apple.security.scep"]
    assert (scep["Retries"], scep["RetryDelay"]) == polls
