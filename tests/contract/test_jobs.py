"""Jobs: each is done, none by two at once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

from bramley.model.jobs import Job, JobState
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, SECOND, Open, id_of, job, store_all

LEASE = timedelta(minutes=1)


async def claim(store: Store, owner: str = "one", now: datetime = NOW, limit: int = 10) -> list[Job]:
    return list(await store.run(lambda tx: tx.jobs.claim(owner, now, LEASE, limit)))


async def finish(store: Store, of: Job, owner: str = "one") -> bool:
    return await store.run(lambda tx: tx.jobs.finish(id_of(of), owner))


async def of_kind(store: Store, kind: str) -> list[Job]:
    return list(await store.read(lambda tx: tx.jobs.of_kind(kind)))


async def test_due_jobs_are_claimed_oldest_first(store: Store) -> None:
    early, late, future = (
        job("early", run_at=NOW - SECOND, args={"key": "é"}),
        job("late"),
        job("future", run_at=NOW + SECOND),
    )
    await store_all(store, late, future, early)
    first, second = await claim(store)
    early, late = (
        replace(each, id=taken.id, state=JobState.RUNNING, owner="one", lease_until=NOW + LEASE, attempts=1)
        for each, taken in ((early, first), (late, second))
    )
    assert (first, second) == (early, late)
    assert await claim(store, "two") == []


async def test_a_claim_takes_no_more_than_asked(store: Store) -> None:
    await store_all(store, *(job() for _ in range(5)))
    assert [len(await claim(store, limit=limit)) for limit in (2, 2, 2)] == [2, 2, 1]


async def test_the_same_work_waits_once(store: Store) -> None:
    await store_all(
        store, job(dedup_key="push:1"), job(dedup_key="push:1", run_at=NOW + DAY), job(dedup_key="push:2"), job(), job()
    )
    assert len(await of_kind(store, "push")) == 4
    running = await claim(store)
    assert len(running) == 4
    await store_all(store, job(dedup_key="push:1"))
    assert len(await claim(store)) == 1, "what came while it ran is done again"


async def test_what_is_ready_is_not_claimed_while_the_same_work_is_being_added(open_again: Open) -> None:
    store, runner = await open_again(), await open_again()
    await store_all(store, job(dedup_key="push:1"))
    added, claimed = threading.Event(), threading.Event()

    def add(tx: Tx) -> None:
        tx.notes.set("what it is about", "told")
        tx.jobs.add(job(dedup_key="push:1"))
        added.set()
        claimed.wait(0.5)  # where only one writes at a time, the claim waits instead

    adding = asyncio.create_task(store.run(add))
    await asyncio.to_thread(added.wait)
    found: list[Job] = []
    while not found:
        found = await claim(runner)
        seen = await runner.read(lambda tx: tx.notes.get("what it is about"))
        claimed.set()
    assert seen == "told"
    assert len(found) == 1
    await adding


async def test_a_finished_job_is_done_for_good(store: Store) -> None:
    await store_all(store, job())
    (taken,) = await claim(store)
    assert not await finish(store, taken, "two")
    assert await finish(store, taken)
    assert not await finish(store, taken)
    assert await claim(store, now=NOW + DAY) == []
    (done,) = await of_kind(store, "push")
    assert done.state is JobState.DONE


async def test_whoever_lets_a_lease_end_has_lost_the_job(store: Store) -> None:
    await store_all(store, job())
    (taken,) = await claim(store, "one")
    assert await claim(store, "two", NOW + LEASE - SECOND) == []
    (again,) = await claim(store, "two", NOW + LEASE)
    assert (again.id, again.owner, again.attempts) == (taken.id, "two", 2)
    assert not await finish(store, taken)
    assert not await store.run(lambda tx: tx.jobs.retry(id_of(taken), "one", NOW, "late"))
    assert not await store.run(lambda tx: tx.jobs.fail(id_of(taken), "one", "late"))
    assert await finish(store, again, "two")


async def test_a_retry_waits_for_its_time(store: Store) -> None:
    await store_all(store, job(dedup_key="k"))
    (taken,) = await claim(store)
    assert await store.run(lambda tx: tx.jobs.retry(id_of(taken), "one", NOW + DAY, "APNs is away"))
    (waiting,) = await of_kind(store, "push")
    expected = job(dedup_key="k", id=taken.id, run_at=NOW + DAY, attempts=1, last_error="APNs is away")
    assert waiting == expected
    assert await claim(store) == []
    (again,) = await claim(store, now=NOW + DAY)
    assert again.attempts == 2


async def test_a_retry_gives_way_to_the_same_work_added_meanwhile(store: Store) -> None:
    await store_all(store, job(dedup_key="k"))
    (taken,) = await claim(store)
    await store_all(store, job(dedup_key="k", run_at=NOW + SECOND))
    assert await store.run(lambda tx: tx.jobs.retry(id_of(taken), "one", NOW + DAY, "failed"))
    newer, older = await of_kind(store, "push")
    assert (older.id, older.state, newer.state) == (taken.id, JobState.DONE, JobState.READY)


async def test_a_failed_job_keeps_its_reason(store: Store) -> None:
    await store_all(store, job())
    (taken,) = await claim(store)
    assert await store.run(lambda tx: tx.jobs.fail(id_of(taken), "one", "no such enrollment"))
    (failed,) = await of_kind(store, "push")
    assert (failed.state, failed.last_error) == (JobState.FAILED, "no such enrollment")
    assert await claim(store, now=NOW + DAY) == []


async def test_the_next_time_is_that_of_a_job_or_of_a_lease(store: Store) -> None:
    assert await store.read(lambda tx: tx.jobs.next_run_at()) is None
    await store_all(store, job(run_at=NOW), job(run_at=NOW + DAY))
    assert await store.read(lambda tx: tx.jobs.next_run_at()) == NOW
    (taken,) = await claim(store)
    assert await store.read(lambda tx: tx.jobs.next_run_at()) == NOW + LEASE
    await finish(store, taken)
    assert await store.read(lambda tx: tx.jobs.next_run_at()) == NOW + DAY


async def test_sweep_deletes_what_ended_long_ago(store: Store) -> None:
    await store_all(store, *(job(kind) for kind in ("done", "failed", "running")), job("ready", run_at=NOW + DAY))
    done, failed, _running = await claim(store)
    await finish(store, done)
    await store.run(lambda tx: tx.jobs.fail(id_of(failed), "one", "no"))
    assert await store.run(lambda tx: tx.jobs.sweep(NOW + LEASE)) == 0
    assert await store.run(lambda tx: tx.jobs.sweep(NOW + LEASE + SECOND)) == 2
    for kind, left in (("done", 0), ("failed", 0), ("running", 1), ("ready", 1)):
        assert len(await of_kind(store, kind)) == left


async def test_two_runners_on_one_database_neither_lose_nor_double_a_job(open_again: Open) -> None:
    stores = [await open_again(), await open_again()]
    await store_all(stores[0], *(job(args={"number": str(number)}) for number in range(200)))

    async def work(store: Store, owner: str) -> list[str]:
        numbers: list[str] = []
        while taken := await claim(store, owner, limit=7):
            for each in taken:
                assert await finish(store, each, owner)
                numbers.append(each.args["number"])
        return numbers

    worked = await asyncio.gather(*(work(store, f"runner {number}") for number, store in enumerate(stores)))
    done = Counter(number for numbers in worked for number in numbers)
    assert done == Counter(str(number) for number in range(200))


async def test_an_extended_lease_is_not_taken_by_another(store: Store) -> None:
    await store.run(lambda tx: tx.jobs.add(Job("a", NOW, NOW)))
    await claim(store, "one")
    later = NOW + LEASE - timedelta(seconds=1)
    assert await store.run(lambda tx: tx.jobs.extend("two", later, LEASE)) == 0
    assert await store.run(lambda tx: tx.jobs.extend("one", later, LEASE)) == 1
    assert await claim(store, "two", NOW + LEASE) == []
    assert len(await claim(store, "two", later + LEASE)) == 1
