"""What was acknowledged is on disk: after a kill, on a full disk, and when COMMIT itself fails."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Version, VersionID, VersionState
from bramley.storage.errors import DiskTrouble, NotFound
from bramley.storage.protocols import Tx
from bramley.storage.sqlite import open_store
from bramley.storage.sqlite.connection import core_over
from bramley.storage.sqlite.group import commit_together
from bramley.storage.sqlite.hotpath import SQLiteTransaction
from bramley.storage.sqlite.opening import open_to_write
from tests.conftest import NOW

FULL = 2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bramley.db"


@pytest.fixture
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """A writing connection without its thread."""
    connection = open_to_write(path)
    yield connection
    connection.close()


@pytest.fixture
def tx(raw: sqlite3.Connection) -> Iterator[SQLiteTransaction]:
    with core_over(raw) as connection:
        yield SQLiteTransaction(raw, connection)


def test_every_commit_waits_for_the_disk(raw: sqlite3.Connection) -> None:
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("PRAGMA synchronous").fetchone() == (FULL,)
    assert raw.execute("PRAGMA foreign_keys").fetchone() == (1,)


WRITE_AND_TELL = """
import asyncio, sys
from pathlib import Path
from bramley.storage.protocols import Tx
from bramley.storage.sqlite import open_store

async def main():
    store = await open_store(Path(sys.argv[1]))
    async def writer(name):
        for number in range(1_000_000):
            await store.run(lambda tx: tx.notes.set(f"{name}-{number}", "x"))
            print(f"{name}-{number}", flush=True)
    await asyncio.gather(*(writer(name) for name in "abcd"))

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_that_it_acknowledged(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE_AND_TELL, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(300)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert all(acknowledged), "the process ended before it was killed"
    store = await open_store(path)
    assert await store.read(lambda tx: [name for name in acknowledged if tx.notes.get(name) is None]) == []
    await store.close()


FILL_THE_DISK = """
import asyncio, resource, sys
from pathlib import Path
from bramley.storage.errors import DiskTrouble
from bramley.storage.protocols import Tx
from bramley.storage.sqlite import open_store

async def main():
    path = Path(sys.argv[1])
    store = await open_store(path)
    log = path.with_name(path.name + "-wal")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    # no file may grow any more: the kernel refuses the writes of COMMIT, as it does on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 50_000, unlimited[1]))
    kept, refused = [], []
    async def write(name):
        try:
            await store.run(lambda tx: tx.notes.set(name, "x" * 3000))
        except DiskTrouble as trouble:
            assert trouble.advice
            refused.append(name)
        else:
            kept.append(name)
    for group in range(10):
        await asyncio.gather(*(write(f"{group}-{number}") for number in range(5)))
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    await write("after")
    print(" ".join(kept), "/", " ".join(refused))
    await store.close()

asyncio.run(main())
"""


async def test_a_full_disk_refuses_what_it_cannot_keep_and_keeps_the_rest(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FILL_THE_DISK, path], capture_output=True, text=True, check=True)
    kept, refused = (part.split() for part in ended.stdout.split("/"))
    assert "0-0" in kept
    assert "9-4" in refused
    assert "after" in kept, "the store works again when there is space"
    store = await open_store(path)
    stored = await store.read(lambda tx: [name for name in (*kept, *refused) if tx.notes.get(name) is not None])
    assert stored == kept
    await store.close()


def test_a_call_that_fills_the_database_takes_its_neighbours_along_and_nobody_is_told_otherwise(
    raw: sqlite3.Connection, tx: SQLiteTransaction
) -> None:
    (kept,) = commit_together(raw, tx, [lambda tx: tx.notes.set("kept", "x")])
    (pages,) = raw.execute("PRAGMA page_count").fetchone()
    raw.execute(f"PRAGMA max_page_count = {pages + 4}")
    small, large = commit_together(
        raw, tx, [lambda tx: tx.notes.set("small", "x"), lambda tx: tx.notes.set("large", "x" * 100_000)]
    )
    assert kept.error is None
    assert isinstance(small.error, DiskTrouble)
    assert isinstance(large.error, DiskTrouble)
    assert "full" in large.error.message
    assert [tx.notes.get(name) for name in ("kept", "small", "large")] == ["x", None, None]
    raw.execute("PRAGMA max_page_count = 1000000")
    (again,) = commit_together(raw, tx, [lambda tx: tx.notes.set("small", "x")])
    assert again.error is None
    assert tx.notes.get("small") == "x"


def test_when_commit_fails_nobody_is_told_otherwise(raw: sqlite3.Connection, tx: SQLiteTransaction) -> None:
    def break_the_commit(_: SQLiteTransaction) -> None:
        raw.execute("PRAGMA defer_foreign_keys = ON")
        raw.execute("INSERT INTO versions VALUES ('v', 'no lineage', 1, 'active', 0, 0, NULL, '' " + ", NULL" * 12 + ")")

    def fail_by_itself(_: SQLiteTransaction) -> None:
        raise LookupError("mine")

    calls = [lambda tx: tx.notes.set("innocent", "x"), break_the_commit, fail_by_itself]
    innocent, guilty, failed = commit_together(raw, tx, calls)
    assert isinstance(innocent.error, NotFound)
    assert isinstance(guilty.error, NotFound)
    assert innocent.error is not guilty.error
    assert isinstance(failed.error, LookupError)
    assert not raw.in_transaction
    assert tx.notes.get("innocent") is None
    (again,) = commit_together(raw, tx, [lambda tx: tx.notes.set("innocent", "x")])
    assert again.error is None
    assert tx.notes.get("innocent") == "x"


def test_when_sqlite_rolls_back_by_itself_nothing_runs_outside_a_transaction(
    raw: sqlite3.Connection, tx: SQLiteTransaction
) -> None:
    ran = []

    def lose_the_transaction(_: SQLiteTransaction) -> None:
        raw.execute("ROLLBACK")

    def write_later(tx: SQLiteTransaction) -> None:
        ran.append("later")
        tx.notes.set("later", "x")

    outcomes = commit_together(raw, tx, [lambda tx: tx.notes.set("earlier", "x"), lose_the_transaction, write_later])
    assert [type(outcome.error) for outcome in outcomes] == [DiskTrouble] * 3
    assert ran == []
    assert tx.notes.get("earlier") is None
    assert tx.notes.get("later") is None


async def test_a_call_that_goes_on_after_its_transaction_has_ended_writes_nothing(path: Path) -> None:
    store = await open_store(path)

    def limit(tx: Tx) -> None:
        assert isinstance(tx, SQLiteTransaction)
        tx.notes._connection.exec_driver_sql("PRAGMA max_page_count = 100")

    def go_on(tx: Tx) -> None:
        with suppress(DiskTrouble):
            tx.notes.set("large", "x" * 1_000_000)
        tx.notes.set("small", "x")

    await store.run(limit)
    with pytest.raises(DiskTrouble):
        await store.run(go_on)
    assert await store.read(lambda tx: (tx.notes.get("large"), tx.notes.get("small"))) == (None, None)
    await store.run(lambda tx: tx.notes.set("small", "y"))
    assert await store.read(lambda tx: tx.notes.get("small")) == "y"
    await store.close()


def test_half_a_call_is_never_kept(raw: sqlite3.Connection, tx: SQLiteTransaction) -> None:
    def half(tx: SQLiteTransaction) -> None:
        tx.lineages.add(Lineage(LineageID("l"), Kind.PUSH, "topic", Policy(), NOW))
        tx.lineages.add_version(Version(VersionID("v"), LineageID("other"), 1, VersionState.ACTIVE, NOW, NOW))

    (outcome,) = commit_together(raw, tx, [half])
    assert isinstance(outcome.error, NotFound)
    assert tx.lineages.get(LineageID("l")) is None
