"""What a plan does next, at every stage, and what holds it up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bramley.lifecycle.plans import PACES, ROLLOVER_TIME, Act, Facts, next_step, rollover_due_at
from bramley.model.lineages import LineageID, VersionID
from bramley.model.plans import Plan, PlanID, PlanKind, PlanStage, PlanState
from tests.conftest import NOW

PACE = PACES[PlanKind.CA_ROLLOVER]
SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)


def plan(stage: PlanStage, state: PlanState = PlanState.RUNNING) -> Plan:
    """One that has reached its stage now."""
    old, new = VersionID("old"), VersionID("new")
    return Plan(PlanID("1"), PlanKind.CA_ROLLOVER, LineageID("ca"), old, new, stage, state, NOW - YEAR, "cli", NOW)


SETTLED, LINGERED = NOW + PACE.settle, NOW + PACE.linger
ENDS = NOW + YEAR


@pytest.mark.parametrize(
    ("stage", "facts", "now", "act", "held_up_by"),
    [
        (PlanStage.PREPARED, {}, NOW, Act.TRUST, None),
        (PlanStage.PREPARED, {"use_from": NOW + YEAR}, NOW, Act.TRUST, None),
        (PlanStage.TRUSTED, {}, SETTLED - SECOND, Act.USE, f"{SETTLED:%F %H:%M} UTC"),
        (PlanStage.TRUSTED, {}, SETTLED, Act.USE, None),
        (PlanStage.TRUSTED, {"untrusting": 1}, SETTLED, Act.USE, "1 that do not trust the new one yet"),
        (PlanStage.TRUSTED, {"untrusting": 1}, NOW + YEAR, Act.USE, "1 that do not trust the new one yet"),
        (PlanStage.TRUSTED, {"use_from": LINGERED}, LINGERED - SECOND, Act.USE, f"{LINGERED:%F %H:%M} UTC"),
        (PlanStage.TRUSTED, {"use_from": LINGERED}, LINGERED, Act.USE, None),
        (PlanStage.TRUSTED, {"use_from": NOW - YEAR}, NOW, Act.USE, f"{SETTLED:%F %H:%M} UTC"),
        # an old one that has ended serves nobody, but the new one must be trusted all the same
        (PlanStage.TRUSTED, {"use_from": ENDS, "old_ends": NOW}, SETTLED, Act.USE, None),
        (PlanStage.TRUSTED, {"use_from": ENDS, "old_ends": NOW}, SETTLED - SECOND, Act.USE, f"{SETTLED:%F %H:%M} UTC"),
        (PlanStage.USED, {"old_ends": ENDS}, LINGERED - SECOND, Act.WITHDRAW, f"{LINGERED:%F %H:%M} UTC"),
        (PlanStage.USED, {"old_ends": ENDS}, LINGERED, Act.WITHDRAW, None),
        (PlanStage.USED, {"old_ends": ENDS, "needing": 2}, LINGERED, Act.WITHDRAW, "2 that rely on the old one"),
        (PlanStage.USED, {"old_ends": ENDS, "needing": 2}, ENDS, Act.WITHDRAW, "2 that rely on the old one"),
        (PlanStage.USED, {"old_ends": ENDS, "needing": 2}, ENDS + SECOND, Act.WITHDRAW, None),
        (PlanStage.USED, {"old_ends": NOW}, NOW + SECOND, Act.WITHDRAW, None),
        (PlanStage.USED, {}, LINGERED, Act.WITHDRAW, None),
    ],
)
def test_the_next_step(stage: PlanStage, facts: dict[str, Any], now: datetime, act: Act, held_up_by: str | None) -> None:
    step = next_step(plan(stage), Facts(**facts), now)

    assert step is not None
    assert (step.act, step.due, step.waits_for) == (act, held_up_by is None, held_up_by or "")


@pytest.mark.parametrize("state", [PlanState.DONE, PlanState.CANCELLED])
@pytest.mark.parametrize("stage", PlanStage)
def test_what_has_ended_does_nothing(stage: PlanStage, state: PlanState) -> None:
    assert next_step(plan(stage, state), Facts(), NOW + YEAR) is None


def test_nothing_follows_the_last_stage() -> None:
    assert next_step(plan(PlanStage.WITHDRAWN), Facts(), NOW + YEAR) is None


def test_each_step_reaches_the_next_stage_and_says_when_to_look_again() -> None:
    """A plan that is looked at when it says goes all the way."""
    running, now, seen = plan(PlanStage.PREPARED), NOW, []
    facts = Facts(old_ends=ENDS, use_from=NOW + ROLLOVER_TIME)
    while (step := next_step(running, facts, now)) is not None:
        if step.due:
            seen.append((step.reaches, now))
            running = replace(running, stage=step.reaches, changed_at=now)
        else:
            assert step.at is not None
            assert step.at > now
            now = step.at
    used = NOW + ROLLOVER_TIME
    assert seen == [(PlanStage.TRUSTED, NOW), (PlanStage.USED, used), (PlanStage.WITHDRAWN, used + PACE.linger)]


def test_who_holds_it_up_does_so_until_the_old_one_ends() -> None:
    step = next_step(plan(PlanStage.USED), Facts(needing=1, old_ends=ENDS), LINGERED)
    assert step is not None
    assert step.at == ENDS
    step = next_step(plan(PlanStage.TRUSTED), Facts(untrusting=1, old_ends=ENDS), LINGERED)
    assert step is not None
    assert step.at is None


@pytest.mark.parametrize("kind", PlanKind)
def test_every_kind_has_a_pace(kind: PlanKind) -> None:
    assert PACES[kind].settle > timedelta()


def test_a_rollover_is_due_while_what_the_ca_issues_still_fits_below_it() -> None:
    assert rollover_due_at(ENDS, timedelta(days=100)) == NOW + timedelta(days=365 - 100 - 90)
