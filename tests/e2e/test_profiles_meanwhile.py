"""Profiles while something else happens: nothing goes out twice, nothing gets stuck, nothing waits that need not."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.mdm.commands import DeviceInformation
from bramley.model.profiles import InstallState
from bramley.operations import commands
from bramley.operations.profiles import assigning, keeping
from bramley.rehearsal.passing import at_rest
from bramley.rehearsal.stage import open_stage
from tests.e2e.profile_kit import WIFI, Play, of, profile, ssid


@pytest.fixture
async def play(tmp_path: Path) -> AsyncGenerator[Play]:
    made = Play(await open_stage(tmp_path, SystemClock()))
    yield made
    await made.close()


async def test_a_list_says_nothing_of_what_was_installed_after_it(play: Play) -> None:
    """Both are answered in one session, and dealt with in whatever order."""
    device = await play.device(2)
    await assigning.check(play.stage.installation, device.device.udid, actor="test")
    await play.keep(profile())
    await play.assign(of(device))
    await at_rest(play.stage, 30)
    for _ in range(2):
        await device.connect()
        await at_rest(play.stage, 30)
    assert [each.request_type for each in device.history] == ["ProfileList", "InstallProfile"]
    on = await play.standing(device)
    assert on is not None
    assert on.state is InstallState.INSTALLED


@pytest.mark.parametrize("name", ["Orchard", "{{ device.name }}"], ids=["waits for the device", "cannot be made"])
async def test_what_never_came_is_forgotten_once_it_is_unassigned(play: Play, name: str) -> None:
    device = await play.device(3)  # an iPhone tells no name when it enrolls
    await play.keep(profile(name))
    await play.assign(of(device))
    await at_rest(play.stage, 30)
    on = await play.standing(device)
    assert on is not None
    assert on.state is (InstallState.SENT if name == "Orchard" else InstallState.FAILED)
    await assigning.unassign(play.stage.installation, WIFI, [of(device)], actor="test")
    await at_rest(play.stage, 30)
    await play.until(device, None)
    assert [each.request_type for each in device.history] == ["RemoveProfile", "ProfileList"]
    await keeping.remove(play.stage.installation, WIFI, actor="test")


async def test_what_lacked_a_name_goes_out_once_the_device_tells_it(play: Play) -> None:
    device = await play.device(3)
    await play.keep(profile("of {{ device.name }}"))
    await play.assign(of(device))
    await play.until(device, InstallState.FAILED)
    await commands.send(play.stage.installation, device.device.udid, DeviceInformation(("DeviceName",)), actor="test")
    await play.until(device, InstallState.INSTALLED)
    assert ssid(device) == f"of {device.device.device_name}"
