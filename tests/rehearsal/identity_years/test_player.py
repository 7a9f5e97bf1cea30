"""A device's clock is off, either way, and pushes reach it only while it is there."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bramley.operations import pushing
from bramley.rehearsal.identity_years.fleet import Fleet
from bramley.rehearsal.identity_years.plan import DAY, SKEW
from bramley.rehearsal.identity_years.player import SkewedClock
from bramley.sandbox.clock import ShiftedClock


@pytest.mark.parametrize("skew", [SKEW, -SKEW])
async def test_a_clock_that_is_off_wakes_by_its_own_time(skew: timedelta) -> None:
    clock = ShiftedClock()
    skewed = SkewedClock(clock, skew)
    assert abs(skewed.now() - clock.now() - skew) < timedelta(seconds=1)

    waiting = asyncio.create_task(skewed.sleep_until(skewed.now() + DAY))
    await asyncio.sleep(0)
    clock.shift += DAY
    await asyncio.wait_for(waiting, 5)


async def test_the_devices_of_a_fleet_are_off_either_way(fleet: Fleet) -> None:
    off = [player.device._clock.now() - fleet.clock.now() for player in fleet.players]
    assert {round(each.total_seconds()) for each in off} == {-90, 90}


async def test_a_push_reaches_who_is_there_and_waits_a_week_for_who_is_not(fleet: Fleet) -> None:
    there, back_soon, back_late = fleet.players[:3]
    await back_soon.leave()
    await back_late.leave()
    await pushing.request_push(fleet.stage.installation, [there.name, back_soon.name, back_late.name])
    await fleet.rest()
    assert (there.woken, back_soon.woken, back_late.woken) == (True, False, False)

    fleet.clock.shift += 6 * DAY
    back_soon.come()
    fleet.clock.shift += 2 * DAY
    back_late.come()

    assert (back_soon.woken, back_late.woken) == (True, False)
