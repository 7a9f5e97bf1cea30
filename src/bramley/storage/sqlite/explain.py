"""From SQLite's result codes to our errors (https://www.sqlite.org/rescode.html)."""

from __future__ import annotations

import sqlite3

from bramley.storage.errors import (
    Busy,
    Conflict,
    Corrupt,
    DiskTrouble,
    NotFound,
    Refused,
    StorageError,
    WrongFormat,
)

PRIMARY_CODE = 0xFF
ALREADY_THERE = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})


def explain(error: sqlite3.Error) -> StorageError:
    """The error to raise in place of the driver's. SQLite's messages name tables and columns, never values."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    match code & PRIMARY_CODE:
        case sqlite3.SQLITE_CONSTRAINT:
            return _constraint(code, error)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Busy(
                f"another process holds the database and did not let go of it ({error}).",
                advice="Try again; if it goes on, look for a hanging bramley process or a backup program on the data folder.",
            )
        case sqlite3.SQLITE_FULL:
            return DiskTrouble(f"the disk is full ({error}).", advice="Nothing was changed. Free some space, then try again.")
        case sqlite3.SQLITE_READONLY:
            return DiskTrouble(
                f"expected to write, but may only read ({error}).",
                advice="See that the data folder and all in it belong to the account that runs Bramley.",
            )
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_NOLFS:
            return DiskTrouble(
                f"the disk did not do as asked ({error}).",
                advice="See that the disk works and that the data folder belongs to the account that runs Bramley.",
            )
        case sqlite3.SQLITE_CORRUPT:
            return Corrupt(
                f"the database is damaged ({error}).",
                advice="Stop Bramley, keep a copy of the data folder as it is, and restore the latest backup.",
            )
        case sqlite3.SQLITE_NOTADB:
            return WrongFormat(
                f"expected a database, got something else ({error}).",
                advice="Name the right data folder, or restore the latest backup.",
            )
        case _:
            return StorageError(f"the database refused a statement ({error}).", advice="This is a fault of Bramley: report it.")


def _constraint(code: int, error: sqlite3.Error) -> StorageError:
    if code in ALREADY_THERE:
        return Conflict(f"this is there already ({error}).", advice="Read what is there, and change that or choose another.")
    if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound(f"a row refers to one that is not there ({error}).", advice="Add what it refers to first.")
    return Refused(f"the database refused a value ({error}).", advice="This is a fault of Bramley: report it.")
