"""Two years of a small fleet come out as they must, and as they must not where nothing is renewed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bramley.operations import identities
from bramley.operations.errors import Conflict
from bramley.rehearsal.identity_years.outcome import Outcome
from bramley.rehearsal.identity_years.performance import perform, with_bramley
from bramley.rehearsal.identity_years.plan import DAY, Plan, Role
from bramley.rehearsal.identity_years.thief import Why
from tests.rehearsal.identity_years.conftest import Listener

PLAN = Plan(2, 5, seed=9, step=30 * DAY)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Outcome:
    return asyncio.run(perform(tmp_path_factory.mktemp("years"), PLAN, listener))


def test_nobody_is_lost_and_nothing_gets_through(outcome: Outcome, listener: Listener) -> None:
    fleet = outcome.fleet
    assert outcome.missed == []
    assert outcome.passed
    assert fleet.renewed >= PLAN.least_renewals
    assert (fleet.rescued, fleet.wiped, fleet.rolled_over) == (1, 1, True)
    assert all(fleet.attempts[why] for why in Why)
    assert all(listener.heard.values())
    assert len(listener.heard) == PLAN.years + 3
    assert listener.shares["year 2: identities are renewed, and the CA is replaced"] == 1.0


def test_without_renewal_the_fleet_is_lost(outcome: Outcome) -> None:
    control = outcome.control
    assert control.renewed == control.rescued == 0
    assert len(control.locked_out) >= 2
    assert set(control.locked_out) <= set(control.expired_reachable)
    assert control.failures == []


async def test_where_renewal_is_broken_bramley_loses_the_fleet_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    async def broken(*_given: object, **_named: object) -> None:
        raise Conflict("Not today.")

    monkeypatch.setattr(identities, "renew", broken)

    fleet = await with_bramley(tmp_path, replace(PLAN, step=90 * DAY), Listener())

    there = fleet.devices - fleet.roles[Role.STOLEN]
    assert len(fleet.expired_reachable) >= there - 1
    assert len(fleet.locked_out) >= there - 2
    assert not replace(outcome, fleet=fleet).passed
