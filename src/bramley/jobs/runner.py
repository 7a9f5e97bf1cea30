"""The runner: claims what is due, hands it to the handler of its kind, and writes down what became of it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final

import structlog

from bramley.clock import Clock
from bramley.errors import BramleyError, OutsideTrouble
from bramley.model.jobs import Job, Outcome, pause_after
from bramley.storage.protocols import Store, Tx, Watch

LEASE: Final = timedelta(seconds=30)
"""Renewed while a job runs, so this is how long a job of a killed process waits for another to take it up."""

BATCH: Final = 500
MOST_ATTEMPTS: Final = 10
"""Of a handler that raises. One that asks for another try gets it, and periodic jobs are never given up."""

LONGEST_PAUSE: Final = timedelta(hours=1)
"""Between the attempts of such a handler."""

AT_ONCE: Final = 8
PAUSE_SECONDS: Final = 0.02
TROUBLE_SECONDS: Final = 1.0
"""Between attempts to get something into a database that cannot take it now."""

Handler = Callable[[Sequence[Job]], Awaitable[Sequence[Outcome]]]
"""Takes jobs of one kind and answers for each, in order. What it raises counts against all of them."""


@dataclass(frozen=True, slots=True)
class Periodic:
    """A job that is always waiting for its next turn."""

    kind: str
    every: timedelta


class Runner:
    """Runs jobs until it is stopped. Several runners on one database share the work.

    A database that cannot be written for a while (its disk is full) delays the jobs and loses none.
    """

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

        await self._write(begin)
        watch = self._store.watch()
        holding = asyncio.create_task(self._keep_leases(), name="leases")
        try:
            while True:
                try:
                    await self._wait(watch, await self.step())
                except OutsideTrouble as trouble:
                    await self._sit_out(trouble)
                # Commits come in crowds when devices do: one look at the queue for all of them.
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            ending = [holding, *self._running]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def step(self) -> datetime | None:
        """Claims what is due and starts it; when, as it looked before that, a job was to come due next."""
        now = self._clock.now()
        next_run_at = await self._store.read(lambda tx: tx.jobs.next_run_at())
        if next_run_at is None or next_run_at > now or len(self._running) >= AT_ONCE:
            return next_run_at
        claimed = await self._store.run(lambda tx: tx.jobs.claim(self._owner, now, LEASE, BATCH))
        for kind, jobs in groupby(sorted(claimed, key=lambda job: job.kind), key=lambda job: job.kind):
            task = asyncio.create_task(self._work(kind, list(jobs)), name=f"job:{kind}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return next_run_at

    async def idle(self) -> None:
        """Waits for what has been started to end."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _wait(self, watch: Watch, next_run_at: datetime | None) -> None:
        """Until something was committed, a job comes due, or, while all hands are busy, one is free.

        A claim is a commit too, so whoever has just claimed looks again.
        """
        waits: list[asyncio.Task[None]] = [asyncio.ensure_future(watch.changed())]
        if len(self._running) >= AT_ONCE:
            waits += self._running
        elif next_run_at is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep_until(next_run_at)))
        try:
            done, _pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                if task not in self._running:
                    task.cancel()
        for task in done:
            task.result()

    async def _keep_leases(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + LEASE / 3)
            if self._running:
                await self._write(partial(self._extend, now=self._clock.now()))

    def _extend(self, tx: Tx, *, now: datetime) -> None:
        tx.jobs.extend(self._owner, now, LEASE)

    async def _work(self, kind: str, jobs: Sequence[Job]) -> None:
        outcomes = await self._outcomes(kind, jobs)
        for error_, count in Counter(each.error for each in outcomes if each.error and each.retry_after is None).items():
            self._log.error("jobs given up", kind=kind, jobs=count, error=error_)
        now = self._clock.now()

        def settle(tx: Tx) -> None:
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._settle(tx, job, outcome, now)

        # Held for as long as this takes: a job that is forgotten here would keep its lease, and never run again.
        await self._write(settle)

    async def _outcomes(self, kind: str, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """What the handler makes of the jobs. Where it raises, each is tried alone: a bad one holds up no other."""
        handler = self._handlers.get(kind)
        if handler is None:
            return [Outcome(error=f"no handler for {kind}")] * len(jobs)
        try:
            return await handler(jobs)
        except Exception as error:
            if len(jobs) > 1 and not isinstance(error, OutsideTrouble):
                return [outcome for job in jobs for outcome in await self._outcomes(kind, [job])]
            # One broken handler must not end the runner; a bug is logged with its trace, trouble with its message.
            self._log.error(
                "job failed", kind=kind, jobs=len(jobs), error=str(error), exc_info=not isinstance(error, BramleyError)
            )
            return [self._after(job, f"{type(error).__name__}: {error}") for job in jobs]

    def _after(self, job: Job, error: str) -> Outcome:
        """What becomes of a job whose handler raised."""
        if job.attempts >= MOST_ATTEMPTS and job.kind not in self._periodic:
            return Outcome(None, error)
        return Outcome(pause_after(job.attempts, LONGEST_PAUSE), error)

    def _settle(self, tx: Tx, job: Job, outcome: Outcome, now: datetime) -> None:
        if job.id is None:
            raise AssertionError("a claimed job has an id")
        if outcome.retry_after is not None:
            tx.jobs.retry(job.id, self._owner, now + outcome.retry_after, outcome.error)
            return
        if outcome.error:
            tx.jobs.fail(job.id, self._owner, outcome.error)
        else:
            tx.jobs.finish(job.id, self._owner)
        every = self._periodic.get(job.kind)
        if every is not None:
            self._add_periodic(tx, job.kind, now + every, now)

    async def _write(self, fn: Callable[[Tx], None]) -> None:
        """Until it is written."""
        while True:
            try:
                return await self._store.run(fn)
            except OutsideTrouble as trouble:
                await self._sit_out(trouble)

    async def _sit_out(self, trouble: OutsideTrouble) -> None:
        self._log.error("the database cannot be used; jobs wait", error=str(trouble))
        await asyncio.sleep(TROUBLE_SECONDS)

    @staticmethod
    def _add_periodic(tx: Tx, kind: str, run_at: datetime, now: datetime) -> None:
        tx.jobs.add(Job(kind, run_at, now, dedup_key=kind))
