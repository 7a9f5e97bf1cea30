"""Commands for devices, from queueing to the stored answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NewType

if TYPE_CHECKING:
    from bramley.model.enrollments import EnrollmentKey

CommandUUID = NewType("CommandUUID", str)

RENEWAL_ANSWERED: Final = "renewal-answered"
"""The job that the answer to a renewal's InstallProfile releases, and by which a renewal is known among commands."""


class CommandState(StrEnum):
    """`queued` and `not-now` are pending; the rest are ends. One leaves the queue only with a stored answer, or cancelled."""

    QUEUED = "queued"
    NOT_NOW = "not-now"
    ACKNOWLEDGED = "acknowledged"
    ERROR = "error"
    COMMAND_FORMAT_ERROR = "command-format-error"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Command:
    """One command for one channel.

    `payload` is the whole plist `{CommandUUID, Command}` as the device will get it, sealed, since profiles carry secrets. A
    renewal's may hold a private key, and is empty once the command has ended.
    `answer` is the device's last report, raw XML. `job_on_answer` names a job kind that a final answer releases.
    """

    uuid: CommandUUID
    enrollment_key: EnrollmentKey
    request_type: str
    payload: bytes
    state: CommandState
    created_at: datetime
    created_by: str
    sent_at: datetime | None = None
    answered_at: datetime | None = None
    not_now_count: int = 0
    answer: bytes | None = None
    job_on_answer: str | None = None


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """What the hot path needs to hand a command out."""

    uuid: CommandUUID
    request_type: str
    payload: bytes
