"""Moving many rows' times forward at once, for what is written behind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from bramley.storage.columns import UTCTime


def note_times(connection: sa.Connection, key: sa.Column[Any], column: sa.Column[Any], times: Mapping[Any, datetime]) -> None:
    """Sets the column of each row named by its key, never back. Keys that are not there are passed over."""
    if not times:
        return
    if connection.dialect.name == "postgresql":
        # one round trip for all of them; in order, so that two processes which note the same rows do not block each other
        ordered = sorted(times.items())
        keys = sa.literal([name for name, _ in ordered], ARRAY(sa.Text))
        moments = sa.literal([at for _, at in ordered], ARRAY(UTCTime))
        noted = (
            sa.func.unnest(keys, moments)
            .table_valued(sa.column("key", sa.Text), sa.column("at", UTCTime), name="noted")
            .render_derived()
        )
        connection.execute(_forward(key, column, noted.c.key, noted.c.at))
    else:
        name, at = sa.bindparam("noted_key", type_=sa.Text), sa.bindparam("noted_at", type_=UTCTime)
        connection.execute(
            _forward(key, column, name, at), [{"noted_key": each, "noted_at": when} for each, when in times.items()]
        )


def _forward(key: sa.Column[Any], column: sa.Column[Any], name: Any, at: Any) -> sa.Update:
    later = sa.or_(column.is_(None), column < at)
    return sa.update(key.table).where(key == name, later).values({column: at})
