"""Profiles that an operator sends by hand, on their way to a real (simulated) device."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.mdm.commands import InstallProfile, SecurityInfo
from bramley.operations import commands, device_commands
from bramley.operations.errors import Invalid
from bramley.rehearsal.stage import open_stage
from bramley.sandbox.device.transport import Call
from bramley.sandbox.errors import ServerRefused
from tests.e2e.profile_kit import WIFI, Play, profile, ssid

pytestmark = pytest.mark.parametrize("database", [""])


@pytest.fixture
async def play(tmp_path: Path, database: str) -> AsyncGenerator[Play]:
    made = Play(await open_stage(tmp_path, SystemClock(), database))
    yield made
    await made.close()


async def test_an_enrollment_profile_by_hand_would_cost_the_device_and_is_refused(play: Play) -> None:
    device, here = await play.device(2), play.stage.installation
    another = InstallProfile((await device.transport.deliver(Call("GET", await play.stage.link()))).body)
    with pytest.raises(Invalid, match="another identity"):
        await device_commands.send(here, device.device.udid, another, actor="test")
    await commands.send(here, device.device.udid, SecurityInfo(), actor="test")
    assert await device.connect() == 1
    await commands.send(here, device.device.udid, another, actor="test")  # past the guard
    for _ in range(2):
        with pytest.raises(ServerRefused, match="400"):
            await device.connect()


async def test_a_plain_profile_by_hand_is_installed_signed_and_filled_in(play: Play) -> None:
    device, here = await play.device(2), play.stage.installation
    request = InstallProfile(profile("Orchard {{ device.serial }}"))
    await device_commands.send(here, device.device.udid, request, actor="test")
    assert await device.connect() == 1
    assert device.holdings.profiles[WIFI].signers
    assert ssid(device) == f"Orchard {device.device.serial_number}"
    await device_commands.send(here, device.device.udid, request, as_is=True, actor="test")
    assert await device.connect() == 1
    assert (device.holdings.profiles[WIFI].signers, ssid(device)) == ((), "Orchard {{ device.serial }}")
