"""One connection with transactions on it: serializable to write, a snapshot to read, and tried again where others got in between.

Whoever writes shares a gate, the lock ROW SHARE on `alembic_version`. Whoever was overtaken a few times takes it alone
(EXCLUSIVE), and then nobody can: every transaction comes to its end. LOCK TABLE takes no snapshot, so that a transaction that has
waited at the gate sees all that was committed before it came in.
"""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa

from bramley.storage.errors import Conflict, Unreachable, WentOn
from bramley.storage.postgres.connection import discard, raw_of
from bramley.storage.postgres.explain import Overtaken, explain
from bramley.storage.postgres.hotpath import PostgresTransaction

T = TypeVar("T")

CHANNEL = "bramley"
TURNS_TOGETHER = 3
TURNS = 5
PAUSE_SECONDS = 0.01

TOGETHER = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE alembic_version IN ROW SHARE MODE"
ALONE = "BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE alembic_version IN EXCLUSIVE MODE"
NOTING = "BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE alembic_version IN ROW SHARE MODE"
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class Session:
    """For one thread at a time."""

    def __init__(self, connection: sa.Connection, me: str) -> None:
        """`me` is told to other processes with every commit; it must need no quoting."""
        self._connection = connection
        self._raw = raw_of(connection)
        self._tx = PostgresTransaction(self._raw, connection)
        self._notify = f"NOTIFY {CHANNEL}, '{me}'; COMMIT"
        self._wrote = False
        sa.event.listen(connection, "after_cursor_execute", self._note_writing)

    @property
    def usable(self) -> bool:
        """Whether the connection is open and the server has said nothing since, such as that it shuts down."""
        if self._raw.closed or self._raw.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
            return False
        silent = select.poll()
        silent.register(self._raw.fileno(), select.POLLIN)
        return not silent.poll(0)

    def write(self, call: Callable[[PostgresTransaction], T]) -> tuple[T, bool]:
        """The call's value once it is on disk, and whether it wrote. The call may be run several times; one of them counts.

        A Conflict is only believed when nobody else writes: it may be the trace of a transaction that this one cannot see.
        """
        turn = 0
        while True:
            alone = turn >= TURNS_TOGETHER
            try:
                value = self._attempt(call, ALONE if alone else TOGETHER, self._notify)
                return value, self._wrote
            except Conflict:
                if alone:
                    raise
                turn = TURNS_TOGETHER
            except Overtaken:
                turn += 1
                if turn == TURNS:
                    raise
                time.sleep(random.uniform(0, PAUSE_SECONDS))  # noqa: S311 - so that two do not meet again at once

    def note(self, call: Callable[[PostgresTransaction], None]) -> None:
        """Writes what needs no isolation, one statement a table, and tells nobody."""
        for turn in range(TURNS):
            try:
                return self._attempt(call, NOTING, "COMMIT")
            except Overtaken:
                if turn == TURNS - 1:
                    raise
        raise AssertionError("the last turn returns or raises")

    def read(self, call: Callable[[PostgresTransaction], T]) -> T:
        """The call's value on a snapshot; it cannot write."""
        return self._attempt(call, SNAPSHOT, "COMMIT")

    def close(self) -> None:
        """Ends the connection."""
        discard(self._connection)

    def _attempt(self, call: Callable[[PostgresTransaction], T], begin: str, commit: str) -> T:
        self._wrote = False
        try:
            self._execute(begin)
            value = call(self._tx)
            self._still_good()
            self._commit(commit if self._wrote else "COMMIT")
        except BaseException:
            self._undo()
            raise
        return value

    def _commit(self, commit: str) -> None:
        try:
            self._execute(commit)
        except Unreachable as trouble:
            raise Unreachable(
                "the connection to the database was lost during a commit: what was written may be there or not.",
                advice="Look at what is there before you do it again.",
            ) from trouble

    def _still_good(self) -> None:
        """PostgreSQL answers COMMIT with ROLLBACK, and no error, where a statement failed and its error was swallowed."""
        if self._raw.info.transaction_status is not psycopg.pq.TransactionStatus.INTRANS:
            raise WentOn

    def _undo(self) -> None:
        try:
            if not self._raw.closed:
                self._raw.execute("ROLLBACK", prepare=False)
        except psycopg.Error:
            # where even this fails nothing was committed; the session is not usable, and is replaced
            self._raw.close()

    def _execute(self, statements: str) -> None:
        try:
            self._raw.execute(statements, prepare=False)
        except psycopg.Error as trouble:
            raise explain(trouble) from trouble

    def _note_writing(self, *event: Any) -> None:
        cursor, context = event[1], event[4]
        if (context.isinsert or context.isupdate or context.isdelete) and cursor.rowcount != 0:
            self._wrote = True
