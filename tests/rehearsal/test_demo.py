"""The demo's story comes out as it must, and says so when it doesn't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from bramley.clock import SystemClock
from bramley.mdm import plist
from bramley.operations.profiles import making
from bramley.rehearsal import demo
from bramley.rehearsal.cast import cast
from bramley.rehearsal.demo import play
from bramley.rehearsal.outcome import ATTACKERS, Attack, Outcome
from bramley.rehearsal.profiles import ProfilesOutcome
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
    assert len(audience.heard) == 7 + ATTACKERS
    told = outcome.as_json()
    assert {name: told[name] for name in ("devices", "enrolled", "pushed", "renewed", "revoked", "attacks_refused")} == {
        "devices": 3,
        "enrolled": 3,
        "pushed": 3,
        "renewed": 1,
        "revoked": 1,
        "attacks_refused": 4,
    }
    assert told["profiles"] == {"signed_and_encrypted": 3, "opened_by_others": 0, "opened_after_renewal": 1}
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
    outcome = Outcome(1, enrolled=1, pushed=1, renewed=1, revoked=1, profiles=ProfilesOutcome(1, 0, 1), attacks=attacks)
    assert outcome.passed

    other = replace(outcome, attacks=[*attacks[:3], Attack("the fourth", attempts)])

    assert other.attacks_refused == 3
    assert not other.passed


@pytest.mark.parametrize(
    "shortfall",
    [
        {"enrolled": 1},
        {"pushed": 1},
        {"renewed": 0},
        {"revoked": 0},
        {"failures": ["lost"]},
        {"profiles": ProfilesOutcome(1, 0, 1)},
        {"profiles": ProfilesOutcome(2, 1, 1)},
        {"profiles": ProfilesOutcome(2, 0, 0)},
    ],
)
def test_one_thing_amiss_is_enough_to_fail(shortfall: dict[str, Any]) -> None:
    attacks = [Attack(f"attack {n}", [Attempt("x", True, "HTTP 400")]) for n in range(4)]
    outcome = Outcome(2, enrolled=2, pushed=2, renewed=1, revoked=1, profiles=ProfilesOutcome(2, 0, 1), attacks=attacks)
    assert outcome.passed

    assert not replace(outcome, **shortfall).passed


async def test_a_profile_in_clear_is_opened_by_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count of those who open another's profile is no constant."""
    monkeypatch.setattr(making, "encrypt", lambda content, _recipient, **_cipher: plist.dumps(content))
    stage = await open_stage(tmp_path, SystemClock())
    try:
        async with cast(stage, 2) as players:
            outcome = await play(stage, players, Listener())
    finally:
        await stage.close()
    assert outcome.profiles.signed_and_encrypted == 0
    assert outcome.profiles.opened_by_others == 2 + 2 + 2
    assert not outcome.passed
