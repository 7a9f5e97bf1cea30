"""The operators' tokens, and the small facts of this installation."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this ON CONFLICT too

from bramley.model.admins import AdminToken
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

ADMINS = schema.admins
NOTES = schema.notes

ADD_ADMIN = sa.insert(ADMINS)
ADMIN_BY_HASH = sa.select(*columns_of(ADMINS, AdminToken)).where(ADMINS.c.token_sha256 == sa.bindparam("sha256"))
COUNT_ADMINS = sa.select(sa.func.count()).select_from(ADMINS)

GET_NOTE = sa.select(NOTES.c.value).where(NOTES.c.name == sa.bindparam("name"))
PREFIX: sa.BindParameter[str] = sa.bindparam("prefix", type_=sa.Text)
# LIKE does not tell case apart in SQLite
NAMES_OF_NOTES = sa.select(NOTES.c.name).where(sa.func.substr(NOTES.c.name, 1, sa.func.length(PREFIX)) == PREFIX)
SET_NOTE = insert(NOTES)
SET_NOTE = SET_NOTE.on_conflict_do_update(index_elements=[NOTES.c.name], set_={"value": SET_NOTE.excluded.value})
DELETE_NOTE = sa.delete(NOTES).where(NOTES.c.name == sa.bindparam("name"))


class SQLAdmins:
    """`protocols.Admins` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, token: AdminToken) -> None:
        self._connection.execute(ADD_ADMIN, values_of(token))

    def by_hash(self, token_sha256: str) -> AdminToken | None:
        row = self._connection.execute(ADMIN_BY_HASH, {"sha256": token_sha256}).one_or_none()
        return None if row is None else AdminToken(*row)

    def count(self) -> int:
        return self._connection.execute(COUNT_ADMINS).scalar_one()


class SQLNotes:
    """`protocols.Notes` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> str | None:
        value: str | None = self._connection.execute(GET_NOTE, {"name": name}).scalar_one_or_none()
        return value

    def names(self, prefix: str) -> Sequence[str]:
        return sorted(self._connection.execute(NAMES_OF_NOTES, {"prefix": prefix}).scalars())

    def set(self, name: str, value: str) -> None:
        self._connection.execute(SET_NOTE, {"name": name, "value": value})

    def delete(self, name: str) -> None:
        self._connection.execute(DELETE_NOTE, {"name": name})
