"""Trying a renewed push certificate out."""

from __future__ import annotations

from collections.abc import Sequence

from bramley.apple.push.reasons import Action, judge
from bramley.jobs.sending import Sender
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations.live import Live
from bramley.operations.push import trial
from bramley.operations.push.trial import Candidate
from bramley.operations.pushing import Sent


class Trials:
    """Handles `push-trial` jobs."""

    def __init__(self, live: Live, sender: Sender) -> None:
        self._live = live
        self._sender = sender

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        return [await self._hold(job) for job in jobs]

    async def _hold(self, job: Job) -> Outcome:
        installation = self._live.installation
        topic = job.args["topic"]
        tried = await installation.store.read(lambda tx: trial.candidate(tx, installation, topic))
        if tried is None:
            return DONE
        sent = await self._push(tried)
        now, pace = installation.clock.now(), installation.settings.push.wakes_per_second
        return await installation.store.run(
            lambda tx: trial.settle(tx, tried, sent, attempts=job.attempts, per_second=pace, now=now)
        )

    async def _push(self, tried: Candidate) -> list[Sent]:
        """Device after device, until one answer settles it: a dead token does not."""
        sent = []
        for probe in tried.probes:
            sent.append(await self._sender.try_out(tried.identity, probe))
            if judge(sent[-1].result) is not Action.STOP_TOKEN:
                break
        return sent
