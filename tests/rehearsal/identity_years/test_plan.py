"""Parts come out of the seed, and leave what is special about them time to have its consequences."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from bramley.rehearsal.identity_years.plan import DAY, SILENCE, SKEW, YEAR, Plan, Role


def test_the_fleet_is_the_one_that_is_asked_for() -> None:
    plan = Plan()

    assert Counter(part.role for part in plan.parts) == {
        Role.SILENT: 10,
        Role.NOT_NOW: 10,
        Role.WIPED: 4,
        Role.STOLEN: 2,
        Role.STEADY: 174,
    }
    assert Counter(part.skew for part in plan.parts) == {SKEW: 100, -SKEW: 100}
    assert timedelta(seconds=90) == SKEW
    assert plan.least_renewals >= 550
    assert plan.parts == Plan().parts != Plan(seed=2).parts


@pytest.mark.parametrize(("years", "devices"), [(2, 5), (2, 200), (8, 1000)])
def test_every_part_has_its_time(years: int, devices: int) -> None:
    plan = Plan(years, devices)
    after = {Role.SILENT: SILENCE, Role.WIPED: 300 * DAY, Role.STOLEN: YEAR / 2}

    assert len(plan.parts) == devices
    assert {part.role for part in plan.parts} == set(Role)
    for part in plan.parts:
        assert timedelta() < part.begins
        assert part.begins + after.get(part.role, timedelta()) < plan.length
