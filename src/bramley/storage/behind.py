"""What may be lost in a crash is written behind: gathered for a second, then written in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from bramley.errors import OutsideTrouble
from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.storage.transaction import SQLTransaction

PERIOD_SECONDS = 1.0


class Write(Protocol):
    """Runs a call in one durable transaction."""

    def __call__(self, call: Callable[[SQLTransaction], None], /) -> Awaitable[None]: ...


class Behind:
    """The last time each enrollment was seen and each command handed out. Used on the event loop only."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._seen: dict[EnrollmentKey, datetime] = {}
        self._sent: dict[CommandUUID, datetime] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def saw(self, key: EnrollmentKey, now: datetime) -> None:
        self._seen[key] = now
        self._expect_flush()

    def sent(self, uuid: CommandUUID, now: datetime) -> None:
        self._sent[uuid] = now
        self._expect_flush()

    def _expect_flush(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PERIOD_SECONDS, self._begin_flush)

    def _begin_flush(self) -> None:
        self._timer = None
        self._flushing = asyncio.get_running_loop().create_task(self._flush_or_wait(), name="bramley-write-behind")

    async def _flush_or_wait(self) -> None:
        try:
            await self.flush()
        except OutsideTrouble:
            # kept for the next second; whoever writes something that matters hears of the trouble
            self._expect_flush()

    async def flush(self) -> None:
        """Writes what was noted; keeps it where that fails."""
        seen, self._seen = self._seen, {}
        sent, self._sent = self._sent, {}
        if not seen and not sent:
            return

        def note(tx: SQLTransaction) -> None:
            if seen:
                tx.enrollments.note_seen(seen)
            if sent:
                tx.commands.note_sent(sent)

        try:
            await self._write(note)
        except BaseException:
            self._seen = seen | self._seen
            self._sent = sent | self._sent
            raise

    async def close(self) -> None:
        """The last flush."""
        if self._flushing is not None:
            await self._flushing
        if self._timer is not None:
            self._timer.cancel()
        await self.flush()
