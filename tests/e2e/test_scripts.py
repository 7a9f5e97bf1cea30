"""The script by which an administrator tries profiles on a device says yes all the way to a simulated one."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import open_stage

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
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
    finally:
        await device.close()
        await stage.close()


async def _run(data: Path, device: str, user: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRAMLEY_")}
    process = await asyncio.create_subprocess_exec(
        *("sh", str(ROOT / "scripts" / "try-profiles.sh"), device, f"{device}:{user}"),
        env={**environment, "PATH": path, "BRAMLEY_DATA": str(data), "WAIT": "60"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _nothing = await process.communicate()
    return process.returncode or 0, said.decode()
