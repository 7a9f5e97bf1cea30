"""Noticing commits: a count of them, and watches that remember which one they last heard of."""

from __future__ import annotations

import asyncio


class Commits:
    """Counts commits. Used on the event loop only."""

    def __init__(self) -> None:
        self._next = asyncio.Event()
        self.count = 0

    def happened(self) -> None:
        """There was one; whoever waits goes on."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def wait(self) -> None:
        """Until there was one; may return earlier."""
        await self._next.wait()


class Watch:
    """One who wants to know of commits, with a memory of the last one heard of: nothing falls between two waits."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._heard_of = commits.count

    async def changed(self) -> None:
        while self._heard_of == self._commits.count:
            await self._commits.wait()
        self._heard_of = self._commits.count
