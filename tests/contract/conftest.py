"""The databases that must keep the promises of `bramley.storage.protocols`: each test here runs on every one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bramley.storage.protocols import Store
from bramley.storage.sqlite import open_store

from .kit import Open


@pytest.fixture(params=["sqlite"])
async def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    opened: list[Store] = []

    async def open_again() -> Store:
        store = await open_store(tmp_path / "bramley.db")
        opened.append(store)
        return store

    yield open_again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_again: Open) -> Store:
    """An empty, open store."""
    return await open_again()
