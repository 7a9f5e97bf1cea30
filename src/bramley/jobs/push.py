"""Sending the pushes that are waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from bramley.jobs.sending import Sender
from bramley.model.enrollments import EnrollmentKey
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import pushing
from bramley.operations.live import Live
from bramley.operations.pushing import Sent
from bramley.storage.protocols import Tx


class Pusher:
    """Handles `push` jobs."""

    def __init__(self, live: Live, sender: Sender) -> None:
        self._live = live
        self._sender = sender

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        keys = [EnrollmentKey(job.args["enrollment_key"]) for job in jobs]
        store = self._live.installation.store
        targets = await store.read(lambda tx: pushing.targets(tx, keys))
        sent = await self._sender.send(list(targets.values()))
        now = self._live.installation.clock.now()
        return await store.run(lambda tx: [_settle(tx, job, sent, now) for job in jobs])


def _settle(tx: Tx, job: Job, sent: Mapping[EnrollmentKey, Sent], now: datetime) -> Outcome:
    mine = sent.get(EnrollmentKey(job.args["enrollment_key"]))
    if mine is None:
        return DONE  # nobody to push to: the next TokenUpdate, or the end of the topic's pause, leaves a push of its own
    return pushing.settle(tx, mine, attempts=job.attempts, now=now)
