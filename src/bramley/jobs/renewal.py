"""Device identities: renewing what is due, retiring what was replaced or has lost its enrollment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bramley.lifecycle import schedule
from bramley.mdm.token_update import leave_push
from bramley.model.commands import CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.kinds import Kind
from bramley.operations import commands, identities
from bramley.operations.errors import Conflict
from bramley.operations.live import Live
from bramley.storage.protocols import CertificateRow, Tx

RENEW_DUE: Final = "renew-due"
RETIRE_SUPERSEDED: Final = "retire-superseded"
ASK_AGAIN_AFTER: Final = timedelta(days=7)
"""With a new challenge, where the last InstallProfile is still unanswered."""

TRY_AGAIN_AFTER: Final = timedelta(days=1)
"""Where the last one was answered, and the identity is due all the same."""

MOST: Final = 10_000
_ACTOR: Final = "job:renewal"


class Renewals:
    """The handlers around device identities."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def renew_due(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Starts a renewal for every identity that is due.

        A device that was asked lately is not asked again: it is only pushed to, where it has not answered yet.
        """
        installation = self._live.installation
        now = installation.clock.now()
        identity = installation.settings.identity
        latest = now + timedelta(days=identity.lifetime_days) * (1 - identity.renew_at + identity.jitter)

        def find(tx: Tx) -> list[EnrollmentKey]:
            rows = tx.lineages.ending_before(Kind.DEVICE_IDENTITY, latest, MOST)
            due = [row for row in rows if schedule.due(row.version, row.lineage.policy, now)]
            return [key for row in due if (key := self._to_ask(tx, row)) is not None]

        for key in await installation.store.run(find):
            try:
                await identities.renew(self._live, key, actor=_ACTOR)
            except Conflict:
                continue  # it checked out in between
        return [DONE] * len(jobs)

    def _to_ask(self, tx: Tx, row: CertificateRow) -> EnrollmentKey | None:
        """The enrollment to send a renewal to; None where there is none to send now. A push, where that is enough, is queued."""
        now = self._live.installation.clock.now()
        enrollment = tx.enrollments.get(row.enrollment_key) if row.enrollment_key else None
        if enrollment is None or enrollment.state is not EnrollmentState.ACTIVE or row.version.expired(now):
            return None
        last = tx.events.find(kind=EventKind.RENEWAL_STARTED, enrollment_key=enrollment.key, limit=1)
        unanswered = commands.pending_of(tx, enrollment.key, identities.RENEWAL_ANSWERED)
        if not last or now - last[0].at >= (ASK_AGAIN_AFTER if unanswered else TRY_AGAIN_AFTER):
            return enrollment.key
        if unanswered:
            leave_push(tx, enrollment.key, now)
        return None

    async def answered(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """A renewal's InstallProfile was answered: an error is kept with the job, and tried again by a later round."""

        def check(tx: Tx) -> list[Outcome]:
            return [_judge(tx, job) for job in jobs]

        return await self._live.installation.store.read(check)

    async def retire_superseded(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Ends the grace of identities that were replaced long enough ago."""
        while await identities.retire_superseded(self._live.installation, actor=_ACTOR):
            pass
        return [DONE] * len(jobs)

    async def retire_identities(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Ends the identities of enrollments that have ended."""
        now = self._live.installation.clock.now()

        def retire(tx: Tx) -> None:
            for job in jobs:
                identities.retire_all(tx, EnrollmentKey(job.args["enrollment_key"]), now=now, actor=_ACTOR)

        await self._live.installation.store.run(retire)
        return [DONE] * len(jobs)


def _judge(tx: Tx, job: Job) -> Outcome:
    key, uuid = EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])
    command = tx.commands.get(key, uuid)
    if command is None or command.state is CommandState.ACKNOWLEDGED:
        return DONE
    return Outcome(None, f"the device answered the renewal {uuid} with {command.state}")
