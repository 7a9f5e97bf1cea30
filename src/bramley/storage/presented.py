"""From the row of the hot path to `Presented`: the same columns in the same order in every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bramley.model.commands import CommandUUID, PendingCommand
from bramley.model.enrollments import EnrollmentID, EnrollmentKey, EnrollmentState, Presented, Purpose
from bramley.model.lineages import VersionID, VersionState
from bramley.storage.columns import from_microseconds

# looked up, since calling an enum costs as much as reading a row
VERSION_STATES = {state.value: state for state in VersionState}
ENROLLMENT_STATES = {state.value: state for state in EnrollmentState}
PURPOSES = {purpose.value: purpose for purpose in Purpose}


def from_row(certificate_sha256: str, row: Sequence[Any]) -> Presented:
    """The value for a row of `hotpath.SELECT`.

    Of the version: id, state, not_before, not_after; the purpose it was bound for; of the device: key, id, state; of the channel:
    key, state; of the next command: uuid, request_type, payload; whether a command is deferred.
    """
    version, version_state, start, end, purpose, key, name, state, channel, channel_state, *command, deferred = row
    uuid, request_type, payload = command
    return Presented(
        certificate_sha256=certificate_sha256,
        version_id=VersionID(version),
        version_state=VERSION_STATES[version_state],
        not_before=from_microseconds(start),
        not_after=from_microseconds(end),
        purpose=PURPOSES[purpose],
        enrollment_key=EnrollmentKey(key),
        enrollment_id=None if name is None else EnrollmentID(name),
        enrollment_state=ENROLLMENT_STATES[state],
        channel_key=None if channel is None else EnrollmentKey(channel),
        channel_state=None if channel is None else ENROLLMENT_STATES[channel_state],
        next_command=None if uuid is None else PendingCommand(CommandUUID(uuid), request_type, payload),
        deferred=bool(deferred),
    )
