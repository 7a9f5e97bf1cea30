"""Network identities: sent anew before they end, taken into use when devices answer or list them, ended with their enrollment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from cryptography import x509

from bramley.jobs.housekeeping import KEPT
from bramley.jobs.runner import Handler
from bramley.mdm.commands import CertificateListAnswer
from bramley.mdm.errors import MDMError
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations.live import Live
from bramley.operations.network import ending, learning, renewing, settling
from bramley.operations.network.sending import OVER
from bramley.storage.protocols import Tx

NETWORK_RENEW_DUE: Final = "network-renew-due"
_ACTOR: Final = "job:network"


class Networks:
    """The handlers around network identities."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def renew_due(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Ends what has outlived its enrollment, sends what is due or has failed, retires what was replaced, and tidies up."""
        installation = self._live.installation
        await renewing.end_outlived(self._live, actor=_ACTOR)
        await renewing.look_after(self._live, actor=_ACTOR)
        while await ending.retire_superseded(installation, actor=_ACTOR):
            pass
        now = installation.clock.now()
        await installation.store.run(lambda tx: tx.networks.sweep(now - KEPT))
        return [DONE] * len(jobs)

    async def answered(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Notes what devices answered to the profiles that bring network identities, or take them away."""
        now = self._live.installation.clock.now()

        def settle(tx: Tx) -> None:
            for job in jobs:
                command = tx.commands.get(*_command_of(job))
                if command is not None:
                    settling.answered(tx, command, now=now, actor=_ACTOR)

        await self._live.installation.store.run(settle)
        return [DONE] * len(jobs)

    def before(self, handler: Handler) -> Handler:
        """The handler of devices' lists of their certificates, before whose work each list is searched for network identities."""

        async def handle(jobs: Sequence[Job]) -> Sequence[Outcome]:
            for job in jobs:
                await self._listed(job)
            return await handler(jobs)

        return handle

    def with_enrollments(self, handler: Handler) -> Handler:
        """The handler that ends the identities of enrollments that have ended; their network identities end with them."""

        async def handle(jobs: Sequence[Job]) -> Sequence[Outcome]:
            outcomes = await handler(jobs)
            now = self._live.installation.clock.now()

            def end(tx: Tx) -> None:
                for job in jobs:
                    enrollment = tx.enrollments.get(EnrollmentKey(job.args["enrollment_key"]))
                    if enrollment is not None and enrollment.state is EnrollmentState.CHECKED_OUT:
                        ending.end_all(tx, enrollment.key, now=now, actor=_ACTOR)

            await self._live.installation.store.run(end)
            return outcomes

        return handle

    async def _listed(self, job: Job) -> None:
        """What cannot be read is left to the handler behind, which says so."""
        installation = self._live.installation
        key, uuid = _command_of(job)

        def read(tx: Tx) -> Command | None:
            expected = any(each.state not in OVER for each in tx.networks.of(key))
            return tx.commands.get(key, uuid) if expected else None

        command = await installation.store.read(read)
        if command is None or command.answer is None or command.state is not CommandState.ACKNOWLEDGED:
            return
        try:
            listed = await asyncio.to_thread(_identities, command.answer)
        except MDMError:
            return
        now = installation.clock.now()

        def take_notice(tx: Tx) -> None:
            enrollment = tx.enrollments.get(key)
            if enrollment is not None and enrollment.state is not EnrollmentState.CHECKED_OUT:
                learning.seen(tx, installation, enrollment, listed, now=now, actor=_ACTOR)

        await installation.store.run(take_notice)


def _command_of(job: Job) -> tuple[EnrollmentKey, CommandUUID]:
    return EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])


def _identities(answer: bytes) -> list[x509.Certificate]:
    """Apart from the loop, since it may be as large as an answer can be."""
    listed = CertificateListAnswer.read(answer).certificates
    return learning.identities(each.der for each in listed if each.is_identity)
