"""Before a database is used: is it one that we can work with, and is its schema the one that this program knows?"""

from __future__ import annotations

import asyncio

import psycopg
import sqlalchemy as sa

from bramley.storage.errors import NeverUsed, TooOld, WrongFormat
from bramley.storage.migrations import HEAD, migrate
from bramley.storage.postgres.connection import Address, discard, raw_of
from bramley.storage.postgres.explain import explain

OLDEST = 15
MIGRATING = 0x6272616D6C6579
"""The advisory lock of whoever migrates: "bramley"."""

LOOK = """
SELECT current_setting('server_encoding'), to_regclass('alembic_version') IS NOT NULL,
       EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()::text)
                  AND relkind IN ('r', 'p', 'v', 'm'))
"""
TEXT_COLUMNS = """
SELECT format('ALTER TABLE %I %s', c.relname,
              string_agg(format('ALTER COLUMN %I TYPE text COLLATE "C"', a.attname), ', ' ORDER BY a.attnum))
  FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r' AND c.relnamespace = to_regnamespace(current_schema()::text)
 WHERE a.atttypid = 'text'::regtype AND a.attcollation <> '"C"'::regcollation AND NOT a.attisdropped AND a.attnum > 0
 GROUP BY c.relname ORDER BY c.relname
"""


async def prepare(raw: psycopg.AsyncConnection, address: Address, *, create: bool) -> None:
    """Sees that the database can be used, and creates or migrates its schema where needed.

    Raises TooOld, WrongFormat, NewerSchema, NotAdmitted, and NeverUsed where there is no schema and `create` is False.
    """
    version = raw.info.server_version // 10_000
    if version < OLDEST:
        raise TooOld(
            f"expected PostgreSQL {OLDEST} or newer at {address}, found {version}.", advice="Update the database server first."
        )
    if await _revision(raw, create=create) != HEAD:
        await asyncio.to_thread(_migrate, address)


async def _revision(raw: psycopg.AsyncConnection, *, create: bool) -> str | None:
    try:
        encoding, ours, used = await (await raw.execute(LOOK)).fetchone() or ("", False, False)
        if encoding != "UTF8":
            raise WrongFormat(
                f"expected a database in UTF8, found one in {encoding}.",
                advice="Make another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
            )
        if ours:
            row = await (await raw.execute("SELECT version_num FROM alembic_version")).fetchone()
            return None if row is None else str(row[0])
    except psycopg.Error as trouble:
        raise explain(trouble) from trouble
    if used:
        raise WrongFormat("the database has tables of another program.", advice="Give Bramley a database of its own.")
    if not create:
        raise NeverUsed("the database is empty.", advice="`bramley serve` fills it.")
    return None


def _migrate(address: Address) -> None:
    """All steps in one transaction: whoever comes second finds the work done, and a crash leaves the old schema."""
    engine = address.engine()
    connection = engine.connect()
    raw = raw_of(connection)
    try:
        raw.execute("BEGIN")
        # a migration of a large database may take its time, and so may waiting for another that does it
        raw.execute("SET LOCAL lock_timeout = 0")
        raw.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        raw.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATING])
        migrate(connection)
        sort_as_bytes(connection)
        raw.execute("COMMIT")
    except psycopg.Error as trouble:
        raise explain(trouble) from trouble
    finally:
        discard(connection)
        engine.dispose()


def sort_as_bytes(connection: sa.Connection) -> None:
    """Gives every text column the collation "C", which the migrations leave open: ids sort alike in every database."""
    for (statement,) in connection.execute(sa.text(TEXT_COLUMNS)).all():
        connection.exec_driver_sql(statement)
