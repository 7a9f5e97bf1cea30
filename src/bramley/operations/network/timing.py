"""What is to be done about an assignment by now, and when to look at it again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bramley.lifecycle import schedule
from bramley.model.enrollments import EnrollmentState
from bramley.model.lineages import Policy, Version
from bramley.model.networks import NetworkAssignment, NetworkState
from bramley.operations.network.sending import OVER, WAKE_EVERY


class Act(StrEnum):
    SEND = "send"
    WAKE = "wake"
    """It was sent, and a push may help."""
    ASK = "ask"
    """It is installed, and has not been seen yet: the device is asked for its certificates."""
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Move:
    """What to do, and when to look again where it was done; None: not before something happens."""

    act: Act
    look_at: datetime | None


def move(
    assignment: NetworkAssignment,
    state: EnrollmentState,
    in_force: tuple[Version, Policy] | None,
    now: datetime,
    *,
    patience: timedelta,
) -> Move:
    """`state` is the enrollment's, `in_force` the active certificate with its lineage's policy.

    A device that is not active is left alone. One that is silent is pushed to daily, and after `patience` sent a new right.
    """
    if assignment.state in OVER:
        return Move(Act.WAIT, None)
    if state is not EnrollmentState.ACTIVE:
        return Move(Act.WAIT, now + WAKE_EVERY)
    if assignment.state is NetworkState.SENT:
        silent = assignment.sent_at is None or now - assignment.sent_at >= patience
        return Move(Act.SEND if silent else Act.WAKE, now + WAKE_EVERY)
    if assignment.state is NetworkState.FAILED:
        return Move(Act.SEND, now + WAKE_EVERY)
    if in_force is None:
        return Move(Act.ASK, now + WAKE_EVERY)
    due = schedule.due_at(*in_force)
    if due is not None and now >= due:
        return Move(Act.SEND, now + WAKE_EVERY)
    return Move(Act.WAIT, due)
