"""Notices commits: this process's own at once, others' by asking SQLite twice a second while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PERIOD_SECONDS = 0.5


class Commits:
    """Counts commits. `foreign_commits` asks for a number that changes with those of other connections."""

    def __init__(self, foreign_commits: Callable[[], Awaitable[int]], seen: int) -> None:
        self._foreign_commits = foreign_commits
        self._foreign_seen = seen
        self._next = asyncio.Event()
        self.count = 0

    def happened(self) -> None:
        """There was one; whoever waits goes on."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Until there was one, or until it was time to ask about other processes."""
        try:
            async with asyncio.timeout(PERIOD_SECONDS):
                await self._next.wait()
        except TimeoutError:
            current = await self._foreign_commits()
            if current != self._foreign_seen:
                self._foreign_seen = current
                self.happened()


class Watch:
    """One who wants to know of commits, with a memory of the last one heard of: nothing falls between two waits."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._heard_of = commits.count

    async def changed(self) -> None:
        while self._heard_of == self._commits.count:
            await self._commits.wait()
        self._heard_of = self._commits.count
