"""A year of every route comes out as it must, and as it must not where a check is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bramley.model.push import Route
from bramley.operations.push import importing
from bramley.rehearsal.push_cycle.outcome import Blunder, Outcome
from bramley.rehearsal.push_cycle.performance import Plan, perform

DOORS = ["API", "NanoMDM's route", "half-restored backup", "operation"]


@dataclass
class Listener:
    """An audience that remembers each step, and whether it went well."""

    heard: dict[str, bool] = field(default_factory=dict)

    @contextmanager
    def step(self, text: str, failures: Sequence[str]) -> Iterator[None]:
        before = len(failures)
        self.heard[text] = False
        yield
        self.heard[text] = len(failures) == before


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Outcome:
    """A fleet for each route, as small as it goes. The one that lives for two years is renewed in time, too."""
    folder = tmp_path_factory.mktemp("years")
    plans = [Plan(2, 2, [Route.VENDOR]), Plan(1, 2, [Route.PROFILE_MANAGER, Route.MDMCERT])]
    longer, shorter = (asyncio.run(perform(folder, plan, listener)) for plan in plans)
    assert longer.passed
    assert shorter.passed
    return Outcome(0, [*longer.fleets, *shorter.fleets], [*longer.controls, *shorter.controls])


def test_nobody_is_lost_and_every_mistake_is_stopped(outcome: Outcome, listener: Listener) -> None:
    assert [fleet.failures for fleet in (*outcome.fleets, *outcome.controls)] == [[]] * 6
    assert [mistake for mistake in outcome.mistakes if not mistake.stopped] == []
    told = outcome.as_json()
    assert (told["renewals"], told["devices_lost"], told["control_devices_lost"]) == (4, 0, 6)
    assert told["mistakes_injected"] == told["mistakes_stopped"] == 4 * (3 * len(DOORS) + 1) + 3
    assert all(listener.heard.values())
    assert len(listener.heard) == 3 + 4 * len(Blunder) + 3


@pytest.mark.parametrize("route", Route)
def test_each_door_refuses_for_the_reason_that_is_meant(outcome: Outcome, route: Route) -> None:
    (fleet,) = [fleet for fleet in outcome.fleets if fleet.route is route]
    said = {(mistake.blunder, mistake.door): mistake.said for mistake in fleet.mistakes}

    for door in DOORS:
        reasons = (fleet.topic, fleet.topic, "key")
        for blunder, reason in zip((Blunder.WRONG_TOPIC, Blunder.WRONG_ACCOUNT, Blunder.SWAPPED_KEY), reasons, strict=True):
            assert reason in said[blunder, door]
    assert "2 enrolled device(s)" in said[Blunder.WRONG_TOPIC, "API"]
    assert "expired on" in said[Blunder.LATE, ""]
    assert "asked 0 times" in said[Blunder.LATE, ""]
    tried = {mistake.said for mistake in fleet.mistakes if mistake.blunder is Blunder.REFUSED}
    assert tried == {""}, "nothing is wrong with it until it is tried"


def test_without_checks_nothing_is_stopped(outcome: Outcome) -> None:
    for control in outcome.controls:
        assert len(control.lost) == control.devices == 2
        assert not any(mistake.stopped for mistake in control.mistakes)
    assert [control.renewals for control in outcome.controls] == [2, 1, 1], (
        "its admin renews what is in force, and notices nothing"
    )


async def test_without_the_check_of_the_topic_bramley_loses_devices_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_require_reachable", lambda *_given: None)

    outcome = await perform(tmp_path, Plan(1, 2, [Route.VENDOR], patience=1.0), Listener())

    assert not outcome.passed
    assert outcome.devices_lost == 2
    through = {mistake.blunder for mistake in outcome.mistakes if not mistake.stopped}
    assert through >= {Blunder.WRONG_TOPIC, Blunder.WRONG_ACCOUNT}


@pytest.mark.parametrize("route", Route)
def test_a_seed_decides_the_order(route: Route) -> None:
    assert Plan(seed=5).chance(route).random() == Plan(seed=5).chance(route).random() != Plan(seed=6).chance(route).random()
