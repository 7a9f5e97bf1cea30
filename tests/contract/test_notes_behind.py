"""What is written behind, and what other processes commit, are there within a second or so."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import pytest

from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, SECOND, Open, command, enrollment, store_all


async def test_last_seen_and_sent_are_written_within_a_second_or_so(store: Store) -> None:
    device = enrollment()
    await store_all(store, device)
    asked = command(device)
    await store.run(lambda tx: tx.commands.add(asked))
    store.saw(device.key, NOW)
    store.saw(device.key, NOW + SECOND)
    store.sent(asked.uuid, NOW)
    async with asyncio.timeout(5):
        while await store.read(lambda tx: tx.enrollments.get(device.key)) != replace(device, last_seen_at=NOW + SECOND):
            await asyncio.sleep(0.1)
    assert await store.read(lambda tx: tx.commands.get(device.key, asked.uuid)) == replace(asked, sent_at=NOW)


async def test_closing_writes_what_was_noted_and_never_turns_time_back(open_again: Open) -> None:
    store = await open_again()
    early, late, gone = enrollment("1", last_seen_at=NOW - DAY), enrollment("2", last_seen_at=NOW + DAY), enrollment("gone")
    await store_all(store, early, late)
    for each in (early, late, gone):
        store.saw(each.key, NOW)
    await store.close()
    again = await open_again()
    assert await again.read(lambda tx: tx.enrollments.get(early.key)) == replace(early, last_seen_at=NOW)
    assert await again.read(lambda tx: tx.enrollments.get(late.key)) == late


async def test_changed_returns_when_another_process_has_committed(open_again: Open) -> None:
    store, other = await open_again(), await open_again()
    waiters = [asyncio.create_task(store.watch().changed()) for _ in range(2)]
    await asyncio.sleep(0.1)
    await other.run(lambda tx: tx.notes.set("a", "b"))
    async with asyncio.timeout(2):
        await asyncio.gather(*waiters)


async def test_changed_returns_at_once_for_our_own_commits(open_again: Open) -> None:
    store = await open_again()
    waiting = asyncio.create_task(store.watch().changed())
    await asyncio.sleep(0)
    await store.run(lambda tx: tx.notes.set("a", "b"))
    async with asyncio.timeout(0.2):
        await waiting


async def test_what_came_between_two_waits_is_not_missed(open_again: Open) -> None:
    store, other = await open_again(), await open_again()
    watch = store.watch()
    await store.run(lambda tx: tx.notes.set("a", "b"))
    await watch.changed()
    for writer in (other, store):
        await writer.run(lambda tx: tx.notes.set("a", "c"))
        async with asyncio.timeout(2):
            await watch.changed()


async def test_a_commit_whose_caller_gave_up_is_reported_too(open_again: Open) -> None:
    store = await open_again()
    watch = store.watch()
    begun = threading.Event()

    def slow(tx: Tx) -> None:
        tx.notes.set("a", "b")
        begun.set()
        time.sleep(0.1)

    caller = asyncio.create_task(store.run(slow))
    await asyncio.to_thread(begun.wait)
    caller.cancel()
    async with asyncio.timeout(0.4):
        await watch.changed()
    assert await store.read(lambda tx: tx.notes.get("a")) == "b"


async def test_without_a_commit_nothing_is_reported(open_again: Open) -> None:
    store = await open_again()
    await store.run(lambda tx: tx.notes.set("a", "b"))
    watch = store.watch()
    await store.read(lambda tx: tx.notes.get("a"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.2):
            await watch.changed()
