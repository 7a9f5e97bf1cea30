"""CRLs and OCSP responders kept ready, so that nobody who asks has to wait for one to be made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import ocsp, revocation
from bramley.operations.live import Live

REVOCATION_UPKEEP: Final = "revocation-upkeep"
_ACTOR: Final = "job:revocation"


class Revocations:
    """The handlers of what is published on revocation."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def publish(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """Publishes what has changed or is due."""
        await revocation.publish_due(self._live.installation, actor=_ACTOR)
        return [DONE] * len(jobs)

    async def upkeep(self, jobs: Sequence[Job]) -> Sequence[Outcome]:
        """As `publish`, and replaces the OCSP responders that are due; those that have ended lose their keys."""
        await ocsp.ensure_responders(self._live.installation, actor=_ACTOR)
        await ocsp.retire_responders(self._live.installation, actor=_ACTOR)
        return await self.publish(jobs)
