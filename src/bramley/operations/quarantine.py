"""Quarantine: a device that may be locked and erased, and gets nothing else.

Revoking the identity of a stolen device also ends our power to erase it. So it is quarantined first, told what is to happen to
it, and its identity is revoked once it has acknowledged that; or at once, by whoever knows what that means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from bramley.lifecycle import states
from bramley.mdm.commands import Raw, Receiver, require, target_of
from bramley.mdm.token_update import leave_delivery, leave_push
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import DONE, Outcome
from bramley.model.lineages import RevocationReason, Version
from bramley.operations import commands, device_commands, devices, identities
from bramley.operations.errors import Conflict, Invalid
from bramley.operations.installation import Installation
from bramley.operations.records import require_reason
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

QUARANTINE_ANSWERED: Final = "quarantine-answered"
"""The job that the answer to a quarantine's lock or erase releases."""


class Measure(StrEnum):
    """What is done to a quarantined device; then its identity is revoked. The values are Apple's names of the commands."""

    LOCK = "DeviceLock"
    ERASE = "EraseDevice"


@dataclass(frozen=True, slots=True)
class Order:
    """A measure, with what it takes to mean it.

    `serial_number` repeats the device's (its id, where it has told none). `pin`, six digits, is what a locked Mac will ask for.
    """

    measure: Measure
    serial_number: str
    pin: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.pin is not None and not re.fullmatch(r"[0-9]{6}", self.pin, re.ASCII):
            raise Invalid("Expected a PIN of six digits; something else came.")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What quarantining did: the enrollment as it is now, the command to wait for, and what was revoked at once."""

    enrollment: Enrollment
    command: Command | None = None
    revoked: Sequence[Version] = ()


async def quarantine(
    installation: Installation,
    device: str,
    *,
    reason: str,
    because: RevocationReason = RevocationReason.KEY_COMPROMISE,
    order: Order | None = None,
    revoke_now: bool = False,
    actor: str,
) -> Quarantined:
    """Quarantines a device: from its next request on it gets nothing but lock and erase; the rest of its queue waits.

    With an `order` that command is queued in the place of an earlier one, a push left, and the identity revoked (`because`, RFC
    5280 section 5.3.1) once it is acknowledged. With `revoke_now` it is revoked at once, and nothing can be ordered any more.
    NotFound; Conflict where the device is not enrolled, or in quarantine already and nothing new is asked for, or where an order
    could not reach it; Invalid where the serial number is not the device's, and for an empty reason; BadCommand where the device
    takes no such order.
    """
    reason = require_reason(reason)
    if order is not None and revoke_now:
        raise Invalid("A device whose identity is revoked at once can be neither locked nor erased.", advice="Choose one.")
    now = installation.clock.now()

    def act(tx: Tx) -> Quarantined:
        enrollment = identities.device_of(tx, devices.resolve(tx, device))
        _require_quarantinable(enrollment, again=order is not None or revoke_now)
        if order is not None:
            device_commands.require_meant(enrollment, order.serial_number, order.measure)
            _require_reachable(tx, enrollment)
        quarantined = replace(enrollment, state=EnrollmentState.QUARANTINED, changed_at=now)
        tx.enrollments.update(quarantined)
        command = _give(tx, installation.sealer, quarantined, order, now, actor) if order else None
        detail = {"reason": reason, "because": because, **({"measure": order.measure} if order else {})}
        detail |= {"command": command.uuid} if command else {}
        tx.events.append(Event(now, EventKind.DEVICE_QUARANTINED, actor, enrollment.key, detail=detail))
        if not revoke_now:
            return Quarantined(quarantined, command)
        revoked = _revoke(tx, quarantined, reason, because, now, actor)
        return Quarantined(tx.enrollments.get(enrollment.key) or quarantined, revoked=revoked)

    return await installation.store.run(act)


@dataclass(frozen=True, slots=True)
class Released:
    """The enrollment, and what waits for it now, in queue order."""

    enrollment: Enrollment
    waiting: Sequence[Command]


async def release(installation: Installation, device: str, *, reason: str = "", actor: str) -> Released:
    """Ends a quarantine: a lock or erase that it ordered is withdrawn, the rest of the queue is delivered, a push is left.

    Profiles that were assigned, changed or taken away meanwhile follow.

    NotFound, or Conflict where the device is not in quarantine.
    """
    now = installation.clock.now()

    def act(tx: Tx) -> Released:
        enrollment = identities.device_of(tx, devices.resolve(tx, device))
        if enrollment.state is not EnrollmentState.QUARANTINED:
            raise Conflict(f"{device} is {enrollment.state}, not in quarantine.")
        withdrawn = _withdraw(tx, enrollment.key, now)
        # one that began afresh in quarantine has yet to send its first TokenUpdate
        state = EnrollmentState.PENDING if enrollment.push_token is None else EnrollmentState.ACTIVE
        released = replace(enrollment, state=state, changed_at=now)
        tx.enrollments.update(released)
        detail = {"reason": reason, "withdrawn": withdrawn}
        tx.events.append(Event(now, EventKind.DEVICE_RELEASED, actor, enrollment.key, detail=detail))
        leave_push(tx, enrollment.key, now)
        leave_delivery(tx, enrollment.key, now)
        return Released(released, tx.commands.pending(enrollment.key))

    return await installation.store.run(act)


def settle(tx: Tx, key: EnrollmentKey, uuid: CommandUUID, *, now: datetime, actor: str) -> Outcome:
    """The device has answered an ordered lock or erase: where it acknowledged, and nothing else is ordered, it is revoked.

    One that answered with an error stays in quarantine, for a person to decide.
    """
    command, enrollment = tx.commands.get(key, uuid), tx.enrollments.get(key)
    if command is None or enrollment is None or enrollment.state is not EnrollmentState.QUARANTINED:
        return DONE  # released, or ended, meanwhile
    if command.state is not CommandState.ACKNOWLEDGED:
        return Outcome(None, f"the device answered {command.request_type} {uuid} with {command.state}; it stays in quarantine")
    if commands.pending_of(tx, key, QUARANTINE_ANSWERED):
        return DONE  # its answer decides
    orders = tx.events.find(kind=EventKind.DEVICE_QUARANTINED, enrollment_key=key)
    order = next((event for event in orders if event.detail.get("command") == uuid), None)
    if order is None:
        return Outcome(None, f"nobody is on record to have ordered {command.request_type} {uuid}")
    _revoke(tx, enrollment, str(order.detail["reason"]), RevocationReason(str(order.detail["because"])), now, actor)
    return DONE


def _require_quarantinable(enrollment: Enrollment, *, again: bool) -> None:
    if enrollment.state is EnrollmentState.QUARANTINED and again:
        return
    if enrollment.state is not EnrollmentState.ACTIVE:
        raise Conflict(f"{enrollment.id} is {enrollment.state}; only an active device can be quarantined.")


def _require_reachable(tx: Tx, enrollment: Enrollment) -> None:
    if not any(version.state in states.LIVE for version in identities.standing(tx, enrollment.key)):
        raise Conflict(
            f"{enrollment.id} has no identity in force, and so can be told nothing.",
            advice="If it is suspended: quarantine it without an order, `bramley identity resume` it, and order then.",
        )


def _give(tx: Tx, sealer: Sealer, enrollment: Enrollment, order: Order, now: datetime, actor: str) -> Command:
    """Queues what is ordered, in the place of what was ordered before. BadCommand for what is nothing for this device."""
    _withdraw(tx, enrollment.key, now)
    request = {"RequestType": order.measure.value, **({"PIN": order.pin} if order.pin else {})}
    filled, _pin = device_commands.fill(sealer, enrollment, Raw(order.measure, request))  # `bramley device pin` tells it
    target = target_of(enrollment.product_name, enrollment.os_version)
    require(filled, Receiver(target, user_enrollment=enrollment.enrollment_id is not None), filled=True)
    command = commands.queue(
        tx,
        sealer,
        enrollment,
        filled,
        actor=actor,
        now=now,
        job_on_answer=QUARANTINE_ANSWERED,
    )
    leave_push(tx, enrollment.key, now)
    return command


def _withdraw(tx: Tx, key: EnrollmentKey, now: datetime) -> int:
    ordered = commands.pending_of(tx, key, QUARANTINE_ANSWERED)
    return sum(tx.commands.withdraw(key, command.uuid, now) for command in ordered)


def _revoke(
    tx: Tx, enrollment: Enrollment, reason: str, because: RevocationReason, now: datetime, actor: str
) -> Sequence[Version]:
    doomed = identities.standing(tx, enrollment.key)
    return identities.revoke_all(tx, enrollment, doomed, reason=reason, because=because, now=now, actor=actor)
