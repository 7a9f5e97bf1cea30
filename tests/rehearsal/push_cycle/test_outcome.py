"""One thing amiss is enough, and the sums are those of the fleets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bramley.model.push import Route
from bramley.rehearsal.push_cycle.outcome import Blunder, FleetOutcome, Mistake, Outcome

MISTAKES = tuple(Mistake(1, blunder, "" if blunder is Blunder.LATE else "API", stopped=True) for blunder in Blunder)
FLEET = FleetOutcome(Route.VENDOR, "com.apple.mgmt.External.x", 2, 1, MISTAKES, [], [])
CONTROL = replace(FLEET, lost=["a", "b"], mistakes=tuple(replace(mistake, stopped=False) for mistake in MISTAKES))
GOOD = Outcome(1, [FLEET, FLEET], [CONTROL, CONTROL])


def test_the_sums_are_those_of_all_fleets() -> None:
    told = GOOD.as_json()

    assert GOOD.passed
    assert {name: value for name, value in told.items() if name not in ("fleets", "controls")} == {
        "renewals": 2,
        "mistakes_injected": 10,
        "mistakes_stopped": 10,
        "devices_lost": 0,
        "control_devices_lost": 4,
        "passed": True,
    }
    assert told["fleets"][0]["mistakes"]["wrong-topic"] == {"injected": 1, "stopped": 1}
    assert told["controls"][0]["doors"] == {"API": {"injected": 4, "stopped": 0}}


@pytest.mark.parametrize(
    "amiss",
    [
        {"renewals": 0},
        {"lost": ["a"]},
        {"failures": ["a job never ended"]},
        {"mistakes": (replace(MISTAKES[0], stopped=False), *MISTAKES[1:])},
        {"mistakes": MISTAKES[1:]},
        {"mistakes": ()},
    ],
    ids=str,
)
def test_one_thing_amiss_in_one_fleet_is_enough(amiss: dict[str, Any]) -> None:
    assert not replace(GOOD, fleets=[FLEET, replace(FLEET, **amiss)]).passed


@pytest.mark.parametrize("controls", [[], [CONTROL, replace(CONTROL, lost=[])], [replace(CONTROL, failures=["broke off"])]])
def test_a_control_that_shows_no_damage_proves_nothing(controls: list[FleetOutcome]) -> None:
    assert not replace(GOOD, controls=controls).passed


def test_nothing_rehearsed_is_nothing_passed() -> None:
    assert not Outcome(3, [], []).passed
