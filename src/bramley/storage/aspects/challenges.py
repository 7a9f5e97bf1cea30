"""What lets a device enroll: one-time SCEP challenges, and the links that lead to them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from bramley.model.enrollments import Challenge, EnrollmentKey, EnrollmentLink, Purpose
from bramley.model.lineages import VersionID
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

CHALLENGES = schema.challenges
LINKS = schema.links
UNSPENT = CHALLENGES.c.spent_at.is_(None)


class SQLChallenges:
    """`protocols.Challenges` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, challenge: Challenge) -> None:
        self._connection.execute(sa.insert(CHALLENGES), values_of(challenge))

    def by_hash(self, secret_sha256: str) -> Challenge | None:
        query = sa.select(*columns_of(CHALLENGES, Challenge)).where(CHALLENGES.c.secret_sha256 == secret_sha256)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Challenge(*row)

    def spend(self, challenge_id: str, now: datetime, *, message_sha256: str, version_id: VersionID) -> bool:
        spending = sa.update(CHALLENGES).where(CHALLENGES.c.id == challenge_id, UNSPENT)
        spending = spending.values(spent_at=now, spent_on=message_sha256, version_id=version_id)
        return self._connection.execute(spending).rowcount == 1

    def void(self, key: EnrollmentKey, purpose: Purpose, now: datetime) -> int:
        theirs = (CHALLENGES.c.enrollment_key == key, CHALLENGES.c.purpose == purpose)
        return self._connection.execute(sa.update(CHALLENGES).where(*theirs, UNSPENT).values(spent_at=now)).rowcount

    def sweep(self, expired_before: datetime) -> int:
        """Deletes those, spent or not, that expired before the moment; how many."""
        return self._connection.execute(sa.delete(CHALLENGES).where(CHALLENGES.c.expires_at < expired_before)).rowcount


class SQLLinks:
    """`protocols.Links` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, link: EnrollmentLink) -> None:
        self._connection.execute(sa.insert(LINKS), values_of(link))

    def get(self, link_id: str) -> EnrollmentLink | None:
        return self._one(LINKS.c.id == link_id)

    def by_hash(self, token_sha256: str) -> EnrollmentLink | None:
        return self._one(LINKS.c.token_sha256 == token_sha256)

    def use(self, link_id: str) -> bool:
        left = LINKS.c.uses < LINKS.c.uses_allowed
        done = self._connection.execute(sa.update(LINKS).where(LINKS.c.id == link_id, left).values(uses=LINKS.c.uses + 1))
        return done.rowcount == 1

    def _one(self, which: sa.ColumnElement[bool]) -> EnrollmentLink | None:
        row = self._connection.execute(sa.select(*columns_of(LINKS, EnrollmentLink)).where(which)).one_or_none()
        return None if row is None else EnrollmentLink(*row)
