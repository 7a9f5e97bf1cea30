"""Waves of pushes, a turn at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog

from bramley.errors import OutsideTrouble
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.push import WaveID, WaveState
from bramley.operations import wave_turns
from bramley.operations.live import Live
from bramley.operations.pushing import Sent
from bramley.storage.protocols import Tx


class PushSender(Protocol):
    """What `jobs.sending.Sender` promises to those who push."""

    async def send(self, targets: Sequence[Enrollment]) -> Mapping[EnrollmentKey, Sent]:
        """One push to each, and what came of it; stores nothing."""
        ...


class Waves:
    """Handles `push-wave` jobs. One job carries a wave from its first turn to its last, so one process works on it at a time.

    A turn that was sent and could not be written down is sent again, which no device notices.
    """

    def __init__(self, live: Live, sender: PushSender) -> None:
        self._live = live
        self._sender = sender
        self._log = structlog.get_logger("waves")

    async def __call__(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        return await asyncio.gather(*(self._carry_on(WaveID(job.args["wave_id"])) for job in jobs))

    async def _carry_on(self, wave_id: WaveID) -> Outcome:
        # Nothing is raised: the runner counts a job's attempts over all turns, and would give up a long wave at once.
        try:
            return await self._turn(wave_id)
        except OutsideTrouble as trouble:
            return Outcome(wave_turns.SHORTEST_PAUSE, str(trouble))
        except Exception as error:
            self._log.exception("wave stopped", wave=wave_id)
            await self._stop(wave_id, f"a fault of Bramley ({type(error).__name__}); the server's log says more")
            return Outcome(None, f"{type(error).__name__}: {error}")

    async def _turn(self, wave_id: WaveID) -> Outcome:
        installation = self._live.installation
        began = installation.clock.now()
        turn = await installation.store.read(lambda tx: wave_turns.take(tx, wave_id, now=began))
        if turn is None:
            return DONE
        sent = await self._sender.send(list(turn.ready.values())) if turn.ready else {}
        now = installation.clock.now()
        return await installation.store.run(lambda tx: wave_turns.settle(tx, turn, sent, now=now))

    async def _stop(self, wave_id: WaveID, problem: str) -> None:
        now = self._live.installation.clock.now()

        def halt(tx: Tx) -> None:
            wave = tx.waves.get(wave_id)
            if wave is not None and wave.state is WaveState.RUNNING:
                wave_turns.halt(tx, wave, problem, now=now, actor=wave_turns.ACTOR)

        await self._live.installation.store.run(halt)
