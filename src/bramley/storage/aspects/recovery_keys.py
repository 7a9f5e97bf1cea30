"""FileVault recovery keys, none of which is ever deleted."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from bramley.model.enrollments import EnrollmentID
from bramley.model.recovery_keys import RecoveryKey
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

KEYS = schema.recovery_keys
KEY = columns_of(KEYS, RecoveryKey)

ADD = sa.insert(KEYS)
REPLACE = sa.update(KEYS).where(KEYS.c.device == sa.bindparam("whose"), KEYS.c.replaced_at.is_(None))
OF = sa.select(*KEY).where(KEYS.c.device == sa.bindparam("device")).order_by(KEYS.c.id.desc())
CURRENT = sa.select(*KEY).where(KEYS.c.replaced_at.is_(None)).order_by(KEYS.c.device)


class SQLRecoveryKeys:
    """`protocols.RecoveryKeys` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, key: RecoveryKey) -> None:
        self._connection.execute(REPLACE.values(replaced_at=key.received_at), {"whose": key.device})
        self._connection.execute(ADD, values_of(key))

    def of(self, device: EnrollmentID) -> Sequence[RecoveryKey]:
        return [RecoveryKey(*row) for row in self._connection.execute(OF, {"device": device})]

    def current(self, *, limit: int, after: EnrollmentID | None = None) -> Sequence[RecoveryKey]:
        query = CURRENT.limit(limit) if after is None else CURRENT.where(KEYS.c.device > after).limit(limit)
        return [RecoveryKey(*row) for row in self._connection.execute(query)]
