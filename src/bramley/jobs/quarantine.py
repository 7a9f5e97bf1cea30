"""Quarantined devices: what follows from the answer to a lock or erase."""

from __future__ import annotations

from collections.abc import Sequence

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.model.jobs import Job, Outcome
from bramley.operations import quarantine
from bramley.operations.live import Live
from bramley.storage.protocols import Tx


class Quarantines:
    """Handles `quarantine-answered` jobs."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        now = self._live.installation.clock.now()

        def settle(tx: Tx) -> list[Outcome]:
            return [_settle(tx, job) for job in jobs]

        def _settle(tx: Tx, job: Job) -> Outcome:
            key, uuid = EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])
            return quarantine.settle(tx, key, uuid, now=now, actor="job:quarantine-answered")

        return await self._live.installation.store.run(settle)
