"""How Python values rest in columns: the same way in every database, so that both sort and compare alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC. A naive time raises ValueError: nobody knows what it means."""
    if moment.tzinfo is None:
        raise ValueError(f"expected a time with its zone, got the naive {moment!r}")
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(stored: int) -> datetime:
    """The aware UTC time of what `to_microseconds` gave."""
    return EPOCH + timedelta(microseconds=stored)


class UTCTime(sa.TypeDecorator[datetime]):
    """An aware datetime as integer microseconds since 1970 UTC."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else from_microseconds(value)


class Span(sa.TypeDecorator[timedelta]):
    """A timedelta as integer microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        return None if value is None else value // MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> timedelta | None:
        return None if value is None else timedelta(microseconds=value)


class Enumerated(sa.TypeDecorator[StrEnum]):
    """A StrEnum as its value in text; the CHECK constraint stands in the schema, where a migration can change it."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, members: type[StrEnum]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.members(value).value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.members(value)


class JSONText(sa.TypeDecorator[Mapping[str, object]]):
    """A JSON object as text, keys sorted, so that equal objects are equal text."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, object] | None, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(dict(value), sort_keys=True, ensure_ascii=False)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Mapping[str, object] | None:
        if value is None:
            return None
        stored: dict[str, object] = json.loads(value)
        return stored
