"""The record of what happened: it grows, and nothing in it changes."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.model.lineages import VersionID
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

EVENTS = schema.events

APPEND = sa.insert(EVENTS)
LATEST = sa.select(*columns_of(EVENTS, Event)).order_by(EVENTS.c.id.desc())


class SQLEvents:
    """`protocols.Events` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def append(self, event: Event) -> None:
        self._connection.execute(APPEND, values_of(event, without=("id",)))

    def find(
        self,
        *,
        kind: EventKind | None = None,
        enrollment_key: EnrollmentKey | None = None,
        version_id: VersionID | None = None,
        limit: int = 100,
    ) -> Sequence[Event]:
        query = LATEST.limit(limit)
        if kind is not None:
            query = query.where(EVENTS.c.kind == kind)
        if enrollment_key is not None:
            query = query.where(EVENTS.c.enrollment_key == enrollment_key)
        if version_id is not None:
            query = query.where(EVENTS.c.version_id == version_id)
        return [Event(*row) for row in self._connection.execute(query)]
