"""The demo's story comes out as it must, and says so when it doesn't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.rehearsal import demo
from bramley.rehearsal.cast import cast
from bramley.rehearsal.demo import play
from bramley.rehearsal.outcome import ATTACKERS, Attack, Outcome
from bramley.rehearsal.stage import open_stage
from bramley.sandbox.attackers import Attempt


@dataclass
class Listener:
    """An audience that remembers each step, and whether it went well."""

    heard: dict[str, bool] = field(default_factory=dict)

    @contextmanager
    def step(self, text: str, failures: Sequence[str]) -> Iterator[None]:
        self.heard[text] = False
        before = len(failures)
        yield
        self.heard[text] = len(failures) == before


async def test_a_fleet_enrolls_and_the_attackers_fail(tmp_path: Path) -> None:
    stage = await open_stage(tmp_path, SystemClock())
    audience = Listener()
    try:
        async with cast(stage, 3) as players:
            outcome = await play(stage, players, audience)
    finally:
        await stage.close()

    assert outcome.failures == []
    assert outcome.passed
    assert all(audience.heard.values())
    assert len(audience.heard) == 5 + ATTACKERS
    told = outcome.as_json()
    assert {name: told[name] for name in ("devices", "enrolled", "pushed", "renewed", "revoked", "attacks_refused")} == {
        "devices": 3,
        "enrolled": 3,
        "pushed": 3,
        "renewed": 1,
        "revoked": 1,
        "attacks_refused": 4,
    }
    assert all(len(attack.attempts) > 20 for attack in outcome.attacks)
    assert set(outcome.names) == {one.device.udid for one in (*players.fleet, players.mallory)}


async def test_a_server_that_never_pushes_breaks_the_story_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "PATIENCE", 0.2)
    stage = await open_stage(tmp_path, SystemClock())
    audience = Listener()
    try:
        await stage.apns.stop()
        async with cast(stage, 2) as players:
            outcome = await play(stage, players, audience)
    finally:
        await stage.service.stop()

    assert not outcome.passed
    assert [failure for failure in outcome.failures if "every command answered" in failure]
    assert outcome.enrolled == 2, "what went well is still told"
    assert list(audience.heard.values()) == [True, False]
    assert outcome.certificates


@pytest.mark.parametrize(
    "attempts", [[], [Attempt("one", True, "HTTP 400"), Attempt("two", False, "HTTP 200")], [Attempt("one", False, "HTTP 401")]]
)
def test_an_attacker_counts_as_refused_only_if_all_it_tried_was(attempts: list[Attempt]) -> None:
    attacks = [Attack(f"attack {n}", [Attempt("x", True, "HTTP 400")]) for n in range(4)]
    outcome = Outcome(1, enrolled=1, pushed=1, renewed=1, revoked=1, attacks=attacks)
    assert outcome.passed

    other = replace(outcome, attacks=[*attacks[:3], Attack("the fourth", attempts)])

    assert other.attacks_refused == 3
    assert not other.passed


@pytest.mark.parametrize("shortfall", [{"enrolled": 1}, {"pushed": 1}, {"renewed": 0}, {"revoked": 0}, {"failures": ["lost"]}])
def test_one_thing_amiss_is_enough_to_fail(shortfall: dict[str, int | list[str]]) -> None:
    attacks = [Attack(f"attack {n}", [Attempt("x", True, "HTTP 400")]) for n in range(4)]
    outcome = Outcome(2, enrolled=2, pushed=2, renewed=1, revoked=1, attacks=attacks)
    assert outcome.passed

    assert not replace(outcome, **shortfall).passed  # type: ignore[arg-type]  # names of fields
