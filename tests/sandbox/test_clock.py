"""A clock that can be moved wakes whoever sleeps by it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bramley.sandbox.clock import ShiftedClock

YEAR = timedelta(days=365)


async def test_a_jump_wakes_every_sleeper_whose_moment_has_come() -> None:
    clock = ShiftedClock()
    start = clock.now()
    soon, late = (asyncio.create_task(clock.sleep_until(start + wait)) for wait in (YEAR, 2 * YEAR))
    await asyncio.sleep(0)

    clock.shift += YEAR
    async with asyncio.timeout(5):
        await soon

    assert clock.now() >= start + YEAR
    await asyncio.sleep(0.01)
    assert not late.done()
    clock.shift = 3 * YEAR
    async with asyncio.timeout(5):
        await late


async def test_time_that_passes_by_itself_wakes_too() -> None:
    clock = ShiftedClock(YEAR)
    moment = clock.now() + timedelta(milliseconds=20)

    async with asyncio.timeout(5):
        await clock.sleep_until(moment)

    assert clock.now() >= moment


async def test_a_clock_that_is_moved_back_makes_it_later() -> None:
    clock = ShiftedClock()
    sleeping = asyncio.create_task(clock.sleep_until(clock.now() + timedelta(milliseconds=30)))
    await asyncio.sleep(0)

    clock.shift -= YEAR
    await asyncio.sleep(0.06)

    assert not sleeping.done()
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping


async def test_a_moment_that_has_passed_is_not_waited_for() -> None:
    clock = ShiftedClock()

    async with asyncio.timeout(0.5):
        await clock.sleep_until(clock.now() - YEAR)
