"""Device identities: renewing what is due, retiring what was replaced or has lost its enrollment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from bramley.lifecycle import schedule
from bramley.mdm.binding import renewable_after_end
from bramley.mdm.connect import RENEWAL_ANSWERED
from bramley.mdm.token_update import leave_push
from bramley.model.commands import CommandState, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.kinds import Kind
from bramley.operations import commands, identities, pkcs12_identities
from bramley.operations.errors import Conflict, NotReady
from bramley.operations.identity_standing import Renewal, errors_of, in_words, renewal_of
from bramley.operations.live import Live
from bramley.profiles.errors import ProfileError
from bramley.storage.protocols import CertificateRow, Tx

RENEW_DUE: Final = "renew-due"
RETIRE_SUPERSEDED: Final = "retire-superseded"
ASK_AGAIN_AFTER: Final = timedelta(days=7)
"""With a new challenge, where the last InstallProfile is still unanswered: as long as its challenge is good for half its life."""

TRY_AGAIN_AFTER: Final = timedelta(days=1)
"""Where the last one was answered, and the identity is due all the same; twice as long after each further answer."""

WAKE_AGAIN_AFTER: Final = (timedelta(hours=1), timedelta(days=1))
"""A device that has not answered yet: after the first at the earliest, and the second at the latest."""

PAGE: Final = 10_000
_TRIES: Final = 8
_TOLD: Final = 10
_ACTOR: Final = "job:renewal"


class Renewals:
    """The handlers around device identities."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def renew_due(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Starts a renewal for every identity that is due, or has ended and may still be renewed.

        A device that was asked lately is not asked again: it is only pushed to, where it has not answered yet. What waits
        unanswered, or was put off by NotNow, is replaced by the next try. One whose renewal cannot be made holds up no other.
        """
        installation = self._live.installation

        def find(tx: Tx) -> list[EnrollmentKey]:
            return [key for row in self._due(tx) if (key := self._to_ask(tx, row)) is not None]

        unmade = []
        for key in await installation.store.run(find):
            try:
                await identities.renew(self._live, key, actor=_ACTOR)
            except Conflict:
                continue  # it checked out, or was suspended, in between
            except (ProfileError, NotReady) as error:
                unmade.append(f"{key}: {error.message}")
        return [Outcome(error="; ".join(unmade[:_TOLD])) if unmade else DONE] * len(jobs)

    def _due(self, tx: Tx) -> list[CertificateRow]:
        """The identities to be replaced: those that are due, and those that ended and may still be renewed."""
        now, identity = self._live.installation.clock.now(), self._live.installation.settings.identity
        latest = now + timedelta(days=identity.lifetime_days) * (1 - identity.renew_at + identity.jitter)
        limit = PAGE
        # Those that ended long ago come first and are no longer asked: however many there are, they must not hide the rest.
        while len(rows := tx.lineages.ending_before(Kind.DEVICE_IDENTITY, latest, limit)) == limit:
            limit *= 4
        return [row for row in rows if _is_due(row, now, identity.after_end)]

    def _to_ask(self, tx: Tx, row: CertificateRow) -> EnrollmentKey | None:
        """The enrollment to send a renewal to; None where there is none to send now. A push, where that is enough, is queued."""
        now = self._live.installation.clock.now()
        enrollment = tx.enrollments.get(row.enrollment_key) if row.enrollment_key else None
        if enrollment is None or enrollment.state is not EnrollmentState.ACTIVE:
            return None
        started = tx.events.find(kind=EventKind.RENEWAL_STARTED, enrollment_key=enrollment.key, limit=_TRIES)
        if not started:
            return enrollment.key
        unanswered = commands.pending_of(tx, enrollment.key, RENEWAL_ANSWERED)
        if not unanswered:
            tries = [renewal_of(tx, event) for event in started if event.at >= row.version.changed_at]
            return enrollment.key if now - started[0].at >= _pause(tries) else None
        good_for = timedelta(days=self._live.installation.settings.scep.renewal_challenge_days)
        if now - started[0].at >= min(ASK_AGAIN_AFTER, good_for / 2):
            return enrollment.key
        if _is_to_wake(enrollment, started[0].at, now):
            leave_push(tx, enrollment.key, now)
        return None

    async def answered(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """A renewal's InstallProfile was answered: an error is kept with the job, and tried again by a later round."""

        def check(tx: Tx) -> list[Outcome]:
            return [_judge(tx, job) for job in jobs]

        return await self._live.installation.store.read(check)

    async def retire_superseded(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Ends the grace of identities that were replaced long enough ago, and what was sent out to enroll and never used."""
        while await identities.retire_superseded(self._live.installation, actor=_ACTOR):
            pass
        await pkcs12_identities.retire_unused(self._live.installation, actor=_ACTOR)
        return [DONE] * len(jobs)

    async def retire_identities(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Ends the identities of enrollments that have ended."""
        now = self._live.installation.clock.now()

        def retire(tx: Tx) -> None:
            for job in jobs:
                identities.retire_all(tx, EnrollmentKey(job.args["enrollment_key"]), now=now, actor=_ACTOR)

        await self._live.installation.store.run(retire)
        return [DONE] * len(jobs)


def _is_due(row: CertificateRow, now: datetime, after_end: timedelta | None) -> bool:
    version = row.version
    if version.not_after is not None and version.expired(now):
        return renewable_after_end(version.state, version.not_after, now, within=after_end)
    return schedule.due(version, row.lineage.policy, now)


def _pause(tries: Sequence[Renewal]) -> timedelta:
    """How long to leave a device alone after it has answered so many renewals of one identity without renewing it."""
    answered = sum(each.state is not CommandState.CANCELLED for each in tries)
    return min(TRY_AGAIN_AFTER * (1 << max(answered - 1, 0)), ASK_AGAIN_AFTER)


def _is_to_wake(enrollment: Enrollment, asked_at: datetime, now: datetime) -> bool:
    """Whether to push to a device that has not answered since it was asked: ever more seldom, the longer it is silent."""
    pushed_at = enrollment.last_push_at
    if pushed_at is None or pushed_at < asked_at:
        return True
    shortest, longest = WAKE_AGAIN_AFTER
    return now - pushed_at >= min(max(pushed_at - asked_at, shortest), longest)


def _judge(tx: Tx, job: Job) -> Outcome:
    key, uuid = EnrollmentKey(job.args["enrollment_key"]), CommandUUID(job.args["command_uuid"])
    command = tx.commands.get(key, uuid)
    if command is None or command.state is CommandState.ACKNOWLEDGED:
        return DONE
    why = in_words(errors_of(command))
    return Outcome(None, f"the device answered the renewal {uuid} with {command.state}{why}")
