"""Hearing of commits: LISTEN on a connection of its own; while there is none, every few seconds counts as a change."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg

from bramley.storage.errors import StorageError
from bramley.storage.postgres.connection import Address
from bramley.storage.postgres.explain import explain
from bramley.storage.postgres.session import CHANNEL
from bramley.storage.watch import Commits

POLL_SECONDS = 5.0


class Listener:
    """Reports the commits of others to `commits`. Belongs to the running event loop."""

    def __init__(self, address: Address, me: str, commits: Commits) -> None:
        """What is announced with `me` is our own."""
        self._address = address
        self._me = me
        self._commits = commits
        self._raw: psycopg.AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, raw: psycopg.AsyncConnection) -> None:
        """Listens on a fresh connection, which is the listener's from now on, from when this returns until `close`."""
        self._raw = raw
        try:
            await self._listen(raw)
        except psycopg.Error as trouble:
            raise explain(trouble) from trouble
        self._task = asyncio.get_running_loop().create_task(self._run(raw), name="bramley-listener")

    async def close(self) -> None:
        """Hears no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._raw is not None:
            await self._raw.close()

    @staticmethod
    async def _listen(raw: psycopg.AsyncConnection) -> None:
        await raw.execute(f"LISTEN {CHANNEL}")

    async def _run(self, raw: psycopg.AsyncConnection) -> None:
        while True:
            # an error means that the connection is lost; whoever asks for something meanwhile hears why
            with suppress(psycopg.Error):
                async for heard in raw.notifies():
                    if heard.payload != self._me:
                        self._commits.happened()
            await raw.close()
            raw = await self._again()

    async def _again(self) -> psycopg.AsyncConnection:
        """Another connection, however long that takes. What was missed nobody can say, so each try counts as a change."""
        while True:
            self._commits.happened()
            try:
                self._raw = raw = await self._address.connect_async()
                await self._listen(raw)
            except (StorageError, psycopg.Error):
                await asyncio.sleep(POLL_SECONDS)
            else:
                self._commits.happened()
                return raw
