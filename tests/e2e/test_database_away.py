"""PostgreSQL goes away under a running server, and comes back: devices are told to wait, and nothing needs a restart."""

from __future__ import annotations

import asyncio

import pytest

from bramley.mdm.commands import SecurityInfo
from bramley.operations import commands
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import Stage
from bramley.storage.errors import Unreachable
from bramley.storage.postgres import hotpath
from tests.postgres import Cluster


@pytest.fixture
def database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(hotpath, "PATIENCE_SECONDS", 0.5)
    return postgres_url


async def test_the_server_outlives_its_database(stage: Stage, postgres: Cluster) -> None:
    device = stage.device(12)
    await device.enroll(await stage.link())
    queued = await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
    failing = asyncio.create_task(stage.service.failed())
    postgres.stop()
    try:
        connecting = asyncio.create_task(device.connect())
        with pytest.raises(Unreachable):
            await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
        await asyncio.sleep(1.5)  # jobs are looked for meanwhile
        assert not connecting.done(), "it is answered 503, and tries again"
    finally:
        postgres.start()
    await connecting
    assert [done.command_uuid for done in device.history] == [queued.uuid]
    await _until_served(stage)
    async with awake(device):
        await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
        await stage.until("the other command pushed and answered", lambda tx: tx.commands.count_pending() == 0)
    assert [done.status for done in device.history] == ["Acknowledged"] * 2
    assert not failing.done()
    failing.cancel()
    await device.close()


async def _until_served(stage: Stage) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await stage.installation.store.presented("unknown", None)
                await stage.installation.store.read(lambda tx: tx.admins.count())
                return
            except Unreachable:
                await asyncio.sleep(0.1)
