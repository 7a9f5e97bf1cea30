"""The store: threads that write, threads that read, the hot path and a listener on the event loop that opened it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TypeVar

import psycopg

from bramley.model.enrollments import Presented
from bramley.storage.behind import Behind
from bramley.storage.opened import OpenedStore
from bramley.storage.postgres.connection import Address
from bramley.storage.postgres.hotpath import HotPath
from bramley.storage.postgres.listening import Listener
from bramley.storage.postgres.opening import prepare
from bramley.storage.postgres.session import Session
from bramley.storage.postgres.workers import Workers
from bramley.storage.protocols import Tx
from bramley.storage.transaction import SQLTransaction
from bramley.storage.watch import Commits

T = TypeVar("T")

WRITERS = 4
READERS = 4


class PostgresStore(OpenedStore):
    """Made by `open_store`; belongs to the event loop that it was opened on."""

    def __init__(self, address: Address) -> None:
        super().__init__(Behind(self._note), Commits())
        self._loop = asyncio.get_running_loop()
        self._me = secrets.token_hex(8)
        self._engine = address.engine()
        self._writers = Workers(self._connect, WRITERS, "writer")
        self._readers = Workers(self._connect, READERS, "reader")
        self._hot_path = HotPath(address)
        self._listener = Listener(address, self._me, self._commits)

    def _connect(self) -> Session:
        return Session(self._engine.connect(), self._me)

    async def listen(self, raw: psycopg.AsyncConnection) -> None:
        """Hears of commits from now on, over this connection."""
        await self._listener.start(raw)

    async def run(self, fn: Callable[[Tx], T]) -> T:
        self._refuse_if_closed()

        def write(session: Session) -> T:
            value, wrote = session.write(fn)
            if wrote:
                # from here, since the caller may have been cancelled meanwhile
                self._loop.call_soon_threadsafe(self._commits.happened)
            return value

        return await self._writers.run(write)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        self._refuse_if_closed()
        return await self._readers.run(lambda session: session.read(fn))

    async def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        self._refuse_if_closed()
        return await self._hot_path.presented(certificate_sha256, user_id)

    async def _let_go(self) -> None:
        await self._listener.close()
        await self._hot_path.close()
        await self._writers.close()
        await self._readers.close()
        self._engine.dispose()

    async def _note(self, call: Callable[[SQLTransaction], None]) -> None:
        await self._writers.run(lambda session: session.note(call))


async def open_store(url: str, *, create: bool = True) -> PostgresStore:
    """Opens the database at a `postgresql://` URL; fills or migrates it where needed.

    Raises Unreachable, NotAdmitted, NoPlace, TooOld, WrongFormat or NewerSchema, each with advice; and NeverUsed for an empty
    database where `create` is False.
    """
    address = Address(url)
    raw = await address.connect_async()
    try:
        await prepare(raw, address, create=create)
    except BaseException:
        await raw.close()
        raise
    store = PostgresStore(address)
    try:
        await store.listen(raw)
    except BaseException:
        await store.close()
        raise
    return store
