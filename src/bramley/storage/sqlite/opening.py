"""From a path to a connection whose schema is the one that this program knows."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bramley.storage.errors import Busy, WrongFormat
from bramley.storage.migrations import HEAD, migrate
from bramley.storage.sqlite.connection import connect_to_write, core_over, make_private
from bramley.storage.sqlite.explain import explain

T = TypeVar("T")

TRIES = 3
PAUSE_SECONDS = 0.1


def open_to_write(path: Path) -> sqlite3.Connection:
    """The writing connection to an up-to-date database, created or migrated where needed; for the calling thread only."""
    make_private(path)
    raw = patiently(lambda: connect_to_write(path))
    try:
        if _revision(raw, path) != HEAD:
            patiently(lambda: _migrate(raw))
        # only now: a migration that rebuilds a table must not trip over the rows that refer to it
        raw.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as trouble:
        raw.close()
        raise explain(trouble) from trouble
    except BaseException:
        raw.close()
        raise
    return raw


def patiently(attempt: Callable[[], T]) -> T:
    """Tries a few times while another process holds the database: not every wait in SQLite heeds its busy timeout."""
    for _ in range(TRIES - 1):
        try:
            return attempt()
        except Busy:
            time.sleep(PAUSE_SECONDS)
    return attempt()


def _revision(raw: sqlite3.Connection, path: Path) -> str | None:
    tables = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise WrongFormat(f"{path} is a database, but not one of Bramley's.", advice="Name another data folder.")
    row = raw.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _migrate(raw: sqlite3.Connection) -> None:
    """All steps in one transaction: whoever comes second finds the work done, and a crash leaves the old schema."""
    # the connection before the transaction: SQLAlchemy rolls back once after it has looked at a new database
    with core_over(raw) as connection:
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as trouble:
            raise explain(trouble) from trouble
        with connection.begin():
            migrate(connection)
