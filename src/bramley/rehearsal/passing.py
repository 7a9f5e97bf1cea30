"""Time that goes by on a stage: at once, and then the server does what is due."""

from __future__ import annotations

from datetime import datetime, timedelta

from bramley.jobs.runner import LEASE
from bramley.rehearsal.stage import Stage
from bramley.sandbox.clock import ShiftedClock
from bramley.storage.protocols import Tx


async def pass_time(stage: Stage, clock: ShiftedClock, time: timedelta, patience: float = 30.0) -> None:
    """Moves the clock of a stage on, once nothing is at work there.

    A periodic job that is under way when the clock is moved is next due a whole round after the move, and what it has seen of
    the world is from before.
    """
    await at_rest(stage, patience)
    clock.shift += time


async def at_rest(stage: Stage, patience: float) -> None:
    """Returns when no job is due or running on the stage. TooSlow after so many seconds of the machine."""
    await stage.until("the jobs that are due", lambda tx: nothing_due(tx, stage.clock.now()), patience)


def nothing_due(tx: Tx, now: datetime) -> bool:
    """Whether no job is due or running. Whatever is running has a lease that ends before long."""
    next_run_at = tx.jobs.next_run_at()
    return next_run_at is None or next_run_at > now + LEASE
