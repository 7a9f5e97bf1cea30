"""The read behind every request of a device: one prepared statement, on the event loop, in one round trip."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bramley.model.enrollments import Presented
from bramley.storage.errors import Unreachable
from bramley.storage.postgres.connection import Address, configure
from bramley.storage.postgres.explain import explain
from bramley.storage.presented import from_row
from bramley.storage.transaction import SQLTransaction

CONNECTIONS = 4
PATIENCE_SECONDS = 5.0
"""How long a request waits for a connection."""

SELECT = """
SELECT v.id, v.state, v.not_before, v.not_after, b.purpose, e.key, e.id, e.state, {channel}.key, {channel}.state,
       q.uuid, q.request_type, q.payload,
       EXISTS (SELECT 1 FROM commands AS d WHERE d.enrollment_key = {channel}.key AND d.state = 'not-now')
  FROM bindings AS b
  JOIN versions AS v ON v.id = b.version_id AND v.not_before IS NOT NULL AND v.not_after IS NOT NULL
  JOIN enrollments AS e ON e.key = b.enrollment_key
  {join_channel}
  LEFT JOIN LATERAL (
       SELECT n.uuid, n.request_type, n.payload FROM commands AS n
        WHERE n.enrollment_key = {channel}.key AND n.state = 'queued' ORDER BY n.seq LIMIT 1) AS q ON true
 WHERE b.certificate_sha256 = %s
"""
DEVICE = SELECT.format(channel="e", join_channel="")
USER = SELECT.format(
    channel="c",
    join_channel="LEFT JOIN enrollments AS c ON c.parent = e.key AND c.user_id = %s AND c.state <> 'checked-out'",
)


class PostgresTransaction(SQLTransaction):
    """`protocols.Tx`, with the read behind every request; `connection` is SQLAlchemy's over `raw`."""

    def __init__(self, raw: psycopg.Connection, connection: sa.Connection) -> None:
        super().__init__(connection)
        self._raw = raw

    def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        try:
            row = self._raw.execute(*_question(certificate_sha256, user_id), binary=True).fetchone()
        except psycopg.Error as trouble:
            raise explain(trouble) from trouble
        return None if row is None else from_row(certificate_sha256, row)


class HotPath:
    """Connects at the first question; the commands that never ask cost no connection."""

    def __init__(self, address: Address) -> None:
        self._where = str(address)
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection] = AsyncConnectionPool(
            kwargs={**address.parameters, "autocommit": True, "prepare_threshold": 0},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=PATIENCE_SECONDS,
            # so that trouble ends soon after its cause does
            reconnect_timeout=PATIENCE_SECONDS,
            configure=configure,
            name="bramley-hot-path",
            open=False,
        )

    async def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        """`Store.presented`.

        A user is found by the `user_id` of a channel that is not checked out; the device itself is found in any state.
        """
        row = await self._ask(*_question(certificate_sha256, user_id))
        return None if row is None else from_row(certificate_sha256, row)

    async def _ask(self, statement: LiteralString, parameters: tuple[str, ...]) -> Any | None:
        if self._pool.closed:
            await self._pool.open()
        try:
            try:
                return await self._once(statement, parameters)
            except PoolTimeout:
                raise
            except psycopg.OperationalError:
                # perhaps the server was started anew, and the connections are those of before: it is a read, so ask again
                await self._pool.check()
                return await self._once(statement, parameters)
        except PoolTimeout as trouble:
            raise Unreachable(
                f"no connection to the PostgreSQL server at {self._where} within {PATIENCE_SECONDS:g} seconds.",
                advice="See that it runs and that its max_connections allows for Bramley's.",
            ) from trouble
        except psycopg.Error as trouble:
            raise explain(trouble) from trouble

    async def _once(self, statement: LiteralString, parameters: tuple[str, ...]) -> Any | None:
        async with self._pool.connection() as raw:
            cursor = await raw.execute(statement, parameters, binary=True)
            return await cursor.fetchone()

    async def close(self) -> None:
        """Lets go of the connections."""
        await self._pool.close()


def _question(certificate_sha256: str, user_id: str | None) -> tuple[LiteralString, tuple[str, ...]]:
    """The statement and its parameters."""
    return (DEVICE, (certificate_sha256,)) if user_id is None else (USER, (user_id, certificate_sha256))
