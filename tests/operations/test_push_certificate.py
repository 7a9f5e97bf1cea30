"""No push certificate comes in that would lose the fleet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bramley.errors import BramleyError
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations import certificates, enrolling, push_certificate
from bramley.operations.errors import Invalid, TopicWouldChange
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki import keys
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from tests.conftest import SetClock


async def _enroll(installation: Installation, topic: str) -> None:
    now = installation.clock.now()
    enrollment = Enrollment(EnrollmentKey("k"), EnrollmentState.ACTIVE, now, now, id=EnrollmentID("udid"), topic=topic)
    await installation.store.run(lambda tx: tx.enrollments.add(enrollment))


async def test_a_renewal_takes_the_place_of_the_one_before(
    live: Live, topic: str, apple: SandboxAppleCA, push_key: keys.PrivateKey, clock: SetClock
) -> None:
    await _enroll(live.installation, topic)
    before = live.current().pushes[topic]
    clock.moment += timedelta(days=300)
    renewed = apple.issue_push_certificate(push_key.public_key(), topic=topic, now=clock.now())
    assert await push_certificate.import_pair(live.installation, renewed, push_key, actor="test", dry_run=True) is None
    assert await live.refresh() is False
    version = await push_certificate.import_pair(live.installation, renewed, push_key, actor="test")
    assert version is not None
    assert await live.refresh() is True
    assert live.current().pushes[topic].fingerprint != before.fingerprint
    detail = await certificates.show(live.installation, version.id)
    assert [v.state for v in detail.versions] == ["superseded", "active"]


async def test_another_topic_is_a_hard_stop_that_names_the_number(
    live: Live, topic: str, apple: SandboxAppleCA, push_key: keys.PrivateKey
) -> None:
    await _enroll(live.installation, topic)
    other = apple.issue_push_certificate(push_key.public_key(), topic=new_topic(), now=live.installation.clock.now())
    with pytest.raises(TopicWouldChange, match=r"1 enrolled device\(s\).*choose Renew, not Create") as stopped:
        await push_certificate.import_pair(live.installation, other, push_key, actor="test")
    assert topic in str(stopped.value)
    assert await live.refresh() is False


async def test_a_key_of_another_certificate(
    installation: Installation, apple: SandboxAppleCA, push_key: keys.PrivateKey, device_keys: list[keys.PrivateKey]
) -> None:
    certificate = apple.issue_push_certificate(push_key.public_key(), topic=new_topic(), now=installation.clock.now())
    with pytest.raises(Invalid, match="does not belong"):
        await push_certificate.import_pair(installation, certificate, device_keys[0], actor="test")


async def test_an_expired_one(
    installation: Installation, apple: SandboxAppleCA, push_key: keys.PrivateKey, clock: SetClock
) -> None:
    certificate = apple.issue_push_certificate(push_key.public_key(), topic=new_topic(), now=clock.now())
    clock.moment += timedelta(days=366)
    with pytest.raises(Invalid, match="Renew it"):
        await push_certificate.import_pair(installation, certificate, push_key, actor="test")


async def test_one_without_an_mdm_topic(installation: Installation, apple: SandboxAppleCA, push_key: keys.PrivateKey) -> None:
    certificate = apple.issue_push_certificate(push_key.public_key(), topic="com.example.app", now=installation.clock.now())
    with pytest.raises(BramleyError, match=r"com\.apple\.mgmt\."):
        await push_certificate.import_pair(installation, certificate, push_key, actor="test")


async def test_devices_enroll_under_the_topic_that_lasts_longest(
    live: Live, topic: str, apple: SandboxAppleCA, push_key: keys.PrivateKey, clock: SetClock
) -> None:
    """One for trying things out came first; its name says nothing about which of the two is meant."""
    for name in ("com.apple.mgmt.External.0", "com.apple.mgmt.External.f"):
        clock.moment += timedelta(days=30)
        later = apple.issue_push_certificate(push_key.public_key(), topic=name, now=clock.now())
        await push_certificate.import_pair(live.installation, later, push_key, actor="test")
        await live.refresh()
        assert enrolling.topic_to_enroll_under(live.current()) == name


async def test_the_same_twice(live: Live, topic: str, push_key: keys.PrivateKey) -> None:
    with pytest.raises(Invalid, match="is here already"):
        await push_certificate.import_pair(live.installation, live.current().pushes[topic].certificate, push_key, actor="test")
