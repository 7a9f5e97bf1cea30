"""Asking devices which profiles they have, by hand and once a week: what one has lost is sent again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from bramley.mdm.commands import ProfileList
from bramley.mdm.token_update import leave_push
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.jobs import Job
from bramley.operations import commands
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

PROFILES_LISTED: Final = "profiles-listed"
"""The job that the answer to ProfileList releases."""

CHECK_PROFILES: Final = "check-profiles"
"""The job that asks a device again."""

EVERY: Final = timedelta(days=7)


def ask(tx: Tx, sealer: Sealer, enrollment: Enrollment, *, now: datetime, actor: str) -> Command:
    """Queues ProfileList, and a push."""
    asked = commands.queue(tx, sealer, enrollment, ProfileList(), actor=actor, now=now, job_on_answer=PROFILES_LISTED)
    leave_push(tx, enrollment.key, now)
    return asked


def check_again(tx: Tx, sealer: Sealer, key: EnrollmentKey, *, now: datetime, actor: str) -> None:
    """The weekly question, for as long as an enrollment has profiles. One that is still unanswered is not put twice."""
    enrollment = tx.enrollments.get(key)
    if enrollment is None or enrollment.state is EnrollmentState.CHECKED_OUT or not tx.profiles.on_device(key):
        return
    leave(tx, key, now)
    if enrollment.state is EnrollmentState.ACTIVE and not commands.pending_of(tx, key, PROFILES_LISTED):
        ask(tx, sealer, enrollment, now=now, actor=actor)


def leave(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Has a device asked in a week; where that is left already, at the moment that was set first."""
    args = {"enrollment_key": key}
    tx.jobs.add(Job(CHECK_PROFILES, run_at=now + EVERY, created_at=now, args=args, dedup_key=f"{CHECK_PROFILES}:{key}"))


def leave_now(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Has a device asked at once."""
    tx.jobs.add(Job(CHECK_PROFILES, run_at=now, created_at=now, args={"enrollment_key": key}))
