"""The script by which an administrator tries profiles on a device says yes all the way to a simulated one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.networks import RECIPIENT, NetworkState
from bramley.operations.network import sending
from bramley.operations.profiles import keeping
from bramley.pki.keys import KeyAlgorithm
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import open_stage

ROOT = Path(__file__).parents[2]

openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@openssl
async def test_profiles_on_a_mac_with_a_user(tmp_path: Path) -> None:
    stage = await open_stage(tmp_path, SystemClock())
    device = stage.device(2, users=1)
    try:
        await device.enroll(await stage.link())
        async with awake(device):
            code, said = await _run(stage.installation.settings.data, device.device.udid, device.behaviour.users[0].user_id)
        assert code == 0, said
        assert said.splitlines()[-1] == "no: nothing"
        assert len(said.splitlines()) == 17
        assert all(line.startswith("yes  ") for line in said.splitlines()[:-1])
        assert set(device.holdings.profiles) == {"bramley.enrollment"}
        assert await keeping.listing(stage.installation) == []
    finally:
        await device.close()
        await stage.close()


@openssl
async def test_a_device_keeps_the_certificate_that_it_had(tmp_path: Path) -> None:
    stage = await open_stage(tmp_path, SystemClock())
    device = stage.device(2, hardware_key=KeyAlgorithm.P_256)
    try:
        await device.enroll(await stage.link())
        await sending.assign(stage.service.live, RECIPIENT, [device.device.udid], actor="test")
        async with awake(device):
            code, said = await _run(stage.installation.settings.data, device.device.udid)
        assert code == 0, said
        assert [line.split(":")[0] for line in said.splitlines() if line.startswith("-")] == [
            "-    fetches a certificate for decryption alone",
            "-    gives the certificate back",
        ]
        listed = await stage.installation.store.read(lambda tx: tx.networks.listing(RECIPIENT, limit=10))
        assert [each.state for each in listed] == [NetworkState.INSTALLED]
    finally:
        await device.close()
        await stage.close()


@openssl
async def test_nothing_is_said_of_a_device_that_does_not_answer(tmp_path: Path) -> None:
    stage = await open_stage(tmp_path, SystemClock())
    device = stage.device(2)
    try:
        await device.enroll(await stage.link())
        for name, reason in (("nope", "nope"), (device.device.udid, "no answer within 1 seconds")):
            code, said = await _run(stage.installation.settings.data, name, seconds=1)
            assert code == 1
            assert said.startswith("NO   answers at all\n")
            assert reason in said
            assert "yes" not in said
        assert await keeping.listing(stage.installation) == []
    finally:
        await device.close()
        await stage.close()


async def _run(data: Path, device: str, user: str = "", *, seconds: int = 60) -> tuple[int, str]:
    """The exit code, and what was printed."""
    channel = [f"{device}:{user}"] if user else []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRAMLEY_")}
    process = await asyncio.create_subprocess_exec(
        *("sh", str(ROOT / "scripts" / "try-profiles.sh"), device, *channel),
        env={**environment, "PATH": path, "BRAMLEY_DATA": str(data), "WAIT": str(seconds)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _nothing = await process.communicate()
    return process.returncode or 0, said.decode()
