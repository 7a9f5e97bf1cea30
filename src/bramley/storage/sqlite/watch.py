"""Notices what other processes commit, by asking SQLite twice a second while somebody wants to know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PERIOD_SECONDS = 0.5


class Watch:
    """Compares the number of foreign commits with the one last reported, so nothing falls between two waits.

    It reports to everyone who waits at the time; of several, one that was busy then is not told again.
    """

    def __init__(self, foreign_commits: Callable[[], Awaitable[int]], seen: int) -> None:
        self._foreign_commits = foreign_commits
        self._seen = seen
        self._reports = 0

    async def changed(self) -> None:
        reported_before = self._reports
        while True:
            current = await self._foreign_commits()
            if current != self._seen:
                self._seen = current
                self._reports += 1
            if self._reports != reported_before:
                return
            await asyncio.sleep(PERIOD_SECONDS)
