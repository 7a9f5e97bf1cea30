"""The state machine: what leads where, and that a version never goes back on its word."""

from __future__ import annotations

from datetime import datetime

import pytest

from bramley.lifecycle.states import FOLLOWS, LIVE, ImpossibleTransition, enter
from bramley.model.lineages import LineageID, Turn, Version, VersionID, VersionState


def _version(state: VersionState, now: datetime) -> Version:
    return Version(VersionID("v"), LineageID("l"), 1, state, now, now, turn=Turn.HUMAN)


def test_every_state_has_its_row() -> None:
    assert set(FOLLOWS) == set(VersionState)


@pytest.mark.parametrize("state", VersionState)
@pytest.mark.parametrize("to", VersionState)
def test_only_the_arrows_can_be_gone(state: VersionState, to: VersionState, now: datetime) -> None:
    version = _version(state, now)
    if to in FOLLOWS[state]:
        moved = enter(version, to, now, reason="because")
        assert (moved.state, moved.reason, moved.turn) == (to, "because", None)
    else:
        with pytest.raises(ImpossibleTransition, match=f"is {state} and was asked to become {to}"):
            enter(version, to, now)


def test_revoked_is_for_good() -> None:
    assert FOLLOWS[VersionState.REVOKED] == frozenset()


def test_suspended_returns_only_to_active() -> None:
    assert FOLLOWS[VersionState.SUSPENDED] & LIVE == {VersionState.ACTIVE}


def test_whatever_may_be_presented_can_be_revoked() -> None:
    assert all(VersionState.REVOKED in FOLLOWS[state] for state in LIVE)
