"""A clock for demonstrations of expiry: the machine's own, moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bramley.clock import Clock, SystemClock


@dataclass(slots=True)
class ShiftedClock:
    """The machine's time plus `shift`, which may be changed while the clock is in use."""

    shift: timedelta = timedelta()
    base: Clock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        return self.base.now() + self.shift

    async def sleep_until(self, moment: datetime) -> None:
        await self.base.sleep_until(moment - self.shift)
