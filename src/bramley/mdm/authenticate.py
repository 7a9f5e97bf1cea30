"""Authenticate: an enrollment begins, or goes on with a renewed identity.

Which of the two is decided by why the presented identity was issued, never by the message: a wiped device must not inherit
what was meant for the one before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from bramley.mdm.binding import AuthenticatedDevice
from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.messages import Authenticate
from bramley.mdm.records import device_enrollment, end, end_channels, event, require_topic, retire_identities
from bramley.model.enrollments import Enrollment, EnrollmentState, IdentityRoute, Purpose
from bramley.model.events import EventKind
from bramley.storage.protocols import Tx

_GUARDED: Final = frozenset({EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED})
_MAY_OUTLIVE: Final = frozenset({IdentityRoute.IMPORTED, IdentityRoute.PKCS12})
"""Routes by which a key may have come in a profile, which a person can install again."""

_LATE: Final = timedelta(minutes=10)
"""How long after a device enrolled an Authenticate may still be the one that it began with, delayed on its way."""


def handle(tx: Tx, device: AuthenticatedDevice, message: Authenticate, *, now: datetime, topics: Collection[str]) -> None:
    """Stores what the device says of itself, and decides whether it starts afresh.

    An identity issued to enroll, on its first use, makes the enrollment pending: queue, bootstrap token and unlock token of
    an earlier life under the same key are gone. It takes the place of another enrollment of the same device only where that
    one is not in use, or where the enrollment's link names this device. The same Authenticate again changes nothing but
    attributes, and so does one by an identity issued to renew. A quarantined enrollment stays quarantined.

    An identity whose key may stand in a profile outlives an erasure of its device: one that comes with it again, well after it
    enrolled, starts afresh too.

    Raises Refused: TOPIC_MISMATCH, NOT_THIS_DEVICE, DEVICE_TAKEN.
    """
    enrollment = device_enrollment(tx, device)
    require_topic(message.topic, topics)
    if device.presented.purpose is Purpose.RENEW:
        _require_same(enrollment, message)
    elif enrollment.id is None or enrollment.state is EnrollmentState.CHECKED_OUT:
        _take_over(tx, device, enrollment, message, now)
        enrollment = _afresh(enrollment, message)
    elif enrollment.state in _GUARDED and (device.is_first_use or _comes_again(tx, device, enrollment, now)):
        end_channels(tx, enrollment, now)
        enrollment = _afresh(enrollment, message)
    else:
        _require_same(enrollment, message)
    tx.enrollments.update(_described(enrollment, message, now))
    detail = {"purpose": device.presented.purpose, "serial_number": message.serial_number, "os_version": message.os_version}
    tx.events.append(event(EventKind.ENROLLMENT_AUTHENTICATED, device, now, detail=detail))


def _comes_again(tx: Tx, device: AuthenticatedDevice, enrollment: Enrollment, now: datetime) -> bool:
    """Whether a device in use begins a new life with the identity of the one before."""
    if enrollment.state is not EnrollmentState.ACTIVE:
        return False
    if enrollment.enrolled_at is not None and now - enrollment.enrolled_at < _LATE:
        return False
    version = tx.lineages.version(device.presented.version_id)
    lineage = tx.lineages.get(version.lineage_id) if version else None
    return lineage is not None and lineage.route in _MAY_OUTLIVE


def _require_same(enrollment: Enrollment, message: Authenticate) -> None:
    """Refused unless device and push topic are the enrollment's: neither can change while it goes on."""
    if enrollment.id != message.sender.device:
        raise Refused(
            Refusal.NOT_THIS_DEVICE,
            f"The identity was issued for {enrollment.id}; {message.sender.device} came with it.",
        )
    if enrollment.topic != message.topic:
        raise Refused(
            Refusal.TOPIC_MISMATCH,
            f"Expected the push topic {enrollment.topic}, as at enrollment; {message.topic[:255]!r} came.",
        )


def _link_names(tx: Tx, enrollment: Enrollment, message: Authenticate) -> bool:
    """Whether the link that the enrollment came by is for this device. Refused where it is for another."""
    link = tx.links.get(enrollment.link_id) if enrollment.link_id else None
    if link is None or link.udid is None:
        return False
    # an operator may have typed it in either case
    if message.sender.is_user_enrollment or link.udid.casefold() != message.sender.device.casefold():
        raise Refused(
            Refusal.NOT_THIS_DEVICE,
            f"The enrollment link is for {link.udid}; {message.sender.device} came with it.",
            advice="Make a link for that device, or one that names none.",
        )
    return True


def _take_over(tx: Tx, device: AuthenticatedDevice, enrollment: Enrollment, message: Authenticate, now: datetime) -> None:
    """Ends the device's other enrollment, if there is one that may be ended."""
    named = _link_names(tx, enrollment, message)
    other = tx.enrollments.by_id(message.sender.device)
    if other is None or other.key == enrollment.key:
        return
    if other.state in _GUARDED and not named:
        raise Refused(
            Refusal.DEVICE_TAKEN,
            f"{message.sender.device} is enrolled and {other.state}; another identity asks for its place.",
            advice="If the device was wiped, make an enrollment link that names its UDID; if not, somebody pretends to be it.",
        )
    cancelled = end(tx, other, now)
    retire_identities(tx, other.key, now)
    detail = {"replaced_by": enrollment.key, "was": other.state, "cancelled": cancelled}
    tx.events.append(event(EventKind.ENROLLMENT_REPLACED, device, now, key=other.key, detail=detail))


def _afresh(enrollment: Enrollment, message: Authenticate) -> Enrollment:
    """The enrollment before its first TokenUpdate: nothing that an earlier life has left."""
    quarantined = enrollment.state is EnrollmentState.QUARANTINED
    return replace(
        enrollment,
        id=message.sender.device,
        udid=None if message.sender.is_user_enrollment else message.sender.device,
        enrollment_id=message.sender.device if message.sender.is_user_enrollment else None,
        state=EnrollmentState.QUARANTINED if quarantined else EnrollmentState.PENDING,
        topic=message.topic,
        push_token=None,
        push_magic=None,
        token_updated_at=None,
        push_stopped_at=None,
        unlock_token=None,
        bootstrap_token=None,
        enrolled_at=None,
    )


def _described(enrollment: Enrollment, message: Authenticate, now: datetime) -> Enrollment:
    """With what the device says of itself; what it leaves out stays as it was."""
    return replace(
        enrollment,
        changed_at=now,
        serial_number=message.serial_number or enrollment.serial_number,
        device_name=message.device_name or enrollment.device_name,
        model=message.model or enrollment.model,
        product_name=message.product_name or enrollment.product_name,
        os_version=message.os_version or enrollment.os_version,
        build_version=message.build_version or enrollment.build_version,
    )
