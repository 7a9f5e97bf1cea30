"""What check-ins have in common in storage: the enrollment behind a message, its end, its secrets' places, its events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from bramley.mdm.binding import AuthenticatedDevice
from bramley.mdm.errors import Refusal, Refused
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.pki.keystore import Place
from bramley.storage.protocols import Tx

RETIRE_IDENTITIES: Final = "retire-identities"
"""The job that ends the identities of an enrollment that has ended; its argument is `enrollment_key`."""


def device_enrollment(tx: Tx, device: AuthenticatedDevice) -> Enrollment:
    """The device's own enrollment as it stands in this transaction, which may be later than what `device` was made from.

    Raises Refused where it has been checked out since, or is gone.
    """
    enrollment = tx.enrollments.get(device.presented.enrollment_key)
    if enrollment is None:
        raise Refused(Refusal.UNKNOWN_IDENTITY, "The enrollment of this identity is no longer on record.")
    if enrollment.state is EnrollmentState.CHECKED_OUT and device.presented.enrollment_state is not enrollment.state:
        raise Refused(Refusal.CHECKED_OUT, "The enrollment was checked out while this message was on its way.")
    return enrollment


def require_topic(topic: str, topics: Collection[str]) -> None:
    """Refused unless the topic is one that this server can push to."""
    if topic not in topics:
        raise Refused(
            Refusal.TOPIC_MISMATCH,
            f"Expected a push topic of this server ({', '.join(sorted(topics)) or 'it has none'}); {topic[:255]!r} came.",
            advice="Import the push certificate of that topic, or enroll the device with a new profile.",
        )


def end(tx: Tx, enrollment: Enrollment, now: datetime) -> int:
    """Checks out an enrollment, or one channel, with the channels under it; how many waiting commands that cancelled."""
    cancelled = end_channels(tx, enrollment, now)
    tx.enrollments.update(replace(enrollment, state=EnrollmentState.CHECKED_OUT, changed_at=now))
    return cancelled


def retire_identities(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Leaves the job that ends an ended enrollment's identities: nobody can use them any more, and none is to be renewed."""
    args = {"enrollment_key": key}
    tx.jobs.add(Job(RETIRE_IDENTITIES, run_at=now, created_at=now, args=args, dedup_key=f"{RETIRE_IDENTITIES}:{key}"))


def end_channels(tx: Tx, enrollment: Enrollment, now: datetime) -> int:
    """Checks out the channels under an enrollment, and cancels what waits for it and for them; how many commands.

    Profiles are gone from the device with its management, or with all else that was on it.
    """
    cancelled = tx.commands.cancel(enrollment.key, now)
    tx.profiles.forget_all(enrollment.key)
    for channel in tx.enrollments.channels(enrollment.key):
        tx.profiles.forget_all(channel.key)
        if channel.state is not EnrollmentState.CHECKED_OUT:
            tx.enrollments.update(replace(channel, state=EnrollmentState.CHECKED_OUT, changed_at=now))
    return cancelled


def secret_place(key: EnrollmentKey, purpose: Literal["bootstrap-token", "unlock-token"]) -> Place:
    """Where an enrollment's secret is sealed."""
    return Place("enrollment", key, purpose)


def event(
    kind: EventKind,
    device: AuthenticatedDevice,
    now: datetime,
    *,
    key: EnrollmentKey | None = None,
    detail: Mapping[str, object] | None = None,
) -> Event:
    """An event that the device caused, about its own enrollment or the one of `key`."""
    return Event(
        at=now,
        kind=kind,
        actor=f"device:{device.enrollment_id}",
        enrollment_key=key or device.presented.enrollment_key,
        version_id=device.presented.version_id,
        detail=detail or {},
    )
