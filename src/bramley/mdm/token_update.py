"""TokenUpdate: how to wake a device or a user channel. The first one after Authenticate makes an enrollment active."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from bramley.mdm.binding import AuthenticatedDevice
from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.messages import TokenUpdate
from bramley.mdm.records import device_enrollment, event, require_topic, secret_place
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import Job
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

PUSH: Final = "push"
"""The job that wakes an enrollment; its argument is `enrollment_key`."""

DELIVER_PROFILES: Final = "deliver-profiles"
"""The job that sends the channels of a device the profiles that they shall have; its argument is `enrollment_key`, of one."""


def handle(
    tx: Tx, device: AuthenticatedDevice, message: TokenUpdate, *, now: datetime, sealer: Sealer, topics: Collection[str]
) -> None:
    """Stores token, PushMagic and, where one came, the sealed UnlockToken; leaves a push job where there is news.

    A pending enrollment becomes active; a quarantined one stays so. On a user channel the channel is made, or, if its user
    had checked out, made anew. Raises Refused with TOPIC_MISMATCH: the topic is the one of Authenticate.
    """
    enrollment = device_enrollment(tx, device)
    require_topic(message.topic, topics)
    if message.topic != enrollment.topic:
        raise Refused(
            Refusal.TOPIC_MISMATCH,
            f"Expected the push topic {enrollment.topic}, as at enrollment; {message.topic[:255]!r} came.",
        )
    if device.sender.user is None:
        _store(tx, device, enrollment, message, now, sealer)
        return
    channel = _channel(tx, enrollment, device.sender.user)
    if channel is None:
        channel = _new_channel(device, enrollment, device.sender.user, now)
        tx.enrollments.add(channel)
    elif channel.state is EnrollmentState.CHECKED_OUT:
        channel = _anew(channel)
    named = replace(
        channel,
        topic=enrollment.topic,
        user_short_name=message.user_short_name or channel.user_short_name,
        user_long_name=message.user_long_name or channel.user_long_name,
    )
    _store(tx, device, named, message, now, sealer)


def _store(
    tx: Tx, device: AuthenticatedDevice, enrollment: Enrollment, message: TokenUpdate, now: datetime, sealer: Sealer
) -> None:
    """Writes what came to the device's enrollment or the channel's."""
    becomes_active = enrollment.state is EnrollmentState.PENDING
    unlock_token = enrollment.unlock_token
    if message.unlock_token is not None:
        unlock_token = sealer.seal(message.unlock_token, secret_place(enrollment.key, "unlock-token"))
    tx.enrollments.update(
        replace(
            enrollment,
            state=EnrollmentState.ACTIVE if becomes_active else enrollment.state,
            changed_at=now,
            enrolled_at=enrollment.enrolled_at or now,
            push_token=message.token,
            push_magic=message.push_magic,
            token_updated_at=now,
            push_stopped_at=None,
            unlock_token=unlock_token,
        )
    )
    known = (enrollment.push_token, enrollment.push_magic) == (message.token, message.push_magic)
    if becomes_active or not known or enrollment.push_stopped_at is not None:
        leave_push(tx, enrollment.key, now)
    if becomes_active:
        tx.events.append(event(EventKind.ENROLLMENT_ACTIVATED, device, now, key=enrollment.key))
        leave_delivery(tx, enrollment.key, now)


def leave_push(tx: Tx, key: EnrollmentKey, now: datetime, *, after: timedelta = timedelta()) -> None:
    """Leaves a push to be sent, at once or after a while; many before it is sent are one."""
    tx.jobs.add(Job(PUSH, run_at=now + after, created_at=now, args={"enrollment_key": key}, dedup_key=f"{PUSH}:{key}"))


def leave_delivery(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Has the profiles of a device, and of its user channels, looked after soon; many before that are one."""
    args, dedup_key = {"enrollment_key": key}, f"{DELIVER_PROFILES}:{key}"
    tx.jobs.add(Job(DELIVER_PROFILES, run_at=now, created_at=now, args=args, dedup_key=dedup_key))


def _channel(tx: Tx, enrollment: Enrollment, user: str) -> Enrollment | None:
    return next((channel for channel in tx.enrollments.channels(enrollment.key) if channel.user_id == user), None)


def _new_channel(device: AuthenticatedDevice, enrollment: Enrollment, user: str, now: datetime) -> Enrollment:
    return Enrollment(
        key=EnrollmentKey(str(uuid4())),
        state=EnrollmentState.PENDING,
        created_at=now,
        changed_at=now,
        id=device.enrollment_id,
        parent=enrollment.key,
        udid=enrollment.udid,
        enrollment_id=enrollment.enrollment_id,
        user_id=user,
    )


def _anew(channel: Enrollment) -> Enrollment:
    """A checked-out channel as if it were new: its commands were cancelled when it ended."""
    return replace(channel, state=EnrollmentState.PENDING, push_token=None, push_magic=None, enrolled_at=None)
