"""Writing down refusals, without letting whoever is refused fill the database or hide what others did."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx

WINDOW: Final = timedelta(minutes=5)
PER_WINDOW: Final = 20
"""Events within the window of one kind, for one reason, of one enrollment or of strangers; the rest are counted."""

REMEMBERED: Final = 10_000
"""Windows kept. Strangers share few, one for each reason; a window of its own has who showed an identity of ours."""


class _Subject(NamedTuple):
    kind: EventKind
    reason: str
    enrollment: EnrollmentKey | None


@dataclass(slots=True)
class _Window:
    began: datetime
    actor: str
    written: int = 0
    left_out: int = 0


class Refusals:
    """The refusals of one running server."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._windows: OrderedDict[_Subject, _Window] = OrderedDict()

    async def record(
        self,
        kind: EventKind,
        reason: str,
        *,
        message: str = "",
        actor: str = "device:",
        enrollment: EnrollmentKey | None = None,
        most: int = PER_WINDOW,
    ) -> None:
        """Appends a security event: what was refused and why; nothing of what the sender sent beyond `message`.

        Of many that are alike the first, `most` of them, are written, and of the rest the number, as `left_out` in an event of
        its own once their window has passed. What is left out does not reach the database.
        """
        now = self._installation.clock.now()
        events = self._tally(now)
        subject = _Subject(kind, reason, enrollment)
        window = self._windows.setdefault(subject, _Window(now, actor))
        if window.written < most:
            window.written += 1
            events.append(_event(now, subject, actor, {"message": message}))
        else:
            window.left_out += 1
        await self._append(events)

    async def tell_left_out(self, *, all_windows: bool = False) -> None:
        """Writes how many were left out of the windows that have passed, or of all of them."""
        await self._append(self._tally(self._installation.clock.now(), all_windows=all_windows))

    def _tally(self, now: datetime, *, all_windows: bool = False) -> list[Event]:
        """Closes windows, oldest first, and says what was left out of them."""
        events = []
        while self._windows:
            subject, window = next(iter(self._windows.items()))
            passed = all_windows or len(self._windows) > REMEMBERED or not timedelta(0) <= now - window.began < WINDOW
            if not passed:
                break
            del self._windows[subject]
            if window.left_out:
                events.append(_event(now, subject, window.actor, {"left_out": window.left_out}))
        return events

    async def _append(self, events: list[Event]) -> None:
        if not events:
            return

        def append(tx: Tx) -> None:
            for event in events:
                tx.events.append(event)

        await self._installation.store.run(append)


def _event(now: datetime, subject: _Subject, actor: str, detail: Mapping[str, object]) -> Event:
    return Event(now, subject.kind, actor, subject.enrollment, detail={"reason": subject.reason, **detail})
