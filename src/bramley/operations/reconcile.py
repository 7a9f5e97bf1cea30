"""Asking a device which certificates it holds, and keeping what differs from what is on record.

Nothing is decided by the answer, which is the device's word: what is found is for people.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bramley.mdm.commands import CertificateList
from bramley.mdm.token_update import leave_push
from bramley.model.commands import Command, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.model.kinds import Kind
from bramley.model.networks import owner_of
from bramley.operations import commands, devices
from bramley.operations.device_certificates import Finding, Held, OnRecord, What, findings, superseded_until
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.operations.network import standing as network_standing
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

RECONCILE: Final = "reconcile"
"""The job that asks a device for its certificates; its argument is `enrollment_key`."""

RECONCILE_ANSWERED: Final = "reconcile-answered"
"""The job that the answer to a CertificateList of ours releases."""

MOST_IDENTITIES: Final = 200
"""That are looked up of one answer, besides those issued for the device; the rest are counted."""

MOST_FINDINGS: Final = 50
"""That are kept of one answer; the rest are counted."""

_AFTER_THE_GRACE: Final = timedelta(hours=2)
"""Superseded identities are retired hourly; a look after the grace comes after that."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What came of one answer: how many certificates were listed, how many of them as identities, and what was found.

    `left_out` counts identities that were not looked up, and findings that were not kept.
    """

    at: datetime
    command_uuid: CommandUUID
    certificates: int
    identities: int
    findings: tuple[Finding, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a device: the question under way, if any, and what came of the last answer."""

    waiting: Command | None
    last: Reconciled | None


async def reconcile(installation: Installation, device: str, *, actor: str) -> Command:
    """Asks a device for its certificates; what to wait for. NotFound; Conflict as `ask` says."""
    now = installation.clock.now()
    return await installation.store.run(
        lambda tx: ask(tx, installation.sealer, devices.resolve(tx, device), now=now, actor=actor)
    )


async def standing(installation: Installation, device: str) -> Standing:
    """What is known of a device. NotFound where there is none of this name."""

    def read(tx: Tx) -> Standing:
        found = devices.resolve(tx, device)
        key = found.parent or found.key
        waiting, note = commands.pending_of(tx, key, RECONCILE_ANSWERED), tx.notes.get(_note(key))
        last = None if note is None else msgspec.json.decode(note, type=Reconciled)
        return Standing(waiting[-1] if waiting else None, last)

    return await installation.store.read(read)


def ask(tx: Tx, sealer: Sealer, enrollment: Enrollment, *, now: datetime, actor: str) -> Command:
    """Queues CertificateList, in the place of one that is still unanswered, and a push. Conflict unless `can_be_asked`."""
    if not can_be_asked(enrollment):
        what = "a user channel" if enrollment.parent is not None else enrollment.state
        raise Conflict(f"{enrollment.id or enrollment.key} is {what}; only an active device can be asked for its certificates.")
    for command in commands.pending_of(tx, enrollment.key, RECONCILE_ANSWERED):
        tx.commands.withdraw(enrollment.key, command.uuid, now)
    # all of them, since what a replaced profile has left behind is managed no more
    request = CertificateList(managed_only=False)
    queued = commands.queue(tx, sealer, enrollment, request, actor=actor, now=now, job_on_answer=RECONCILE_ANSWERED)
    leave_push(tx, enrollment.key, now)
    return queued


def can_be_asked(enrollment: Enrollment) -> bool:
    """Whether it is an active device, and no user channel."""
    return enrollment.parent is None and enrollment.state is EnrollmentState.ACTIVE


def leave(tx: Tx, key: EnrollmentKey, *, at: datetime, now: datetime) -> None:
    """Leaves the question for later; where it is left already, for the moment that was set first."""
    args = {"enrollment_key": key}
    tx.jobs.add(Job(RECONCILE, run_at=at, created_at=now, args=args, dedup_key=f"{RECONCILE}:{key}"))


def settle(tx: Tx, command: Command, listed: Sequence[Held], *, grace: timedelta, now: datetime, actor: str) -> Reconciled | None:
    """Compares an acknowledged answer, keeps what was found and tells of it; None where the enrollment has ended meanwhile.

    Where the device still holds a superseded identity it is asked again after the grace, when it should be gone.
    """
    enrollment = tx.enrollments.get(command.enrollment_key)
    if enrollment is None or enrollment.state is EnrollmentState.CHECKED_OUT or command.answered_at is None:
        return None
    records = _of_enrollment(tx, enrollment)
    strangers = [one for one in listed if one.is_identity and one.sha256 not in records]
    looked_up = {one.sha256 for one in strangers[:MOST_IDENTITIES]}
    records |= _of_others(tx, enrollment, looked_up)
    compared = [one for one in listed if one.sha256 in records or one.sha256 in looked_up]
    found = findings(compared, records, told_at=command.answered_at, now=now)
    done = Reconciled(
        now,
        command.uuid,
        certificates=len(listed),
        identities=sum(one.is_identity for one in listed),
        findings=tuple(found[:MOST_FINDINGS]),
        left_out=len(strangers[MOST_IDENTITIES:]) + len(found[MOST_FINDINGS:]),
    )
    tx.notes.set(_note(enrollment.key), msgspec.json.encode(done).decode())
    counts = {str(what): count for what in What if (count := sum(one.what is what for one in found))}
    detail = {"command": command.uuid, "certificates": done.certificates, "found": counts}
    tx.events.append(Event(now, EventKind.DEVICE_CERTIFICATES_RECONCILED, actor, enrollment.key, detail=detail))
    if (until := superseded_until(compared, records, grace)) is not None:
        leave(tx, enrollment.key, at=max(until, now) + _AFTER_THE_GRACE, now=now)
    return done


def _of_enrollment(tx: Tx, enrollment: Enrollment) -> dict[str, OnRecord]:
    """All that was issued for an enrollment."""
    lineage = tx.lineages.find(Kind.DEVICE_IDENTITY, enrollment.key)
    found = [(version, Kind.DEVICE_IDENTITY) for version in (tx.lineages.versions(lineage.id) if lineage else ())]
    found += network_standing.every(tx, enrollment.key)
    return {v.sha256: OnRecord(v, kind, here=True, same_device=True) for v, kind in found if v.sha256 is not None}


def _of_others(tx: Tx, enrollment: Enrollment, sha256s: Collection[str]) -> dict[str, OnRecord]:
    """What of these was made for somebody else: another device, an earlier life of this one, or the server itself."""
    records = {}
    for sha256 in sha256s:
        version = tx.lineages.by_sha256(sha256)
        lineage = tx.lineages.get(version.lineage_id) if version else None
        if version is None or lineage is None:
            continue
        owner = tx.enrollments.get(owner_of(lineage.name))
        same = owner is not None and owner.id is not None and owner.id == enrollment.id
        records[sha256] = OnRecord(version, lineage.kind, here=False, same_device=same)
    return records


def _note(key: EnrollmentKey) -> str:
    return f"reconcile:{key}"
