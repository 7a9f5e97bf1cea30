"""`bramley escrow`, as an admin types it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.operations.installation import open_installation
from bramley.settings import Settings
from tests import recovery_keys
from tests.cli.kit import UDID, Run

SECRET = "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF"


@pytest.fixture
def told(data: Path) -> None:
    """The device has told its recovery key."""

    async def tell() -> None:
        here = await open_installation(Settings(data=data), SystemClock())
        await recovery_keys.tell(here, UDID, SECRET)
        await here.store.close()

    asyncio.run(tell())


@pytest.mark.usefixtures("told")
def test_read_with_a_reason_alone(run: Run, data: Path) -> None:
    at = ("--data", data)
    assert run("escrow", "reveal", UDID, "--yes", *at).code == 2
    assert run("escrow", "reveal", UDID, "--reason", "lost", *at).code == 2  # nobody to ask
    shown = run("escrow", "reveal", UDID, "--reason", "ticket 4711", "--yes", "--json", *at)
    assert [each["recovery_key"] for each in shown.json] == [SECRET]
    assert [each["device"] for each in run("escrow", "list", "--json", *at).json] == [UDID]
    events = run("events", "--json", *at).out
    assert "ticket 4711" in events
    assert SECRET not in events + run("escrow", "list", *at).out


@pytest.mark.usefixtures("told")
def test_rotated_by_a_command_that_hides_the_key(run: Run, data: Path, snapshot: Callable[[], list[int]]) -> None:
    at, before = ("--data", data), snapshot()
    assert run("escrow", "rotate", UDID, "--dry-run", *at).code == 0
    assert snapshot() == before
    queued = run("escrow", "rotate", UDID, "--json", *at)
    assert queued.code == 0
    assert SECRET not in queued.out + run("device", "show", UDID, "--json", *at).out


@pytest.mark.parametrize("verb", ["fetch", "rotate"])
def test_without_a_certificate_there_is_nothing_to_ask(
    run: Run, data: Path, snapshot: Callable[[], list[int]], verb: str
) -> None:
    before = snapshot()
    refused = run("escrow", verb, UDID, "--data", data)
    assert (refused.code, "escrow enable" in refused.err) == (2, True)
    assert snapshot() == before
    assert run("escrow", "enable", "nobody", "--data", data).code == 2
    assert run("escrow", "reveal", UDID, "--reason", "x", "--yes", "--data", data).code == 2
