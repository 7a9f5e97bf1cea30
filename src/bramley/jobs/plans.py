"""Plans: the steps that are due are taken, and what will need a plan is told of in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import structlog

from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import ca_plan, ca_rollover
from bramley.operations.live import Live

EVERY: Final = timedelta(hours=1)
_ACTOR: Final = "job:plans"


class Plans:
    """Handles `ca_plan.ADVANCE` jobs: the periodic one, and the one that each new plan leaves."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._log = structlog.get_logger("plans")

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Takes the steps that are due. Where the next one waits for a moment before the next round, it is taken then."""
        installation = self._live.installation
        again = await ca_plan.advance(installation, actor=_ACTOR)
        if await ca_rollover.watch_over(installation, actor=_ACTOR):
            self._log.warning("the identity CA is due to be rolled over")
        if again is None or (wait := again - installation.clock.now()) >= EVERY:
            return [DONE] * len(jobs)
        return [Outcome(retry_after=max(wait, timedelta(seconds=1)))] * len(jobs)
