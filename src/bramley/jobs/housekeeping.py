"""The server's own upkeep: its certificates replaced in time, and what has run out swept away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import approvals, authorities, scep_ra, server_certificates
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
        """Replaces the HTTPS, the profile-signing and the RA's certificate when they are due."""
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
            # as they are now: a rollover may have changed the issuing CA since this server last looked
            current = authorities.load(tx, installation.sealer)
            scep_ra.ensure(tx, installation, current, now=now, actor="job:own-certificates")

        await installation.store.run(ensure)
        return [DONE] * len(jobs)

    async def sweep(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Deletes challenges that expired, and SCEP requests, jobs and waves that ended, a month ago.

        SCEP requests that waited for too long are denied first. Events and certificates are never deleted.
        """
        installation = self._live.installation
        now, patience = installation.clock.now(), timedelta(days=installation.settings.scep.approval_days)
        before = now - KEPT

        def delete(tx: Tx) -> None:
            approvals.expire(tx, now=now, after=patience, actor="job:sweep")
            tx.approvals.sweep(before)
            tx.challenges.sweep(before)
            tx.jobs.sweep(before)
            tx.waves.sweep(before)

        await installation.store.run(delete)
        return [DONE] * len(jobs)
