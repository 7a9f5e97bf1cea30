"""Group commit: many callers' transactions, one COMMIT, so one wait for the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

import sqlalchemy as sa

from bramley.storage.errors import DiskTrouble, StorageError, WentOn
from bramley.storage.sqlite.connection import FAILED
from bramley.storage.sqlite.explain import explain
from bramley.storage.sqlite.hotpath import SQLiteTransaction
from bramley.storage.sqlite.opening import patiently
from bramley.storage.transaction import Outcome


def commit_together(
    raw: sqlite3.Connection, tx: SQLiteTransaction, calls: Sequence[Callable[[SQLiteTransaction], object]]
) -> list[Outcome]:
    """Runs each call in a savepoint of one transaction and commits once. The outcomes are in the order of the calls.

    A call that raises leaves nothing behind and does not disturb the others. Where the COMMIT fails nobody's call has
    happened, and all who had not failed by themselves get the reason.
    """
    try:
        patiently(lambda: _execute(raw, "BEGIN IMMEDIATE"))
    except StorageError as trouble:
        return [Outcome(error=_anew(trouble)) for _ in calls]
    outcomes = [_attempt(raw, tx, call) for call in calls]
    try:
        _still_open(raw)
        _execute(raw, "COMMIT")
    except StorageError as trouble:
        _abandon(raw)
        return [Outcome(error=_anew(trouble)) if outcome.error is None else outcome for outcome in outcomes]
    return outcomes


def only_in_transactions(raw: sqlite3.Connection, connection: sa.Connection) -> None:
    """Has the connection refuse statements once its transaction is gone, should a call go on after the error that ended it."""

    def check(*_: object) -> None:
        _still_open(raw)

    sa.event.listen(connection, "before_cursor_execute", check)


def _attempt(raw: sqlite3.Connection, tx: SQLiteTransaction, call: Callable[[SQLiteTransaction], object]) -> Outcome:
    try:
        _still_open(raw)
        _execute(raw, "SAVEPOINT attempt")
        tx.connection.info.pop(FAILED, None)
        value = call(tx)
        _still_open(raw)
        if FAILED in tx.connection.info:
            # SQLite could go on; PostgreSQL cannot, and a function must mean the same on both
            raise WentOn
        _execute(raw, "RELEASE attempt")
    except BaseException as error:
        _undo_attempt(raw)
        return Outcome(error=error)
    return Outcome(value)


def _undo_attempt(raw: sqlite3.Connection) -> None:
    if raw.in_transaction:
        try:
            raw.execute("ROLLBACK TO attempt")
            raw.execute("RELEASE attempt")
        except sqlite3.Error:
            # half a call must not be committed: rather nobody's, which `_still_open` then reports
            _abandon(raw)


def _abandon(raw: sqlite3.Connection) -> None:
    # where even this fails, the next BEGIN fails too, and nothing is ever acknowledged
    with suppress(sqlite3.Error):
        raw.execute("ROLLBACK")


def _still_open(raw: sqlite3.Connection) -> None:
    """SQLite ends a transaction by itself on some troubles of the disk; what ran after that would commit by itself."""
    if not raw.in_transaction:
        raise DiskTrouble(
            "the transaction was rolled back, because the disk failed during it.",
            advice="Nothing was changed. See that the disk works and has space, then try again.",
        )


def _anew(trouble: StorageError) -> StorageError:
    """An exception for each caller: one that several raise would gather all their tracebacks."""
    return type(trouble)(trouble.message, advice=trouble.advice)


def _execute(raw: sqlite3.Connection, statement: str) -> None:
    try:
        raw.execute(statement)
    except sqlite3.Error as trouble:
        raise explain(trouble) from trouble
