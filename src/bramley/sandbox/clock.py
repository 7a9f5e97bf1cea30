"""A clock for demonstrations of expiry: the machine's own, moved."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from bramley.clock import SystemClock


class ShiftedClock:
    """The machine's time plus `shift`, which may be changed while the clock is in use, in the event loop of its sleepers."""

    def __init__(self, shift: timedelta = timedelta()) -> None:
        self._shift = shift
        self._machine = SystemClock()
        self._sleepers: set[asyncio.Future[None]] = set()

    @property
    def shift(self) -> timedelta:
        return self._shift

    @shift.setter
    def shift(self, shift: timedelta) -> None:
        self._shift = shift
        for woken in self._sleepers:
            if not woken.done():
                woken.set_result(None)

    def now(self) -> datetime:
        return self._machine.now() + self._shift

    async def sleep_until(self, moment: datetime) -> None:
        """Returns at the moment, or once the clock is moved there or beyond. One that is moved back makes it later."""
        while (left := moment - self.now()) > timedelta():
            woken = asyncio.get_running_loop().create_future()
            self._sleepers.add(woken)
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left.total_seconds()):
                        await woken
            finally:
                self._sleepers.discard(woken)
