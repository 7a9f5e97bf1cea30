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
TAGS = schema.tags
ENROLLMENT = columns_of(ENROLLMENTS, Enrollment)
BINDING = columns_of(BINDINGS, Binding)
CHECKED_OUT = schema.literal(EnrollmentState.CHECKED_OUT)

ADD = sa.insert(ENROLLMENTS)
UPDATE = sa.update(ENROLLMENTS).where(ENROLLMENTS.c.key == sa.bindparam("which"))
GET = sa.select(*ENROLLMENT).where(ENROLLMENTS.c.key == sa.bindparam("key"))
BY_ID = sa.select(*ENROLLMENT).where(ENROLLMENTS.c.id == sa.bindparam("id"))
LIVING_BY_ID = BY_ID.where(ENROLLMENTS.c.state != CHECKED_OUT)
LATEST_BY_ID = BY_ID.order_by(
    ENROLLMENTS.c.state == CHECKED_OUT, ENROLLMENTS.c.created_at.desc(), ENROLLMENTS.c.key.desc()
).limit(1)
CHANNELS = sa.select(*ENROLLMENT).where(ENROLLMENTS.c.parent == sa.bindparam("parent")).order_by(ENROLLMENTS.c.key)
COUNT = sa.select(ENROLLMENTS.c.state, sa.func.count()).group_by(ENROLLMENTS.c.state)
ENROLLED = sa.or_(*(ENROLLMENTS.c.state == schema.literal(s) for s in (EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED)))
DEVICES_BY_TOPIC = sa.select(ENROLLMENTS.c.topic, sa.func.count()).group_by(ENROLLMENTS.c.topic)
DEVICES_BY_TOPIC = DEVICES_BY_TOPIC.where(ENROLLED, ENROLLMENTS.c.parent.is_(None), ENROLLMENTS.c.topic.is_not(None))

BIND = sa.insert(BINDINGS)
BINDING_OF = sa.select(*BINDING).where(BINDINGS.c.certificate_sha256 == sa.bindparam("sha256"))
BINDINGS_OF = sa.select(*BINDING).where(BINDINGS.c.enrollment_key == sa.bindparam("key"))
BINDINGS_OF = BINDINGS_OF.order_by(BINDINGS.c.created_at, BINDINGS.c.version_id)


class SQLEnrollments:
    """`protocols.Enrollments` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, enrollment: Enrollment) -> None:
        self._connection.execute(ADD, values_of(enrollment))

    def update(self, enrollment: Enrollment) -> None:
        """Stores every field but `created_at`; NotFound where it isn't there, Conflict where another living one has its id."""
        changes = values_of(enrollment, without=("key", "created_at"))
        if self._connection.execute(UPDATE, {"which": enrollment.key, **changes}).rowcount == 0:
            raise NotFound(f"there is no enrollment {enrollment.key} to update.", advice="Add it first.")

    def note_seen(self, seen: Mapping[EnrollmentKey, datetime]) -> None:
        """Moves `last_seen_at` forward, never back."""
        note_times(self._connection, ENROLLMENTS.c.key, ENROLLMENTS.c.last_seen_at, seen)

    def get(self, key: EnrollmentKey) -> Enrollment | None:
        return self._one(GET, {"key": key})

    def by_id(self, enrollment_id: EnrollmentID) -> Enrollment | None:
        return self._one(LIVING_BY_ID, {"id": enrollment_id})

    def latest_by_id(self, enrollment_id: EnrollmentID) -> Enrollment | None:
        return self._one(LATEST_BY_ID, {"id": enrollment_id})

    def channels(self, parent: EnrollmentKey) -> Sequence[Enrollment]:
        return self._all(CHANNELS, {"parent": parent})

    def find(
        self,
        *,
        state: EnrollmentState | None = None,
        search: str | None = None,
        topic: str | None = None,
        tag: str | None = None,
        limit: int = 1000,
        after: EnrollmentKey | None = None,
    ) -> Sequence[Enrollment]:
        query = sa.select(*ENROLLMENT).order_by(ENROLLMENTS.c.key).limit(limit)
        if state is not None:
            query = query.where(ENROLLMENTS.c.state == state)
        if search:
            places = (ENROLLMENTS.c.id, ENROLLMENTS.c.serial_number, ENROLLMENTS.c.device_name)
            query = query.where(sa.or_(*(place.icontains(search, autoescape=True) for place in places)))
        if topic is not None:
            query = query.where(ENROLLMENTS.c.topic == topic)
        if tag is not None:
            query = query.where(ENROLLMENTS.c.id.in_(sa.select(TAGS.c.device).where(TAGS.c.tag == tag)))
        if after is not None:
            query = query.where(ENROLLMENTS.c.key > after)
        return self._all(query)

    def count(self) -> dict[EnrollmentState, int]:
        """Devices and user channels together; a state that none is in counts 0."""
        found = {row[0]: row[1] for row in self._connection.execute(COUNT)}
        return {state: found.get(state, 0) for state in EnrollmentState}

    def devices_by_topic(self) -> dict[str, int]:
        return {row[0]: row[1] for row in self._connection.execute(DEVICES_BY_TOPIC)}

    def note_pushed(self, keys: Sequence[EnrollmentKey], now: datetime) -> None:
        note_times(self._connection, ENROLLMENTS.c.key, ENROLLMENTS.c.last_push_at, dict.fromkeys(keys, now))

    def _one(self, query: sa.Select[Any], given: Mapping[str, object]) -> Enrollment | None:
        row = self._connection.execute(query, given).one_or_none()
        return None if row is None else Enrollment(*row)

    def _all(self, query: sa.Select[Any], given: Mapping[str, object] | None = None) -> list[Enrollment]:
        return [Enrollment(*row) for row in self._connection.execute(query, given)]

    def bind(self, binding: Binding) -> None:
        self._connection.execute(BIND, values_of(binding))

    def binding(self, certificate_sha256: str) -> Binding | None:
        row = self._connection.execute(BINDING_OF, {"sha256": certificate_sha256}).one_or_none()
        return None if row is None else Binding(*row)

    def bindings(self, key: EnrollmentKey) -> Sequence[Binding]:
        """Oldest first."""
        return [Binding(*row) for row in self._connection.execute(BINDINGS_OF, {"key": key})]
