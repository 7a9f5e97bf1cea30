"""What `run` and `read` promise: all or nothing, on disk when it returns, and no one disturbs another."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from bramley.errors import BramleyError
from bramley.storage.errors import Closed, Conflict
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import Open, enrollment, store_all


async def note(store: Store, name: str) -> str | None:
    return await store.read(lambda tx: tx.notes.get(name))


class Changed(Exception):
    """A fault of the caller's own."""


def set_and_fail(tx: Tx) -> None:
    tx.notes.set("half", "done")
    raise Changed("midway")


async def test_what_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(Changed, match="midway"):
        await store.run(set_and_fail)
    assert await note(store, "half") is None
    await store.run(lambda tx: tx.notes.set("next", "works"))
    assert await note(store, "next") == "works"


async def test_an_error_of_the_database_leaves_nothing_either(store: Store) -> None:
    await store_all(store, enrollment())

    def half(tx: Tx) -> None:
        tx.notes.set("half", "done")
        tx.enrollments.add(enrollment())

    with pytest.raises(Conflict) as caught:
        await store.run(half)
    assert caught.value.advice
    assert await note(store, "half") is None


async def test_run_returns_what_the_function_does_and_a_transaction_sees_itself(store: Store) -> None:
    def write_and_read(tx: Tx) -> str | None:
        tx.notes.set("a", "1")
        return tx.notes.get("a")

    assert await store.run(write_and_read) == "1"


async def test_two_hundred_at_once_are_all_there_and_the_failing_ones_disturb_nobody(store: Store) -> None:
    def write(number: int, tx: Tx) -> int:
        tx.notes.set(f"note {number}", "x")
        if number % 10 == 0:
            raise Changed(str(number))
        return number

    running = [store.run(partial(write, number)) for number in range(200)]
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if number % 10 == 0:
            assert isinstance(outcome, Changed)
            assert str(outcome) == str(number)
            assert await note(store, f"note {number}") is None
        else:
            assert outcome == number
            assert await note(store, f"note {number}") == "x"


async def test_what_was_acknowledged_is_there_after_closing(open_again: Open) -> None:
    store = await open_again()
    await store.run(lambda tx: tx.notes.set("kept", "yes"))
    await store.close()
    assert await note(await open_again(), "kept") == "yes"


async def test_a_read_sees_only_what_is_committed(open_again: Open) -> None:
    store, other = await open_again(), await open_again()
    written, read = threading.Event(), threading.Event()

    def write_slowly(tx: Tx) -> None:
        tx.notes.set("a", "new")
        written.set()
        assert read.wait(10)

    running = asyncio.create_task(store.run(write_slowly))
    await asyncio.to_thread(written.wait, 10)
    try:
        assert await note(store, "a") is None
        assert await note(other, "a") is None
    finally:
        read.set()
    await running
    assert await note(store, "a") == "new"
    assert await note(other, "a") == "new"


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(BramleyError):
        await store.read(lambda tx: tx.notes.set("a", "b"))
    assert await note(store, "a") is None


async def test_a_read_that_raises_hands_its_error_over_and_the_next_works(store: Store) -> None:
    def fail(tx: Tx) -> None:
        raise Changed("in a read")

    with pytest.raises(Changed):
        await store.read(fail)
    assert await note(store, "a") is None


async def test_even_an_error_that_asyncio_treats_specially_arrives(store: Store) -> None:
    def stop(tx: Tx) -> None:
        raise StopIteration("a generator ended")

    with pytest.raises(RuntimeError):
        async with asyncio.timeout(5):
            await store.run(stop)


async def test_a_cancelled_caller_that_waits_gets_nothing_done(store: Store, writes_at_once: int) -> None:
    started, go_on = threading.Semaphore(0), threading.Event()

    def hold(number: int, tx: Tx) -> None:
        started.release()
        assert go_on.wait(10)
        tx.notes.set(f"started {number}", "completed")

    holding = [asyncio.create_task(store.run(partial(hold, number))) for number in range(writes_at_once)]
    for _ in holding:
        assert await asyncio.to_thread(started.acquire, timeout=10)
    waiting = asyncio.create_task(store.run(lambda tx: tx.notes.set("waiting", "done")))
    await asyncio.sleep(0)
    for task in (*holding, waiting):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go_on.set()
    await store.run(lambda tx: tx.notes.set("after", "done"))
    assert await note(store, "waiting") is None
    async with asyncio.timeout(5):
        while any([await note(store, f"started {number}") != "completed" for number in range(writes_at_once)]):
            await asyncio.sleep(0.01)


async def test_closing_lets_running_transactions_end_and_refuses_new_ones(open_again: Open) -> None:
    store = await open_again()

    def write(number: int, tx: Tx) -> None:
        tx.notes.set(f"{number}", "x")

    running = [asyncio.create_task(store.run(partial(write, number))) for number in range(20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*running)
    await store.close()
    with pytest.raises(Closed):
        await store.run(lambda tx: tx.notes.set("late", "x"))
    with pytest.raises(Closed):
        await store.read(lambda tx: tx.notes.get("late"))
    with pytest.raises(Closed):
        await store.presented("ab", None)
    with pytest.raises(Closed):
        store.saw(enrollment().key, NOW)
    with pytest.raises(Closed):
        store.watch()
    again = await open_again()
    assert [await note(again, f"{n}") for n in range(20)] == ["x"] * 20


async def test_two_stores_write_to_one_database_side_by_side(open_again: Open) -> None:
    one, two = await open_again(), await open_again()

    def add_one(tx: Tx) -> None:
        tx.notes.set("count", str(int(tx.notes.get("count") or 0) + 1))

    await asyncio.gather(*(store.run(add_one) for _ in range(50) for store in (one, two)))
    assert await note(one, "count") == "100"
