"""The runner: claims what is due, hands it to the handler of its kind, and writes down what became of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final

import structlog

from bramley.clock import Clock
from bramley.errors import BramleyError, OutsideTrouble
from bramley.model.jobs import Job
from bramley.storage.protocols import Store, Tx, Watch

LEASE: Final = timedelta(seconds=30)
"""Renewed while a job runs, so this is how long a job of a killed process waits for another to take it up."""

BATCH: Final = 500
MOST_ATTEMPTS: Final = 10
AT_ONCE: Final = 8
PAUSE_SECONDS: Final = 0.02
TROUBLE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: done, or to be tried again after a while with the error kept."""

    retry_after: timedelta | None = None
    error: str = ""


DONE: Final = Outcome()
Handler = Callable[[Sequence[Job]], Awaitable[Sequence[Outcome]]]
"""Takes jobs of one kind and answers for each, in order. What it raises counts against all of them."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that is always waiting for its next turn."""

    kind: str
    every: timedelta


class Runner:
    """Runs jobs until it is stopped. Several runners on one database share the work."""

    def __init__(self, store: Store, clock: Clock, handlers: Mapping[str, Handler], periodic: Sequence[Periodic] = ()) -> None:
        self._store = store
        self._clock = clock
        self._handlers = handlers
        self._periodic = {job.kind: job.every for job in periodic}
        self._owner = secrets.token_hex(8)
        self._running: set[asyncio.Task[None]] = set()
        self._log = structlog.get_logger("jobs")

    async def run(self) -> None:
        """Works until cancelled; what runs then is ended and taken up again when its lease is over."""
        now = self._clock.now()

        def begin(tx: Tx) -> None:
            for kind in self._periodic:
                self._add_periodic(tx, kind, now, now)

        await self._store.run(begin)
        watch = self._store.watch()
        holding = asyncio.create_task(self._keep_leases(), name="leases")
        try:
            while True:
                try:
                    await self.step()
                    await self._wait(watch)
                except OutsideTrouble as trouble:
                    # The database is away for a while; the jobs in it are not lost.
                    self._log.error("cannot look for jobs; trying again", error=str(trouble))
                    await asyncio.sleep(TROUBLE_SECONDS)
                # Commits come in crowds when devices do: one look at the queue for all of them.
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            ending = [holding, *self._running]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def step(self) -> int:
        """Claims what is due and starts it; how many jobs."""
        now = self._clock.now()
        next_run_at = await self._store.read(lambda tx: tx.jobs.next_run_at())
        if next_run_at is None or next_run_at > now or len(self._running) >= AT_ONCE:
            return 0
        claimed = await self._store.run(lambda tx: tx.jobs.claim(self._owner, now, LEASE, BATCH))
        for kind, jobs in groupby(sorted(claimed, key=lambda job: job.kind), key=lambda job: job.kind):
            task = asyncio.create_task(self._work(kind, list(jobs)), name=f"job:{kind}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(claimed)

    async def idle(self) -> None:
        """Waits for what has been started to end."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _wait(self, watch: Watch) -> None:
        """Until something was committed, a job comes due, or, while all hands are busy, one is free."""
        next_run_at = await self._store.read(lambda tx: tx.jobs.next_run_at())
        waits: list[asyncio.Task[None]] = [asyncio.ensure_future(watch.changed())]
        if len(self._running) >= AT_ONCE:
            waits += self._running
        elif next_run_at is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(next_run_at)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                if task not in self._running:
                    task.cancel()

    async def _keep_leases(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + LEASE / 3)
            if self._running:
                try:
                    await self._store.run(partial(self._extend, now=self._clock.now()))
                except OutsideTrouble as trouble:
                    self._log.error("cannot extend the leases of running jobs", error=str(trouble))

    def _extend(self, tx: Tx, *, now: datetime) -> None:
        tx.jobs.extend(self._owner, now, LEASE)

    async def _work(self, kind: str, jobs: Sequence[Job]) -> None:
        handler = self._handlers.get(kind)
        if handler is None:
            outcomes: Sequence[Outcome] = [Outcome(error=f"no handler for {kind}")] * len(jobs)
        else:
            try:
                outcomes = await handler(jobs)
            except Exception as error:
                # One broken handler must not end the runner; a bug is logged with its trace, trouble with its message.
                self._log.error(
                    "job failed", kind=kind, jobs=len(jobs), error=str(error), exc_info=not isinstance(error, BramleyError)
                )
                wait = timedelta(seconds=min(5 * 2 ** jobs[0].attempts, 3600))
                outcomes = [Outcome(wait, f"{type(error).__name__}: {error}")] * len(jobs)
        now = self._clock.now()

        def settle(tx: Tx) -> None:
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._settle(tx, job, outcome, now)

        try:
            await self._store.run(settle)
        except OutsideTrouble as trouble:
            # Their leases end, and whoever is there takes them up again.
            self._log.error("cannot note what became of jobs", kind=kind, jobs=len(jobs), error=str(trouble))

    def _settle(self, tx: Tx, job: Job, outcome: Outcome, now: datetime) -> None:
        if job.id is None:
            raise AssertionError("a claimed job has an id")
        every = self._periodic.get(job.kind)
        if outcome.retry_after is not None and (job.attempts < MOST_ATTEMPTS or every is not None):
            tx.jobs.retry(job.id, self._owner, now + outcome.retry_after, outcome.error)
        elif outcome.error:
            tx.jobs.fail(job.id, self._owner, outcome.error)
        else:
            tx.jobs.finish(job.id, self._owner)
            if every is not None:
                self._add_periodic(tx, job.kind, now + every, now)

    @staticmethod
    def _add_periodic(tx: Tx, kind: str, run_at: datetime, now: datetime) -> None:
        tx.jobs.add(Job(kind, run_at, now, dedup_key=kind))
