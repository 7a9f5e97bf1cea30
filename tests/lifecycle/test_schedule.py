"""When a successor is due: a share of the life, spread evenly, the same at every call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from bramley.lifecycle.schedule import due, due_at
from bramley.model.lineages import LineageID, Policy, Version, VersionID, VersionState

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def _version(name: str, life: timedelta = YEAR) -> Version:
    return Version(
        VersionID(name), LineageID("l"), 1, VersionState.ACTIVE, BEGIN, BEGIN, not_before=BEGIN, not_after=BEGIN + life
    )


def test_without_jitter_it_is_two_thirds_of_the_life() -> None:
    assert due_at(_version("a"), Policy()) == BEGIN + YEAR * (2 / 3)


@given(st.text(min_size=1), st.floats(0.1, 0.9), st.floats(0, 0.1))
def test_it_stays_within_the_jitter_and_before_the_end(name: str, share: float, jitter: float) -> None:
    policy = Policy(renew_at=share, jitter=jitter)
    moment = due_at(_version(name), policy)
    assert moment is not None
    assert moment == due_at(_version(name), policy)
    assert abs(moment - (BEGIN + YEAR * share)) <= YEAR * jitter + timedelta(microseconds=2)
    assert moment <= BEGIN + YEAR


def test_a_fleet_enrolled_in_one_morning_does_not_renew_in_one_morning() -> None:
    policy = Policy(jitter=0.05)
    moments = sorted(moment for n in range(1000) if (moment := due_at(_version(f"v{n}"), policy)))
    per_day = [sum(1 for m in moments if day <= (m - moments[0]).days < day + 1) for day in range(37)]
    assert (moments[-1] - moments[0]).days >= 33
    assert max(per_day) < 60


def test_due_begins_at_the_moment() -> None:
    version = _version("a")
    moment = due_at(version, Policy())
    assert moment is not None
    assert not due(version, Policy(), moment - timedelta(seconds=1))
    assert due(version, Policy(), moment)


def test_what_never_ends_is_never_due() -> None:
    version = Version(VersionID("k"), LineageID("l"), 1, VersionState.ACTIVE, BEGIN, BEGIN)
    assert due_at(version, Policy()) is None
    assert not due(version, Policy(), BEGIN + 100 * YEAR)
