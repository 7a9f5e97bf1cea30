"""What Macs answer about FileVault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bramley.jobs.runner import Handler
from bramley.model.commands import Command, CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import escrow, escrow_answers
from bramley.operations.escrow import ESCROW_OUTLIVED
from bramley.operations.live import Live
from bramley.storage.protocols import Tx

_ACTOR: Final = "job:escrow"


class Escrow:
    """The handlers around recovery keys."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def installed(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """A Mac has, or refused, its escrow certificate."""
        here, now = self._live.installation, self._live.installation.clock.now()

        def act(tx: Tx) -> None:
            for command in _commands(tx, jobs):
                if command is not None:
                    escrow.installed(tx, here, command, now=now, actor=_ACTOR)

        await here.store.run(act)
        return [DONE] * len(jobs)

    def with_deliveries(self, handler: Handler) -> Handler:
        """The handler of profiles for devices that have enrolled, among others; a Mac's escrow certificate goes with them.

        It is sent by a job of its own: what is wrong with the one is not to hold up the other.
        """

        async def handle(jobs: Sequence[Job]) -> Sequence[Outcome]:
            outcomes = await handler(jobs)
            here, now = self._live.installation, self._live.installation.clock.now()
            keys = dict.fromkeys(EnrollmentKey(job.args["enrollment_key"]) for job in jobs)
            # hardly ever any: looking does not hold up who writes, and the job looks again
            outlived = await here.store.read(lambda tx: [key for key in keys if escrow.is_outlived(tx, key)])

            def leave(tx: Tx) -> None:
                for key in outlived:
                    args, dedup_key = {"enrollment_key": key}, f"{ESCROW_OUTLIVED}:{key}"
                    tx.jobs.add(Job(ESCROW_OUTLIVED, run_at=now, created_at=now, args=args, dedup_key=dedup_key))

            if outlived:
                await here.store.run(leave)
            return outcomes

        return handle

    async def outlived(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Sends Macs that have enrolled anew the escrow certificate that they had before."""
        for job in jobs:
            await escrow.enable_again(self._live, EnrollmentKey(job.args["enrollment_key"]), actor=_ACTOR)
        return [DONE] * len(jobs)

    async def answered(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """A Mac has told its recovery key. Why one could not be taken is kept with the job."""
        here, now = self._live.installation, self._live.installation.clock.now()

        def act(tx: Tx) -> list[str]:
            found = _commands(tx, jobs)
            return ["" if each is None else escrow_answers.settle(tx, here, each, now=now, actor=_ACTOR) for each in found]

        return [Outcome(None, why) if why else DONE for why in await here.store.run(act)]


def _commands(tx: Tx, jobs: Sequence[Job]) -> list[Command | None]:
    return [tx.commands.get(EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])) for job in jobs]
