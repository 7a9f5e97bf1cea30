"""Profiles on their way to devices, and what devices answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bramley.mdm.commands import ProfileListAnswer
from bramley.mdm.errors import MDMError
from bramley.mdm.token_update import leave_delivery
from bramley.model.commands import CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentID, EnrollmentKey
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.profiles import ProfileID, TargetKind
from bramley.operations.live import Live
from bramley.operations.profiles import checking, delivery
from bramley.storage.protocols import Tx

_ACTOR: Final = "job:profiles"
_PAGE: Final = 1000


class Profiles:
    """The handlers around configuration profiles."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def deliver(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Sends each device what it is to be sent."""
        for key in dict.fromkeys(EnrollmentKey(job.args["enrollment_key"]) for job in jobs):
            await delivery.deliver(self._live, key, actor=_ACTOR)
        return [DONE] * len(jobs)

    async def changed(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Has every device looked after that a changed profile concerns."""
        now = self._live.installation.clock.now()

        def leave(tx: Tx) -> None:
            for job in jobs:
                for key in _concerned(tx, ProfileID(job.args["profile_id"])):
                    leave_delivery(tx, key, now)

        await self._live.installation.store.run(leave)
        return [DONE] * len(jobs)

    async def answered(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Notes what devices answered to InstallProfile and RemoveProfile."""
        now = self._live.installation.clock.now()

        def settle(tx: Tx) -> None:
            for job in jobs:
                command = tx.commands.get(EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"]))
                if command is not None:
                    delivery.settle(tx, command, now=now)

        await self._live.installation.store.run(settle)
        return [DONE] * len(jobs)

    async def check_again(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Asks devices which of their profiles they still have."""
        here = self._live.installation

        def ask(tx: Tx) -> None:
            for job in jobs:
                key = EnrollmentKey(job.args["enrollment_key"])
                checking.check_again(tx, here.sealer, key, now=here.clock.now(), actor=_ACTOR)

        await here.store.run(ask)
        return [DONE] * len(jobs)

    async def listed(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Compares what a device lists with what it shall have."""
        return [await self._listed(job) for job in jobs]

    async def _listed(self, job: Job) -> Outcome:
        store, now = self._live.installation.store, self._live.installation.clock.now()
        key, uuid = EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])
        command = await store.read(lambda tx: tx.commands.get(key, uuid))
        if command is None or command.answer is None or (at := command.answered_at) is None:
            return DONE
        if command.state is not CommandState.ACKNOWLEDGED:
            return Outcome(None, f"the device answered ProfileList {uuid} with {command.state}")
        try:
            there = [profile.identifier for profile in ProfileListAnswer.read(command.answer).profiles]
        except MDMError as error:
            return Outcome(None, f"the answer to ProfileList {uuid} cannot be read: {error.message}")
        await store.run(lambda tx: delivery.listed(tx, key, there, at=at, now=now))
        return DONE


def _concerned(tx: Tx, profile_id: ProfileID) -> Iterator[EnrollmentKey]:
    """Devices that have the profile, and those that shall have it."""
    after: EnrollmentKey | None = None
    while page := tx.profiles.installations(profile_id, limit=_PAGE, after=after):
        yield from (each.enrollment_key for each in page)
        after = page[-1].enrollment_key
    for assignment in tx.profiles.assignments(profile_id):
        names = tx.tags.devices(assignment.target) if assignment.kind is TargetKind.TAG else [assignment.target]
        for name in names:
            enrollment = tx.enrollments.by_id(EnrollmentID(name))
            if enrollment is not None:
                yield enrollment.key
