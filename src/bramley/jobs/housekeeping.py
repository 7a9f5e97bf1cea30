"""The server's own upkeep: its certificates replaced in time, and what has run out swept away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import server_certificates
from bramley.operations.live import Live
from bramley.storage.protocols import Tx

OWN_CERTIFICATES: Final = "own-certificates"
SWEEP: Final = "sweep"
KEPT: Final = timedelta(days=30)


class Housekeeping:
    """The handlers of the server's upkeep."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def own_certificates(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Replaces the HTTPS and the profile-signing certificate when they are due."""
        installation, held = self._live.installation, self._live.current().authorities
        now = installation.clock.now()

        def ensure(tx: Tx) -> None:
            server_certificates.ensure(
                tx,
                installation.sealer,
                held,
                host=installation.host,
                organization=installation.settings.organization,
                now=now,
                actor="job:own-certificates",
            )

        await installation.store.run(ensure)
        return [DONE] * len(jobs)

    async def sweep(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Deletes challenges that expired, jobs and waves that ended, a month ago; events and certificates never."""
        before = self._live.installation.clock.now() - KEPT

        def delete(tx: Tx) -> None:
            tx.challenges.sweep(before)
            tx.jobs.sweep(before)
            tx.waves.sweep(before)

        await self._live.installation.store.run(delete)
        return [DONE] * len(jobs)
