"""Times, spans and objects come back exactly, or are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bramley.storage.columns import from_microseconds, to_microseconds


@given(st.datetimes(timezones=st.timezones()))
def test_any_moment_comes_back_exactly_and_in_utc(moment: datetime) -> None:
    back = from_microseconds(to_microseconds(moment))
    assert back - moment == timedelta(0)
    assert back.tzinfo is UTC


@given(st.datetimes(), st.datetimes())
def test_stored_moments_are_in_order(one: datetime, other: datetime) -> None:
    one, other = one.replace(tzinfo=UTC), other.replace(tzinfo=UTC)
    assert (to_microseconds(one) < to_microseconds(other)) == (one < other)


def test_the_same_moment_in_two_zones_is_stored_alike() -> None:
    noon = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert to_microseconds(noon) == to_microseconds(noon.astimezone(timezone(timedelta(hours=-8))))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        to_microseconds(datetime(2026, 11, 24, 12, 0))
