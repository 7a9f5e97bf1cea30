"""Notices commits: this process's own at once, others' by asking SQLite twice a second while somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bramley.storage.watch import Commits

PERIOD_SECONDS = 0.5


class PolledCommits(Commits):
    """Counts commits. `foreign_commits` asks for a number that changes with those of other connections."""

    def __init__(self, foreign_commits: Callable[[], Awaitable[int]], seen: int) -> None:
        super().__init__()
        self._foreign_commits = foreign_commits
        self._foreign_seen = seen

    async def wait(self) -> None:
        """Until there was one, or until it was time to ask about other processes."""
        try:
            async with asyncio.timeout(PERIOD_SECONDS):
                await super().wait()
        except TimeoutError:
            current = await self._foreign_commits()
            if current != self._foreign_seen:
                self._foreign_seen = current
                self.happened()
