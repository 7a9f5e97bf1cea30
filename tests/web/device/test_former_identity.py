"""A device that came from a former MDM, with an identity whose key may stand in that MDM's profile."""

from __future__ import annotations

import json
import plistlib
from base64 import b64encode
from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.mdm.commands import Raw
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import EnrollmentState
from bramley.operations import commands, devices, former_mdm, quarantine
from bramley.operations.former_lines import read_lines
from bramley.pki import certificates, keys, names
from bramley.pki.ca.authority import self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from tests.web.world import TOPIC, Device, World

ERASE = Raw("EraseDevice", {"RequestType": "EraseDevice"})


@pytest.fixture
async def moved(world: World, device_key: keys.PrivateKey) -> Device:
    """A device that was taken over, with something to erase it waiting."""
    certificate = self_signed(DEVICE_IDENTITY, device_key, names.make("from the profile"), now=world.clock.now())
    device = Device(world, device_key, certificate=certificate)
    line = {
        "udid": device.udid, "topic": TOPIC, "push_token": b64encode(b"token").decode(), "push_magic": "magic",
        "bootstrap_token": b64encode(b"boot").decode(), "certificate": certificates.pem(certificate).decode(),
    }  # fmt: skip
    await former_mdm.import_enrollments(world.installation, read_lines(json.dumps(line).encode(), "f"), actor="test")
    await world.live.refresh()
    return device


async def erase(world: World, device: Device) -> Command:
    queued = await commands.send(world.installation, device.udid, ERASE, actor="test", push=False)
    assert plistlib.loads((await device.report("Idle")).content)["CommandUUID"] == queued.uuid
    return queued


@pytest.mark.parametrize("used_before", [False, True])
async def test_wiped_and_enrolled_by_the_former_profile_it_starts_clean(world: World, moved: Device, used_before: bool) -> None:
    if used_before:
        await moved.token_update()
        world.clock.moment += timedelta(days=1)
    queued = await erase(world, moved)
    assert (await moved.authenticate()).status_code == 200
    shown = await devices.show(world.installation, moved.udid)
    assert (shown.enrollment.state, shown.enrollment.bootstrap_token) == (EnrollmentState.PENDING, None)
    assert [command.state for command in shown.commands if command.uuid == queued.uuid] == [CommandState.CANCELLED]
    await moved.token_update()
    assert (await moved.report("Idle")).content == b""

    assert (await moved.authenticate()).status_code == 200  # the first one, late
    assert (await devices.show(world.installation, moved.udid)).enrollment.state is EnrollmentState.ACTIVE


async def test_in_quarantine_nothing_is_got_rid_of_that_way(world: World, moved: Device) -> None:
    await quarantine.quarantine(world.installation, moved.udid, reason="stolen", actor="test")
    queued = await erase(world, moved)
    assert (await moved.authenticate()).status_code == 200
    assert plistlib.loads((await moved.report("Idle")).content)["CommandUUID"] == queued.uuid


async def test_an_identity_of_ours_is_not_begun_with_twice(world: World, device: Device) -> None:
    await device.enroll()
    world.clock.moment += timedelta(days=1)
    queued = await erase(world, device)
    assert (await device.authenticate()).status_code == 200
    assert plistlib.loads((await device.report("Idle")).content)["CommandUUID"] == queued.uuid


async def test_another_device_cannot_begin_with_it(world: World, moved: Device) -> None:
    thief = replace(moved, udid="00008030-00000000000000FF")
    assert (await thief.authenticate()).status_code == 400
