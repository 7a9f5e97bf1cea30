"""One thing amiss is enough, and the last line has the figures by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bramley.rehearsal.identity_years.outcome import FleetOutcome, Outcome
from bramley.rehearsal.identity_years.plan import Plan, Role
from bramley.rehearsal.identity_years.thief import Why

PLAN = Plan(2, 5)
FLEET = FleetOutcome(
    roles=dict.fromkeys(Role, 1),
    renewed=PLAN.least_renewals,
    rescued=1,
    wiped=1,
    expired_reachable=[],
    locked_out=[],
    wrongly_accepted=[],
    attempts=dict.fromkeys(Why, 7),
    inherited=[],
    rolled_over=True,
    refusals=[],
    failures=[],
)
CONTROL = replace(FLEET, renewed=0, locked_out=["a", "b"], expired_reachable=["a"], refusals=["a: HTTP 400"], wiped=0)
GOOD = Outcome(PLAN, FLEET, CONTROL)


def test_the_last_line_says_what_was_asked() -> None:
    told = GOOD.as_json()

    assert GOOD.passed
    assert {name: told[name] for name in list(told)[:8]} == {
        "renewed": PLAN.least_renewals,
        "rescued": 1,
        "expired_reachable": 0,
        "locked_out": 0,
        "wrongly_accepted": 0,
        "stale_commands_inherited": 0,
        "control_locked_out": 2,
        "passed": True,
    }
    assert (told["devices"], told["attempts"]["lapsed"], told["missed"]) == (5, 7, [])


@pytest.mark.parametrize(
    "amiss",
    [
        {"renewed": PLAN.least_renewals - 1},
        {"rescued": 0},
        {"wiped": 0},
        {"expired_reachable": ["a"]},
        {"locked_out": ["a"]},
        {"wrongly_accepted": ["Idle"]},
        {"inherited": ["DeviceLock"]},
        {"rolled_over": False},
        {"attempts": {why: 7 for why in Why if why is not Why.REVOKED}},
        {"refusals": ["a: HTTP 400"]},
        {"failures": ["a job never ended"]},
    ],
    ids=lambda amiss: next(iter(amiss)),
)
def test_one_thing_amiss_is_enough(amiss: dict[str, Any]) -> None:
    outcome = replace(GOOD, fleet=replace(FLEET, **amiss))

    assert not outcome.passed
    assert len(outcome.missed) == 1
    assert outcome.as_json()["passed"] is False


@pytest.mark.parametrize("control", [replace(CONTROL, locked_out=[]), replace(CONTROL, failures=["broke off"])])
def test_a_control_that_shows_no_damage_proves_nothing(control: FleetOutcome) -> None:
    assert not replace(GOOD, control=control).passed
