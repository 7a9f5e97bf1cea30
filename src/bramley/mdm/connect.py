"""The command channel: a device reports, and gets the next command (Apple, "Sending MDM commands to a device").

A command stays queued until its Acknowledged, Error or CommandFormatError is stored. NotNow puts it off until the device
begins a session again, which it does with Idle. The same report twice is harmless.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bramley.mdm import answer_secrets, description
from bramley.mdm.binding import AuthenticatedDevice
from bramley.mdm.commands import TABLE
from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.records import event
from bramley.mdm.report import Report, Status
from bramley.model.commands import RENEWAL_ANSWERED as RENEWAL_ANSWERED
from bramley.model.commands import Command, CommandState, CommandUUID, PendingCommand
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import Job
from bramley.pki.keystore import Place, Sealer
from bramley.storage.protocols import Tx

IN_QUARANTINE: Final = frozenset(each.name for each in TABLE.values() if each.in_quarantine)
"""The only RequestTypes that a quarantined device is given."""

_STATES: Final = {
    Status.ACKNOWLEDGED: CommandState.ACKNOWLEDGED,
    Status.ERROR: CommandState.ERROR,
    Status.COMMAND_FORMAT_ERROR: CommandState.COMMAND_FORMAT_ERROR,
    Status.NOT_NOW: CommandState.NOT_NOW,
}


@dataclass(frozen=True, slots=True)
class Immediate:
    """An answer that needs no transaction: the next command, or None for an empty body."""

    command: PendingCommand | None


def answer_idle(device: AuthenticatedDevice, report: Report) -> Immediate | None:
    """The answer to an Idle that storage need not hear of; None where `handle` must give it.

    Pure: `device.presented` was read for this request and holds the next command.
    """
    presented = device.presented
    if report.status is not Status.IDLE or presented.deferred or _is_restricted(device):
        return None
    return Immediate(presented.next_command)


def handle(tx: Tx, device: AuthenticatedDevice, report: Report, *, now: datetime, sealer: Sealer) -> PendingCommand | None:
    """Stores the report and returns the next command, or None for an empty body.

    A final report removes its command from the queue, leaves the job that waited for it, and becomes an event. A report
    on a command that is unknown or long finished changes nothing. Raises Refused if the channel is unknown.

    A quarantined device is given nothing but what locks or erases it; one whose identity has ended, nothing but its renewal,
    or in quarantine the former. What that one says of any other command is passed over, not refused: it would be said again
    before anything else, and the command, still queued, comes again after the renewal.
    """
    assert device.sender == report.sender, "a device is authenticated for one report"
    key = device.presented.channel_key
    if key is None:
        raise Refused(Refusal.UNKNOWN_CHANNEL, "Expected a channel that has sent TokenUpdate; this one has not.")
    if report.status is Status.IDLE:
        tx.commands.resume(key)
    elif report.command_uuid is not None and _is_believed(tx, device, key, report.command_uuid):
        state = _STATES[report.status]
        answer = answer_secrets.kept(report, report.command_uuid, sealer)
        command = tx.commands.answer(key, report.command_uuid, state, answer, now)
        if command is not None and state is not CommandState.NOT_NOW:
            _follow_up(tx, device, report, command, now)
            answer_secrets.keep_unlock_token(tx, report, command, sealer)
    return _next_allowed(tx, device, key) if _is_restricted(device) else tx.commands.next(key)


def payload_place(uuid: CommandUUID) -> Place:
    """Where a command's payload is sealed."""
    return Place("command", uuid, "payload")


def deliver(pending: PendingCommand, sealer: Sealer) -> bytes:
    """The plist for the device. Raises SealError if the payload was sealed elsewhere, or was changed."""
    return sealer.open(pending.payload, payload_place(pending.uuid))


def _follow_up(tx: Tx, device: AuthenticatedDevice, report: Report, command: Command, now: datetime) -> None:
    if command.job_on_answer is not None:
        args = {"enrollment_key": command.enrollment_key, "command_uuid": command.uuid}
        tx.jobs.add(Job(command.job_on_answer, run_at=now, created_at=now, args=args))
    if report.status is Status.ACKNOWLEDGED and command.request_type == "DeviceInformation":
        description.note(tx, command.enrollment_key, report.raw, now)
    detail: dict[str, object] = {
        "command_uuid": command.uuid,
        "request_type": command.request_type,
        "state": command.state,
    }
    if report.error_chain:
        detail["error"] = f"{report.error_chain[0].domain[:100]} {report.error_chain[0].code}"
    tx.events.append(event(EventKind.COMMAND_ANSWERED, device, now, key=command.enrollment_key, detail=detail))


def _is_restricted(device: AuthenticatedDevice) -> bool:
    """Whether only some commands are for this device now."""
    return device.has_ended or device.presented.enrollment_state is EnrollmentState.QUARANTINED


def _is_allowed(device: AuthenticatedDevice, command: Command) -> bool:
    """Whether a restricted device may be given this command."""
    if device.presented.enrollment_state is EnrollmentState.QUARANTINED:
        return command.request_type in IN_QUARANTINE
    return command.job_on_answer == RENEWAL_ANSWERED


def _is_believed(tx: Tx, device: AuthenticatedDevice, key: EnrollmentKey, uuid: CommandUUID) -> bool:
    """Whether this device may say how the command went."""
    if not device.has_ended:
        return True
    command = tx.commands.get(key, uuid)
    return command is not None and _is_allowed(device, command)


def _next_allowed(tx: Tx, device: AuthenticatedDevice, key: EnrollmentKey) -> PendingCommand | None:
    """The oldest queued command that the device may be given, whatever else is in front of it."""
    for command in tx.commands.pending(key):
        if command.state is CommandState.QUEUED and _is_allowed(device, command):
            return PendingCommand(command.uuid, command.request_type, command.payload)
    return None
