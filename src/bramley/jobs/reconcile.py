"""Asking devices which certificates they hold, and what follows from the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bramley.jobs.runner import Handler
from bramley.mdm.commands import CertificateListAnswer
from bramley.mdm.errors import MDMError
from bramley.model.commands import CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import device_certificates, reconcile
from bramley.operations.device_certificates import Held
from bramley.operations.live import Live
from bramley.storage.protocols import Tx

_ACTOR: Final = "job:reconcile"


class Reconciliations:
    """The handlers of `reconcile` and `reconcile-answered` jobs."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def after(self, handler: Handler) -> Handler:
        """The handler, after whose work each of its devices is asked what it holds now."""

        async def handle(jobs: Sequence[Job]) -> Sequence[Outcome]:
            outcomes = await handler(jobs)
            await self.ask(jobs)
            return outcomes

        return handle

    async def ask(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Sends CertificateList to each device that can be asked; what a job says besides which device it is plays no part."""
        installation = self._live.installation

        def act(tx: Tx) -> None:
            for job in jobs:
                enrollment = tx.enrollments.get(EnrollmentKey(job.args["enrollment_key"]))
                if enrollment is not None and reconcile.can_be_asked(enrollment):
                    reconcile.ask(tx, installation.sealer, enrollment, now=installation.clock.now(), actor=_ACTOR)

        await installation.store.run(act)
        return [DONE] * len(jobs)

    async def answered(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Compares each answer with what is on record. A device's error, or an answer that is none, is kept with the job."""
        return [await self._answered(job) for job in jobs]

    async def _answered(self, job: Job) -> Outcome:
        installation = self._live.installation
        key, uuid = EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])
        command = await installation.store.read(lambda tx: tx.commands.get(key, uuid))
        if command is None or command.answer is None:
            return DONE
        if command.state is not CommandState.ACKNOWLEDGED:
            return Outcome(None, f"the device answered CertificateList {uuid} with {command.state}")
        try:
            listed = await asyncio.to_thread(_read, command.answer)
        except MDMError as error:
            return Outcome(None, f"the answer to CertificateList {uuid} cannot be read: {error.message}")
        grace = timedelta(hours=installation.settings.identity.grace_hours)

        def settle(tx: Tx) -> None:
            reconcile.settle(tx, command, listed, grace=grace, now=installation.clock.now(), actor=_ACTOR)

        await installation.store.run(settle)
        return DONE


def _read(answer: bytes) -> list[Held]:
    """Apart from the loop, since it may be as large as an answer can be."""
    return device_certificates.held(CertificateListAnswer.read(answer))
