"""What lets a device enroll: one-time SCEP challenges, and the links that lead to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bramley.model.enrollments import Challenge, EnrollmentKey, EnrollmentLink, Purpose
from bramley.model.lineages import VersionID
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

CHALLENGES = schema.challenges
LINKS = schema.links
UNSPENT = CHALLENGES.c.spent_at.is_(None)
LINK = columns_of(LINKS, EnrollmentLink)

ADD_CHALLENGE = sa.insert(CHALLENGES)
CHALLENGE_BY_HASH = sa.select(*columns_of(CHALLENGES, Challenge)).where(CHALLENGES.c.secret_sha256 == sa.bindparam("sha256"))
SPEND = sa.update(CHALLENGES).where(CHALLENGES.c.id == sa.bindparam("which"), UNSPENT)
VOID = sa.update(CHALLENGES).where(
    CHALLENGES.c.enrollment_key == sa.bindparam("whose"), CHALLENGES.c.purpose == sa.bindparam("what_for"), UNSPENT
)
UNSPENT_OF = sa.select(*columns_of(CHALLENGES, Challenge)).where(
    CHALLENGES.c.enrollment_key == sa.bindparam("key"), CHALLENGES.c.purpose == sa.bindparam("purpose"), UNSPENT
)
UNSPENT_OF = UNSPENT_OF.order_by(CHALLENGES.c.id.desc())
SWEEP = sa.delete(CHALLENGES).where(CHALLENGES.c.expires_at < sa.bindparam("moment"))

ADD_LINK = sa.insert(LINKS)
LINK_BY_ID = sa.select(*LINK).where(LINKS.c.id == sa.bindparam("id"))
LINK_BY_HASH = sa.select(*LINK).where(LINKS.c.token_sha256 == sa.bindparam("sha256"))
USE = sa.update(LINKS).where(LINKS.c.id == sa.bindparam("which"), LINKS.c.uses < LINKS.c.uses_allowed)
USE = USE.values(uses=LINKS.c.uses + 1)


class SQLChallenges:
    """`protocols.Challenges` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, challenge: Challenge) -> None:
        self._connection.execute(ADD_CHALLENGE, values_of(challenge))

    def by_hash(self, secret_sha256: str) -> Challenge | None:
        row = self._connection.execute(CHALLENGE_BY_HASH, {"sha256": secret_sha256}).one_or_none()
        return None if row is None else Challenge(*row)

    def spend(self, challenge_id: str, now: datetime, *, message_sha256: str, version_id: VersionID) -> bool:
        spent = {"which": challenge_id, "spent_at": now, "spent_on": message_sha256, "version_id": version_id}
        return self._connection.execute(SPEND, spent).rowcount == 1

    def unspent(self, key: EnrollmentKey, purpose: Purpose) -> Sequence[Challenge]:
        return [Challenge(*row) for row in self._connection.execute(UNSPENT_OF, {"key": key, "purpose": purpose})]

    def void(self, key: EnrollmentKey, purpose: Purpose, now: datetime) -> int:
        return self._connection.execute(VOID, {"whose": key, "what_for": purpose, "spent_at": now}).rowcount

    def sweep(self, expired_before: datetime) -> int:
        """Deletes those, spent or not, that expired before the moment; how many."""
        return self._connection.execute(SWEEP, {"moment": expired_before}).rowcount


class SQLLinks:
    """`protocols.Links` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, link: EnrollmentLink) -> None:
        self._connection.execute(ADD_LINK, values_of(link))

    def get(self, link_id: str) -> EnrollmentLink | None:
        return self._one(LINK_BY_ID, {"id": link_id})

    def by_hash(self, token_sha256: str) -> EnrollmentLink | None:
        return self._one(LINK_BY_HASH, {"sha256": token_sha256})

    def use(self, link_id: str) -> bool:
        return self._connection.execute(USE, {"which": link_id}).rowcount == 1

    def _one(self, query: sa.Select[Any], given: Mapping[str, object]) -> EnrollmentLink | None:
        row = self._connection.execute(query, given).one_or_none()
        return None if row is None else EnrollmentLink(*row)
