"""Opening a database: whatever is at the path, the operator learns what to do, and nobody else can read it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from bramley.storage.errors import Corrupt, DiskTrouble, NewerSchema, NoPlace, StorageError, WrongFormat
from bramley.storage.migrations import HEAD, migrate
from bramley.storage.protocols import Tx
from bramley.storage.sqlite import open_store, opening
from bramley.storage.sqlite.connection import SIDE_FILES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bramley.db"


async def make(path: Path, *, notes: int = 1) -> None:
    """A database with notes in it, closed."""

    def fill(tx: Tx) -> None:
        for number in range(notes):
            tx.notes.set(f"note {number}", "x" * 200)

    store = await open_store(path)
    await store.run(fill)
    await store.close()


def modes(path: Path) -> dict[str, int]:
    files = {suffix: path.with_name(path.name + suffix) for suffix in SIDE_FILES}
    return {suffix: stat.S_IMODE(file.stat().st_mode) for suffix, file in files.items() if file.exists()}


async def test_only_the_owner_can_read_the_database_and_its_log(path: Path) -> None:
    before = os.umask(0)
    try:
        store = await open_store(path)
        await store.run(lambda tx: tx.notes.set("a", "b"))
        assert modes(path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
        await store.close()
    finally:
        os.umask(before)
    assert modes(path) == {"": 0o600}


async def test_what_others_may_do_with_an_old_file_is_taken_away(path: Path) -> None:
    await make(path)
    path.chmod(0o664)
    store = await open_store(path)
    try:
        assert modes(path) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}
    finally:
        await store.close()


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    await make(path)
    assert path.stat().st_size > 0


@pytest.mark.parametrize("name", ["a b", "100%", "ä?x=1#y"])
async def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    await make(tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == [name]


async def test_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NoPlace) as caught:
        await open_store(tmp_path / "missing" / "bramley.db")
    assert str(tmp_path / "missing") in caught.value.message
    assert "Make the folder" in caught.value.advice


async def test_a_file_stands_where_the_folder_should(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(NoPlace):
        await open_store(tmp_path / "data" / "bramley.db")


async def test_a_folder_stands_where_the_file_should(path: Path) -> None:
    path.mkdir()
    with pytest.raises(NoPlace):
        await open_store(path)


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nobody can make a file: for root, who may write everywhere, one of the kernel's own."""
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        yield tmp_path
        tmp_path.chmod(0o700)
    elif Path("/proc/self/fdinfo").is_dir():
        yield Path("/proc/self/fdinfo")
    else:
        pytest.skip("runs as root on a system without /proc: every folder can be written")


async def test_a_folder_that_cannot_be_written(read_only_folder: Path) -> None:
    with pytest.raises(DiskTrouble, match="cannot create") as caught:
        await open_store(read_only_folder / "bramley.db")
    assert caught.value.advice


async def test_it_is_no_database(path: Path) -> None:
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" * 200)
    with pytest.raises(WrongFormat) as caught:
        await open_store(path)
    assert caught.value.advice
    assert path.read_bytes().startswith(b"-----BEGIN"), "it was left as it was"


async def test_it_is_the_database_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
    with pytest.raises(WrongFormat, match="not one of Bramley's"):
        await open_store(path)


async def test_a_newer_bramley_has_written_it(path: Path) -> None:
    await make(path)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerSchema) as caught:
        await open_store(path)
    assert "9999" in caught.value.message
    assert HEAD in caught.value.message


async def test_it_is_damaged(path: Path) -> None:
    await make(path, notes=500)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    with pytest.raises(Corrupt) as caught:
        await use(path)
    assert "backup" in caught.value.advice


async def test_it_is_cut_short(path: Path) -> None:
    await make(path, notes=500)
    os.truncate(path, 8192)
    with pytest.raises(StorageError) as caught:
        await use(path)
    assert caught.value.advice


async def use(path: Path) -> None:
    store = await open_store(path)
    try:
        await store.run(lambda tx: tx.notes.set("note 499", "y"))
        await store.read(lambda tx: tx.notes.get("note 250"))
    finally:
        await store.close()


async def test_a_fresh_database_can_be_opened_by_several_at_once(path: Path) -> None:
    stores = await asyncio.gather(*(open_store(path) for _ in range(4)))
    for number, store in enumerate(stores):
        await store.run(partial(note, f"{number}"))
    assert await stores[0].read(lambda tx: [tx.notes.get(f"{number}") for number in range(4)]) == ["x"] * 4
    for store in stores:
        await store.close()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_midway(connection: sa.Connection) -> None:
        migrate(connection)
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "migrate", fail_midway)
        with pytest.raises(OSError, match="power"):
            await open_store(path)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    await make(path)


def note(name: str, tx: Tx) -> None:
    tx.notes.set(name, "x")


OPEN_AND_COUNT = """
import asyncio, sys, time
from pathlib import Path
from bramley.storage.sqlite import open_store, opening

async def main():
    started = time.process_time()
    store = await open_store(Path(sys.argv[1]))
    took = time.process_time() - started
    await store.close()
    print("alembic" in sys.modules, took)

asyncio.run(main())
"""


async def test_an_up_to_date_database_opens_quickly_and_without_alembic(path: Path) -> None:
    await make(path)
    runs = [
        subprocess.run([sys.executable, "-c", OPEN_AND_COUNT, path], check=True, capture_output=True, text=True).stdout.split()
        for _ in range(3)
    ]
    assert {alembic for alembic, _ in runs} == {"False"}
    assert min(float(seconds) for _, seconds in runs) < 0.03
