"""Writing down refusals, without letting whoever is refused fill the database."""

from __future__ import annotations

from datetime import timedelta

from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx

WINDOW = timedelta(minutes=1)
PER_WINDOW = 100
"""Events of one kind within the window; beyond it refusals are only counted in the metrics and logged."""


async def record(
    installation: Installation,
    kind: EventKind,
    reason: str,
    *,
    message: str = "",
    actor: str = "device:",
    enrollment: EnrollmentKey | None = None,
) -> None:
    """Appends a security event: what was refused and why; nothing of what the sender sent beyond `message`."""
    now = installation.clock.now()

    def append(tx: Tx) -> None:
        latest = tx.events.find(kind=kind, limit=PER_WINDOW)
        if len(latest) == PER_WINDOW and now - latest[-1].at < WINDOW:
            return
        tx.events.append(Event(now, kind, actor, enrollment, detail={"reason": reason, "message": message}))

    await installation.store.run(append)
