"""Beside other processes: we wait for them, and say so when they do not end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bramley.storage.errors import Busy
from bramley.storage.sqlite import connection, open_store, opening
from tests.conftest import NOW


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bramley.db"


@pytest.fixture
def other(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection, as far as SQLite can tell."""
    opening.open_to_write(path).close()
    raw = sqlite3.connect(path, isolation_level=None)
    yield raw
    raw.close()


async def test_a_write_waits_for_another_process(path: Path, other: sqlite3.Connection) -> None:
    store = await open_store(path)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(store.run(lambda tx: tx.notes.set("a", "b")))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    assert await store.read(lambda tx: tx.notes.get("a")) is None, "readers do not wait"
    other.execute("COMMIT")
    async with asyncio.timeout(5):
        await waiting
    await store.close()


async def test_a_write_does_not_wait_for_ever(path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    store = await open_store(path)
    other.execute("BEGIN IMMEDIATE")
    outcomes = await asyncio.gather(*(store.run(lambda tx: tx.notes.set("a", "b")) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Busy] * 3
    other.execute("ROLLBACK")
    await store.run(lambda tx: tx.notes.set("a", "c"))
    assert await store.read(lambda tx: tx.notes.get("a")) == "c"
    await store.close()


async def test_opening_beside_a_writer_works(path: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO notes VALUES ('a', 'b')")
    store = await open_store(path)
    assert await store.read(lambda tx: tx.notes.get("a")) is None
    other.execute("COMMIT")
    assert await store.read(lambda tx: tx.notes.get("a")) == "b"
    await store.close()


async def test_notes_that_cannot_be_written_now_are_kept_for_later(
    path: Path, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    insert = "INSERT INTO enrollments (key, state, created_at, changed_at) VALUES ('e', 'active', 0, 0)"
    other.execute(insert)
    store = await open_store(path)
    other.execute("BEGIN IMMEDIATE")
    key = (await store.read(lambda tx: tx.enrollments.find()))[0].key
    store.saw(key, NOW)
    await asyncio.sleep(1.6)
    other.execute("COMMIT")
    async with asyncio.timeout(5):
        while await store.read(lambda tx: [each.last_seen_at for each in tx.enrollments.find()]) != [NOW]:
            await asyncio.sleep(0.1)
    await store.close()
