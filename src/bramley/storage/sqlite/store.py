"""The store: one writer thread, and readers on the event loop that opened it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bramley.model.enrollments import Presented
from bramley.storage.behind import Behind
from bramley.storage.opened import OpenedStore
from bramley.storage.protocols import Tx
from bramley.storage.sqlite.connection import connect_to_read, core_over
from bramley.storage.sqlite.hotpath import SQLiteTransaction
from bramley.storage.sqlite.watch import PolledCommits
from bramley.storage.sqlite.writer import Writer

T = TypeVar("T")


class SQLiteStore(OpenedStore):
    """Made by `open_store`; belongs to the event loop that it was opened on."""

    def __init__(self, writer: Writer, raw: sqlite3.Connection, foreign_commits: int) -> None:
        super().__init__(Behind(writer.run), PolledCommits(writer.foreign_commits, foreign_commits))
        self._writer = writer
        self._raw = raw
        self._reader = core_over(raw)
        self._snapshot = SQLiteTransaction(raw, self._reader)

    async def run(self, fn: Callable[[Tx], T]) -> T:
        return await self._writer.run(fn, tell=self._commits.happened)

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Runs on the event loop: fit for what takes a millisecond, so mind the limits of listings."""
        self._refuse_if_closed()
        self._raw.execute("BEGIN")
        try:
            return fn(self._snapshot)
        finally:
            if self._raw.in_transaction:
                self._raw.execute("ROLLBACK")

    async def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        self._refuse_if_closed()
        return self._snapshot.presented(certificate_sha256, user_id)

    async def _let_go(self) -> None:
        # the writer last: the last connection to close empties the log into the database, which a reader cannot
        self._reader.close()
        self._raw.close()
        await self._writer.stop()


async def open_store(path: Path) -> SQLiteStore:
    """Opens the database at a path, whose folder must exist; creates or migrates it where needed.

    Raises NoPlace, WrongFormat, NewerSchema, Corrupt, Busy or DiskTrouble, each with advice.
    """
    writer = Writer(path)
    try:
        await writer.start()
        foreign_commits = await writer.foreign_commits()
        return SQLiteStore(writer, connect_to_read(path), foreign_commits)
    except BaseException:
        await writer.stop()
        raise
