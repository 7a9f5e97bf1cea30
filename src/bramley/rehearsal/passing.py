"""Time that goes by on a stage: at once, and then the server does what is due."""

from __future__ import annotations

from functools import partial

from bramley.clock import Clock
from bramley.jobs.runner import LEASE
from bramley.rehearsal.stage import Stage
from bramley.storage.protocols import Tx


async def at_rest(stage: Stage, patience: float) -> None:
    """Returns when no job is due or running on the stage. TooSlow after so many seconds of the machine."""
    await stage.until("the jobs that are due", partial(_at_rest, clock=stage.clock), patience)


def _at_rest(tx: Tx, *, clock: Clock) -> bool:
    """Whatever is running has a lease that ends before long."""
    next_run_at = tx.jobs.next_run_at()
    return next_run_at is None or next_run_at > clock.now() + LEASE
