"""The databases that must keep the promises of `bramley.storage.protocols`: each test here runs on every one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bramley.storage import postgres
from bramley.storage.postgres.store import WRITERS
from bramley.storage.protocols import Store
from bramley.storage.sqlite import open_store

from .kit import Open


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """The file, or the URL, of a database of the test's own."""
    if request.param == "sqlite":
        return tmp_path / "bramley.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def writes_at_once(database: Path | str) -> int:
    """How many transactions of one store run side by side; more of them wait."""
    return 1 if isinstance(database, Path) else WRITERS


@pytest.fixture
async def open_again(database: Path | str) -> AsyncIterator[Open]:
    opened: list[Store] = []

    async def open_again() -> Store:
        store = await (open_store(database) if isinstance(database, Path) else postgres.open_store(database))
        opened.append(store)
        return store

    yield open_again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_again: Open) -> Store:
    """An empty, open store."""
    return await open_again()
