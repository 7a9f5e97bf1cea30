"""Commands are on disk, sealed, and the device's alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bramley.mdm.commands import InstallProfile, SecurityInfo
from bramley.mdm.connect import payload_place
from bramley.model.commands import CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.operations import commands
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from tests.conftest import NOW

SECRET = b"<plist>secret</plist>"


@pytest.fixture
async def device(installation: Installation) -> Enrollment:
    row = Enrollment(EnrollmentKey("k"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID("udid"))
    await installation.store.run(lambda tx: tx.enrollments.add(row))
    return row


async def test_a_command_is_sealed_and_leaves_a_push_and_an_event_without_its_content(
    installation: Installation, device: Enrollment
) -> None:
    queued = await commands.send(installation, "udid", InstallProfile(SECRET), actor="admin:ann")
    assert queued.state is CommandState.QUEUED
    stored = await commands.show(installation, "udid", queued.uuid)
    assert SECRET not in stored.payload
    assert queued.uuid.encode() in installation.sealer.open(stored.payload, payload_place(queued.uuid))
    (event,) = await installation.store.read(lambda tx: tx.events.find(kind=EventKind.COMMAND_QUEUED))
    assert (event.actor, event.detail) == ("admin:ann", {"command": queued.uuid, "request_type": "InstallProfile"})
    assert len(await installation.store.read(lambda tx: tx.jobs.of_kind("push"))) == 1


async def test_without_a_push_it_waits_for_the_device(installation: Installation, device: Enrollment) -> None:
    await commands.send(installation, "udid", SecurityInfo(), actor="cli", push=False)
    assert await installation.store.read(lambda tx: tx.jobs.of_kind("push")) == []


async def test_a_device_that_left_takes_none(installation: Installation, device: Enrollment) -> None:
    ended = replace(device, state=EnrollmentState.CHECKED_OUT)
    await installation.store.run(lambda tx: tx.enrollments.update(ended))
    with pytest.raises(Conflict, match="has checked out"):
        await commands.send(installation, "udid", SecurityInfo(), actor="cli")
    assert await installation.store.read(lambda tx: tx.commands.count_pending()) == 0


async def test_one_device_is_not_shown_the_command_of_another(installation: Installation, device: Enrollment) -> None:
    other = replace(device, key=EnrollmentKey("other"), id=EnrollmentID("other udid"))
    await installation.store.run(lambda tx: tx.enrollments.add(other))
    queued = await commands.send(installation, "udid", SecurityInfo(), actor="cli")
    with pytest.raises(NotFound, match="There is no command"):
        await commands.show(installation, "other udid", queued.uuid)
    with pytest.raises(NotFound, match="There is no device"):
        await commands.send(installation, "nobody", SecurityInfo(), actor="cli")
