"""Connections as we use them: autocommit as far as the driver knows, so that every BEGIN and COMMIT is one we wrote."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from psycopg.conninfo import conninfo_to_dict

from bramley.storage.errors import NoPlace
from bramley.storage.postgres.explain import explain, explain_connecting

DEFAULTS: dict[str, str | int] = {
    "application_name": "bramley",
    "connect_timeout": 5,
    # a server that vanished without a word is noticed within half a minute
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
SESSION = """
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '60s';
SET jit = off;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
"""For every connection. A commit is on disk when it returns: an administrator may ask for more than that, not for less."""


class Address:
    """Where the database is: a `postgresql://` URL, completed and taken apart once. It is never shown."""

    def __init__(self, url: str) -> None:
        """NoPlace for what libpq does not understand."""
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            # without the reason, which may quote the password
            raise NoPlace(
                "`database` is not a PostgreSQL URL.",
                advice="It is postgresql://USER:PASSWORD@HOST:PORT/NAME; percent-encode @ : / # ? and % in its parts.",
            ) from None
        self.parameters: dict[str, Any] = {**DEFAULTS, **given, "client_encoding": "utf8"}

    def __str__(self) -> str:
        host = self.parameters.get("host") or self.parameters.get("hostaddr") or "the default host"
        port = self.parameters.get("port")
        return f"{host}:{port}" if port and not str(host).startswith("/") else str(host)

    def connect(self) -> psycopg.Connection:
        """For one thread at a time."""
        try:
            raw = psycopg.connect(**self.parameters, autocommit=True)
        except psycopg.Error as trouble:
            raise explain_connecting(trouble, str(self)) from trouble
        try:
            raw.execute(SESSION, prepare=False)
        except psycopg.Error as trouble:
            raw.close()
            raise explain(trouble) from trouble
        return raw

    async def connect_async(self) -> psycopg.AsyncConnection:
        """For the running event loop."""
        try:
            raw = await psycopg.AsyncConnection.connect(**self.parameters, autocommit=True)
        except psycopg.Error as trouble:
            raise explain_connecting(trouble, str(self)) from trouble
        try:
            await configure(raw)
        except psycopg.Error as trouble:
            await raw.close()
            raise explain(trouble) from trouble
        return raw

    def engine(self) -> sa.Engine:
        """SQLAlchemy Core over connections of ours. It begins and ends nothing by itself, and raises our errors."""
        engine = sa.create_engine("postgresql+psycopg://", creator=self.connect, poolclass=sa.NullPool, use_native_hstore=False)
        sa.event.listen(engine, "handle_error", _raise_ours)
        return engine


async def configure(raw: psycopg.AsyncConnection) -> None:
    """Applies SESSION."""
    await raw.execute(SESSION, prepare=False)


def raw_of(connection: sa.Connection) -> psycopg.Connection:
    """The driver's connection below SQLAlchemy's."""
    return cast("psycopg.Connection", connection.connection.driver_connection)


def discard(connection: sa.Connection) -> None:
    """Ends a connection in whatever state it is."""
    with suppress(psycopg.Error, sa.exc.SQLAlchemyError):
        connection.invalidate()
        connection.close()


def _raise_ours(context: sa.engine.ExceptionContext) -> None:
    if isinstance(context.original_exception, psycopg.Error):
        raise explain(context.original_exception) from context.original_exception
