"""The one thread that writes. It owns the writing connection, and answers nobody before the COMMIT has returned."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from bramley.storage.errors import Closed
from bramley.storage.sqlite.connection import core_over
from bramley.storage.sqlite.explain import explain
from bramley.storage.sqlite.group import commit_together, only_in_transactions
from bramley.storage.sqlite.hotpath import SQLiteTransaction
from bramley.storage.sqlite.opening import open_to_write
from bramley.storage.transaction import Outcome

T = TypeVar("T")

LARGEST_GROUP = 256
"""Calls in one COMMIT: enough to spread the cost of a disk's flush, few enough that none waits long."""


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    """A call, and who waits for it. Without a call, it asks how often others have committed.

    `tell` is called on the loop once the call is committed, even where its caller was cancelled meanwhile.
    """

    call: Callable[[SQLiteTransaction], object] | None
    future: asyncio.Future[Outcome]
    tell: Callable[[], None] | None = None


class Writer:
    """Belongs to the event loop that starts it; every method is called there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="bramley-writer", daemon=True)
        self._started = self._loop.create_future()
        self._stopped = self._loop.create_future()
        self._closed = False

    async def start(self) -> None:
        """Opens the database, migrating it where needed, and raises what prevented that."""
        self._thread.start()
        await self._outcome(self._started)

    async def run(self, call: Callable[[SQLiteTransaction], T], *, tell: Callable[[], None] | None = None) -> T:
        """The call's value, once it is on disk; or its exception, and then it left nothing behind."""
        return cast(T, await self._ask(call, tell))

    async def foreign_commits(self) -> int:
        """A number that changes when any other connection commits, and never when this one does (PRAGMA data_version)."""
        return cast(int, await self._ask(None))

    async def stop(self) -> None:
        """Ends what was asked before, then lets go of the database."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.shield(self._stopped)
        self._thread.join()

    async def _ask(self, call: Callable[[SQLiteTransaction], object] | None, tell: Callable[[], None] | None = None) -> object:
        if self._closed:
            raise Closed("the store is closed.", advice="Open it again.")
        request = _Request(call, self._loop.create_future(), tell)
        self._queue.put(request)
        return await self._outcome(request.future)

    @staticmethod
    async def _outcome(future: asyncio.Future[Outcome]) -> object:
        outcome = await future
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    # from here on: the writer's own thread

    def _main(self) -> None:
        try:
            raw = open_to_write(self._path)
        except BaseException as error:
            self._answer([(_Request(None, self._started), Outcome(error=error)), (_Request(None, self._stopped), Outcome())])
            return
        try:
            with core_over(raw) as connection:
                only_in_transactions(raw, connection)
                self._answer([(_Request(None, self._started), Outcome())])
                self._serve(raw, SQLiteTransaction(raw, connection))
        finally:
            raw.close()
            self._answer([(_Request(None, self._stopped), Outcome())])

    def _serve(self, raw: sqlite3.Connection, tx: SQLiteTransaction) -> None:
        going_on = True
        while going_on:
            requests, going_on = self._next_group()
            # whoever was cancelled while waiting gets nothing done; the flag is only ever set, so reading it here is safe
            waited_for = [request for request in requests if not request.future.cancelled()]
            try:
                self._answer(_fulfil(raw, tx, waited_for))
            except Exception as error:
                # not foreseen, but a thread that dies would leave its callers waiting for ever
                self._answer([(request, Outcome(error=error)) for request in waited_for])

    def _next_group(self) -> tuple[list[_Request], bool]:
        """Waits for one request, and takes with it what has come meanwhile; False with the last."""
        requests: list[_Request] = []
        request = self._queue.get()
        while request is not None:
            requests.append(request)
            if len(requests) == LARGEST_GROUP:
                return requests, True
            try:
                request = self._queue.get_nowait()
            except Empty:
                return requests, True
        return requests, False

    def _answer(self, outcomes: list[tuple[_Request, Outcome]]) -> None:
        if not outcomes:
            return
        try:
            self._loop.call_soon_threadsafe(_deliver, outcomes)
        except RuntimeError:
            # the loop was closed without closing the store: nobody is left to hear it
            return


def _deliver(outcomes: list[tuple[_Request, Outcome]]) -> None:
    for request, outcome in outcomes:
        if not request.future.done():
            request.future.set_result(outcome)
        if request.tell is not None and outcome.error is None:
            request.tell()


def _fulfil(raw: sqlite3.Connection, tx: SQLiteTransaction, requests: list[_Request]) -> list[tuple[_Request, Outcome]]:
    calls = [(request, request.call) for request in requests if request.call is not None]
    questions = [request for request in requests if request.call is None]
    outcomes = commit_together(raw, tx, [call for _, call in calls]) if calls else []
    answers = [(request, outcome) for (request, _), outcome in zip(calls, outcomes, strict=True)]
    return answers + [(request, _data_version(raw)) for request in questions]


def _data_version(raw: sqlite3.Connection) -> Outcome:
    try:
        return Outcome(raw.execute("PRAGMA data_version").fetchone()[0])
    except sqlite3.Error as trouble:
        return Outcome(error=explain(trouble))
