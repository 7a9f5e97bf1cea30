"""Enrollments, their user channels, and the certificates bound to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bramley.model.enrollments import Binding, Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.aspects.times import note_times
from bramley.storage.errors import NotFound

ENROLLMENTS = schema.enrollments
BINDINGS = schema.bindings
ENROLLMENT = columns_of(ENROLLMENTS, Enrollment)
BINDING = columns_of(BINDINGS, Binding)
CHECKED_OUT = schema.literal(EnrollmentState.CHECKED_OUT)


class SQLEnrollments:
    """`protocols.Enrollments` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, enrollment: Enrollment) -> None:
        self._connection.execute(sa.insert(ENROLLMENTS), values_of(enrollment))

    def update(self, enrollment: Enrollment) -> None:
        """Stores every field but `created_at`; NotFound where it isn't there, Conflict where another living one has its id."""
        changes = values_of(enrollment, without=("key", "created_at"))
        done = self._connection.execute(sa.update(ENROLLMENTS).where(ENROLLMENTS.c.key == enrollment.key).values(changes))
        if done.rowcount == 0:
            raise NotFound(f"there is no enrollment {enrollment.key} to update.", advice="Add it first.")

    def note_seen(self, seen: Mapping[EnrollmentKey, datetime]) -> None:
        """Moves `last_seen_at` forward, never back."""
        note_times(self._connection, ENROLLMENTS.c.key, ENROLLMENTS.c.last_seen_at, seen)

    def get(self, key: EnrollmentKey) -> Enrollment | None:
        return self._one(sa.select(*ENROLLMENT).where(ENROLLMENTS.c.key == key))

    def by_id(self, enrollment_id: EnrollmentID) -> Enrollment | None:
        living = ENROLLMENTS.c.state != CHECKED_OUT
        return self._one(sa.select(*ENROLLMENT).where(ENROLLMENTS.c.id == enrollment_id, living))

    def latest_by_id(self, enrollment_id: EnrollmentID) -> Enrollment | None:
        order = (ENROLLMENTS.c.state == CHECKED_OUT, ENROLLMENTS.c.created_at.desc(), ENROLLMENTS.c.key.desc())
        return self._one(sa.select(*ENROLLMENT).where(ENROLLMENTS.c.id == enrollment_id).order_by(*order).limit(1))

    def channels(self, parent: EnrollmentKey) -> Sequence[Enrollment]:
        return self._all(sa.select(*ENROLLMENT).where(ENROLLMENTS.c.parent == parent).order_by(ENROLLMENTS.c.key))

    def find(
        self,
        *,
        state: EnrollmentState | None = None,
        search: str | None = None,
        limit: int = 1000,
        after: EnrollmentKey | None = None,
    ) -> Sequence[Enrollment]:
        query = sa.select(*ENROLLMENT).order_by(ENROLLMENTS.c.key).limit(limit)
        if state is not None:
            query = query.where(ENROLLMENTS.c.state == state)
        if search:
            places = (ENROLLMENTS.c.id, ENROLLMENTS.c.serial_number, ENROLLMENTS.c.device_name)
            query = query.where(sa.or_(*(place.icontains(search, autoescape=True) for place in places)))
        if after is not None:
            query = query.where(ENROLLMENTS.c.key > after)
        return self._all(query)

    def count(self) -> dict[EnrollmentState, int]:
        """Devices and user channels together; a state that none is in counts 0."""
        query = sa.select(ENROLLMENTS.c.state, sa.func.count()).group_by(ENROLLMENTS.c.state)
        found = {row[0]: row[1] for row in self._connection.execute(query)}
        return {state: found.get(state, 0) for state in EnrollmentState}

    def _one(self, query: sa.Select[Any]) -> Enrollment | None:
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Enrollment(*row)

    def _all(self, query: sa.Select[Any]) -> list[Enrollment]:
        return [Enrollment(*row) for row in self._connection.execute(query)]

    def bind(self, binding: Binding) -> None:
        self._connection.execute(sa.insert(BINDINGS), values_of(binding))

    def binding(self, certificate_sha256: str) -> Binding | None:
        query = sa.select(*BINDING).where(BINDINGS.c.certificate_sha256 == certificate_sha256)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Binding(*row)

    def bindings(self, key: EnrollmentKey) -> Sequence[Binding]:
        """Oldest first."""
        query = sa.select(*BINDING).where(BINDINGS.c.enrollment_key == key)
        found = self._connection.execute(query.order_by(BINDINGS.c.created_at, BINDINGS.c.version_id))
        return [Binding(*row) for row in found]
