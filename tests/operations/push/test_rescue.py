"""When it went wrong: what is told is true for the state things are in, and the devices are all there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import pushing
from bramley.operations.errors import NotFound
from bramley.operations.live import Live
from bramley.operations.push import lineages, rescue
from bramley.operations.push.rescue import EnrolledBy, Trouble
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .kit import enroll


@pytest.fixture
async def fleet(live: Live, topic: str) -> Live:
    installation = live.installation
    await enroll(installation, topic, "mac", udid="mac")
    await enroll(installation, topic, "byod", enrollment_id="byod")
    await enroll(installation, topic, "lost", state=EnrollmentState.QUARANTINED)
    await enroll(installation, topic, "gone", state=EnrollmentState.CHECKED_OUT)
    await enroll(installation, topic, "user", parent=EnrollmentKey("key mac"), user_id="u")
    await lineages.note_account(installation, topic, "it@orchard.example", actor="test")
    return live


async def test_nothing_is_wrong(fleet: Live) -> None:
    (found,) = await rescue.diagnose(fleet.installation)
    assert (found.trouble, list(found.steps)) == (Trouble.NONE, [])
    assert [device.enrollment.id for device in found.devices] == ["byod", "mac", "lost"]


async def test_lapsed_is_not_lost(fleet: Live, clock: SetClock, topic: str) -> None:
    clock.moment += timedelta(days=370)
    (found,) = await rescue.diagnose(fleet.installation, topic)
    assert found.trouble is Trouble.LAPSED
    text = " ".join(found.steps)
    assert "No device is lost" in text
    assert f"signed in as it@orchard.example, choose Renew, not Create, for the certificate of {topic}" in text


async def test_refused(fleet: Live, topic: str) -> None:
    await fleet.installation.store.run(lambda tx: tx.notes.set(pushing.paused_note(topic), "BadCertificate"))
    (found,) = await rescue.diagnose(fleet.installation)
    assert found.trouble is Trouble.REFUSED
    assert "BadCertificate" in found.steps[0]
    assert "push resume" in found.steps[-1]


async def test_devices_of_a_topic_that_nothing_here_knows(fleet: Live, topic: str) -> None:
    def forget(tx: Tx) -> None:
        lineage = tx.lineages.find(Kind.PUSH, topic)
        assert lineage is not None
        (version,) = tx.lineages.versions(lineage.id)
        tx.lineages.update_version(replace(version, state=VersionState.REVOKED))
        tx.lineages.update(replace(lineage, name="com.apple.mgmt.other"))

    await fleet.installation.store.run(forget)
    found = {one.status.topic: one for one in await rescue.diagnose(fleet.installation)}
    assert found[topic].trouble is Trouble.MISSING
    assert len(found[topic].devices) == 3
    assert found["com.apple.mgmt.other"].trouble is Trouble.NONE


async def test_what_a_person_knows(fleet: Live, topic: str) -> None:
    (found,) = await rescue.diagnose(fleet.installation, topic, told=Trouble.ACCOUNT_LOST)
    assert any("Apple Support" in step for step in found.steps)
    (found,) = await rescue.diagnose(fleet.installation, topic, told=Trouble.TOPIC_LOST)
    assert any("--other-devices 3" in step for step in found.steps)
    assert {device.enrollment.id: device.enrolled_by for device in found.devices} == {
        "mac": EnrolledBy.DEVICE,
        "byod": EnrolledBy.USER,
        "lost": EnrolledBy.DEVICE,
    }


async def test_a_topic_that_nobody_knows(fleet: Live) -> None:
    with pytest.raises(NotFound, match="Nothing here knows"):
        await rescue.diagnose(fleet.installation, "com.apple.mgmt.nowhere")
