"""The runner: what is due runs, what fails is tried again, what a dead runner held is taken up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from bramley.jobs import runner as runner_module
from bramley.jobs.runner import LEASE, MOST_ATTEMPTS, Periodic, Runner
from bramley.model.jobs import DONE, Job, JobState, Outcome
from bramley.operations.installation import Installation
from bramley.storage.errors import DiskTrouble
from bramley.storage.protocols import Store
from tests.conftest import NOW, SetClock


@dataclass(slots=True)
class Recorder:
    """A handler that answers as it is told and remembers what it was given."""

    outcomes: list[Outcome | Exception] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        self.seen += [job.args.get("name", job.kind) for job in jobs]
        outcome = self.outcomes.pop(0) if self.outcomes else DONE
        if isinstance(outcome, Exception):
            raise outcome
        return [outcome] * len(jobs)


@dataclass(slots=True)
class FullDisk:
    """A way to write that fails the next `times`."""

    run: Callable[[Any], Awaitable[Any]]
    times: int = 0

    async def __call__(self, fn: Any) -> Any:
        if self.times:
            self.times -= 1
            raise DiskTrouble("The disk is full.")
        return await self.run(fn)


@pytest.fixture
def store(installation: Installation) -> Store:
    return installation.store


async def _add(store: Store, *names: str, kind: str = "work", after: timedelta = timedelta()) -> None:
    for name in names:
        await store.run(lambda tx, name=name: tx.jobs.add(Job(kind, NOW + after, NOW, {"name": name})))  # type: ignore[misc]


async def _states(store: Store, kind: str = "work") -> list[JobState]:
    return [job.state for job in await store.read(lambda tx: tx.jobs.of_kind(kind))]


async def _once(runner: Runner) -> None:
    await runner.step()
    await runner.idle()


@asynccontextmanager
async def _running(runner: Runner) -> AsyncGenerator[None]:
    task = asyncio.create_task(runner.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(condition: object, seconds: float = 2) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_jobs_of_one_kind_come_together(store: Store, clock: SetClock) -> None:
    work = Recorder()
    await _add(store, "a", "b")
    await _once(Runner(store, clock, {"work": work}))
    assert sorted(work.seen) == ["a", "b"]
    assert await _states(store) == [JobState.DONE] * 2


async def test_what_is_not_due_waits(store: Store, clock: SetClock) -> None:
    work = Recorder()
    runner = Runner(store, clock, {"work": work})
    await _add(store, "later", after=timedelta(minutes=1))
    await _once(runner)
    assert work.seen == []
    clock.moment += timedelta(minutes=1)
    await _once(runner)
    assert work.seen == ["later"]


async def test_a_handler_that_breaks_is_tried_again_and_given_up_at_last(store: Store, clock: SetClock) -> None:
    work = Recorder([RuntimeError("broken")] * MOST_ATTEMPTS)
    runner = Runner(store, clock, {"work": work})
    await _add(store, "a")
    for _ in range(MOST_ATTEMPTS + 3):
        await _once(runner)
        clock.moment += timedelta(hours=2)
    (job,) = await store.read(lambda tx: tx.jobs.of_kind("work"))
    assert len(work.seen) == MOST_ATTEMPTS
    assert (job.state, job.last_error) == (JobState.FAILED, "RuntimeError: broken")


async def test_a_job_that_breaks_its_handler_holds_up_no_other(store: Store, clock: SetClock) -> None:
    async def work(jobs: Sequence[Job]) -> Sequence[Outcome]:
        if any(job.args["name"] == "bad" for job in jobs):
            raise ValueError("bad")
        return [DONE] * len(jobs)

    await _add(store, "a", "bad", "b")
    await _once(Runner(store, clock, {"work": work}))
    jobs = await store.read(lambda tx: tx.jobs.of_kind("work"))
    found = {job.args["name"]: (job.state, job.last_error) for job in jobs}
    assert found == {"a": (JobState.DONE, ""), "bad": (JobState.READY, "ValueError: bad"), "b": (JobState.DONE, "")}


async def test_where_the_database_is_away_jobs_wait_together(store: Store, clock: SetClock) -> None:
    work = Recorder([DiskTrouble("The disk is full.")])
    await _add(store, "a", "b")
    await _once(Runner(store, clock, {"work": work}))
    assert sorted(work.seen) == ["a", "b"]
    assert await _states(store) == [JobState.READY] * 2


async def test_an_outcome_with_a_wait_is_tried_again_then(store: Store, clock: SetClock) -> None:
    work = Recorder([Outcome(timedelta(minutes=5), "busy")])
    runner = Runner(store, clock, {"work": work})
    await _add(store, "a")
    await _once(runner)
    await _once(runner)
    assert work.seen == ["a"]
    clock.moment += timedelta(minutes=5)
    await _once(runner)
    assert work.seen == ["a", "a"]
    assert await _states(store) == [JobState.DONE]


async def test_an_unknown_kind_fails_and_says_so(store: Store, clock: SetClock) -> None:
    await _add(store, "a", kind="unheard-of")
    await _once(Runner(store, clock, {}))
    (job,) = await store.read(lambda tx: tx.jobs.of_kind("unheard-of"))
    assert (job.state, job.last_error) == (JobState.FAILED, "no handler for unheard-of")


async def test_it_wakes_by_itself_when_a_job_is_added(store: Store, clock: SetClock) -> None:
    work = Recorder()
    async with _running(Runner(store, clock, {"work": work})):
        await asyncio.sleep(0.05)
        await _add(store, "a")
        await _until(lambda: work.seen == ["a"], 0.4)


async def test_a_periodic_job_comes_again_and_never_twice(store: Store, clock: SetClock) -> None:
    tick = Recorder()
    every = [Periodic("tick", timedelta(hours=1))]
    async with _running(Runner(store, clock, {"tick": tick}, every)), _running(Runner(store, clock, {"tick": tick}, every)):
        await _until(lambda: tick.seen)
        for count in (2, 3):
            await asyncio.sleep(0.1)
            clock.moment += timedelta(hours=1)
            await _until(lambda count=count: len(tick.seen) >= count)
        await asyncio.sleep(0.1)
    assert len(tick.seen) in {3, 4}  # the two may both have found it waiting at their start


async def test_what_a_dead_runner_held_is_taken_up_after_its_lease(store: Store, clock: SetClock) -> None:
    await _add(store, "a")
    await store.run(lambda tx: tx.jobs.claim("dead", NOW, LEASE, 10))
    work = Recorder()
    runner = Runner(store, clock, {"work": work})
    await _once(runner)
    assert work.seen == []
    clock.moment += LEASE
    await _once(runner)
    assert work.seen == ["a"]


async def test_a_long_job_keeps_its_lease(store: Store, clock: SetClock) -> None:
    gate = asyncio.Event()
    seen = []

    async def slow(jobs: Sequence[Job]) -> Sequence[Outcome]:
        seen.append(len(jobs))
        await gate.wait()
        return [DONE] * len(jobs)

    async with _running(Runner(store, clock, {"work": slow})):
        await _add(store, "a")
        await _until(lambda: seen)
        other = Recorder()
        for _ in range(8):
            clock.moment += LEASE / 2.5
            await asyncio.sleep(0.05)
            await _once(Runner(store, clock, {"work": other}))
        assert other.seen == []
        gate.set()


class TestDiskTrouble:
    @pytest.fixture
    def full(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> FullDisk:
        monkeypatch.setattr(runner_module, "TROUBLE_SECONDS", 0.01)
        disk = FullDisk(store.run)
        monkeypatch.setattr(store, "run", disk)
        return disk

    async def test_at_the_end_of_a_job_does_not_lose_its_outcome(self, store: Store, clock: SetClock, full: FullDisk) -> None:
        async def work(jobs: Sequence[Job]) -> Sequence[Outcome]:
            full.times = 3
            return [DONE] * len(jobs)

        await _add(store, "a")
        await _once(Runner(store, clock, {"work": work}))
        assert full.times == 0
        assert await _states(store) == [JobState.DONE]

    async def test_delays_what_is_due_and_ends_nothing(self, store: Store, clock: SetClock, full: FullDisk) -> None:
        work, tick = Recorder(), Recorder()
        full.times = 2
        async with _running(Runner(store, clock, {"work": work, "tick": tick}, [Periodic("tick", LEASE)])):
            await _until(lambda: tick.seen)
            assert full.times == 0
            await asyncio.sleep(0.1)
            await _add(store, "a", after=LEASE / 2)
            full.times = 3
            clock.moment += LEASE / 2
            await _until(lambda: work.seen == ["a"])
        assert full.times == 0

    async def test_while_leases_are_renewed_does_not_end_the_renewing(
        self, store: Store, clock: SetClock, full: FullDisk
    ) -> None:
        gate = asyncio.Event()
        seen = []

        async def slow(jobs: Sequence[Job]) -> Sequence[Outcome]:
            seen.append(len(jobs))
            await gate.wait()
            return [DONE] * len(jobs)

        async with _running(Runner(store, clock, {"work": slow})):
            await _add(store, "a")
            await _until(lambda: seen)
            full.times = 2
            for _ in range(4):
                clock.moment += LEASE / 2.5
                await asyncio.sleep(0.1)
            other = Recorder()
            await _once(Runner(store, clock, {"work": other}))
            assert (full.times, seen, other.seen) == (0, [1], [])
            gate.set()


async def test_a_wait_that_a_handler_asks_for_is_never_too_many(store: Store, clock: SetClock) -> None:
    """It knows why: an evening without a network is no reason to forget a push."""
    work = Recorder([Outcome(timedelta(hours=1), "no network")] * (MOST_ATTEMPTS + 5))
    runner = Runner(store, clock, {"work": work})
    await _add(store, "a")
    for _ in range(MOST_ATTEMPTS + 6):
        await _once(runner)
        clock.moment += timedelta(hours=1)
    assert await _states(store) == [JobState.DONE]


async def test_a_periodic_job_that_fails_for_good_comes_again(store: Store, clock: SetClock) -> None:
    tick = Recorder([Outcome(None, "broken"), DONE])
    async with _running(Runner(store, clock, {"tick": tick}, [Periodic("tick", timedelta(hours=1))])):
        await _until(lambda: tick.seen)
        await asyncio.sleep(0.1)
        clock.moment += timedelta(hours=1)
        await _until(lambda: len(tick.seen) == 2)
