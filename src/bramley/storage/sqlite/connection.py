"""Connections as we use them: autocommit as far as Python knows, so that every BEGIN and COMMIT is one we wrote."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import sqlalchemy as sa

from bramley.storage.errors import DiskTrouble, NoPlace
from bramley.storage.sqlite.explain import explain

BUSY_SECONDS = 5.0
"""How long a writer waits for another process at a time."""

READER_BUSY_SECONDS = 1.0
"""Readers of a WAL wait for nobody but a recovery, and they wait on the event loop."""

READER_CACHE_KIB = 65_536
"""Enough for the pages that the requests of some 20,000 devices touch; taken only as they are read."""

FAILED = "failed"
"""Set in a connection's `info` once a statement has failed on it."""

PRIVATE = stat.S_IRUSR | stat.S_IWUSR
SIDE_FILES = ("", "-wal", "-shm")


def make_private(path: Path) -> None:
    """Creates the file, readable by its owner only, or takes away what others may do with it and its side files.

    SQLite gives the mode of the database to the `-wal` and `-shm` it creates. Raises NoPlace where no database can be and
    DiskTrouble where the system does not let us.
    """
    if not path.parent.is_dir():
        raise NoPlace(f"expected a folder at {path.parent}, found none.", advice="Make the folder, or name another.")
    if path.is_dir():
        raise NoPlace(f"expected a file at {path}, found a folder.", advice="Name another data folder.")
    try:
        # an existing file must not be opened: closing it would drop the locks that this process may hold on it
        path.touch(PRIVATE, exist_ok=False)
    except FileExistsError:
        _take_from_others(path)
    except OSError as trouble:
        raise DiskTrouble(
            f"cannot create {path} ({trouble.strerror}).",
            advice="See that the data folder belongs to the account that runs Bramley and that the disk has space.",
        ) from trouble


def _take_from_others(path: Path) -> None:
    for suffix in SIDE_FILES:
        file = path.with_name(path.name + suffix)
        try:
            if stat.S_IMODE(file.stat().st_mode) & ~PRIVATE:
                file.chmod(PRIVATE)
        except FileNotFoundError:
            continue
        except OSError as trouble:
            raise DiskTrouble(
                f"{file} is open to other accounts and cannot be closed to them ({trouble.strerror}).",
                advice="Make the account that runs Bramley its owner.",
            ) from trouble


def connect_to_write(path: Path) -> sqlite3.Connection:
    """For one thread only. Every COMMIT is on disk when it returns: synchronous=FULL.

    What is deleted is overwritten: a private key that is taken out must not stay behind in a free page.
    """
    raw = _connect(
        path, "rw", BUSY_SECONDS, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON"
    )
    mode = raw.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        raw.close()
        raise DiskTrouble(
            f"expected a write-ahead log for {path}, got journal mode {mode!r}.",
            advice="Put the data folder on a local disk: network file systems cannot share SQLite's log.",
        )
    return raw


def connect_to_read(path: Path) -> sqlite3.Connection:
    """For one thread only; it cannot write. The writing connection must be open already, since it makes the log."""
    return _connect(path, "ro", READER_BUSY_SECONDS, f"PRAGMA cache_size = -{READER_CACHE_KIB}")


def _connect(path: Path, mode: str, timeout: float, *settings: str) -> sqlite3.Connection:
    try:
        raw = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=timeout, isolation_level=None)
    except sqlite3.Error as trouble:
        raise explain(trouble) from trouble
    try:
        for setting in settings:
            raw.execute(setting)
    except sqlite3.Error as trouble:
        raw.close()
        raise explain(trouble) from trouble
    return raw


def core_over(raw: sqlite3.Connection) -> sa.Connection:
    """SQLAlchemy Core over a connection of ours. It begins and ends nothing by itself, and raises our errors."""
    engine = sa.create_engine("sqlite://", creator=lambda: raw, poolclass=sa.StaticPool)
    sa.event.listen(engine, "handle_error", _raise_ours)
    return engine.connect()


def _raise_ours(context: sa.engine.ExceptionContext) -> None:
    if isinstance(context.original_exception, sqlite3.Error):
        if context.connection is not None:
            context.connection.info[FAILED] = True
        raise explain(context.original_exception) from context.original_exception
