"""A few threads, each with a session while it works. A session that the server has ended is replaced."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

from bramley.storage.postgres.session import Session
from bramley.storage.transaction import Outcome

T = TypeVar("T")


class Workers:
    """Connects as much as is asked for at once, up to a number. Its methods are called on the event loop."""

    def __init__(self, connect: Callable[[], Session], count: int, name: str) -> None:
        self._connect = connect
        self._idle: deque[Session] = deque()
        self._threads = ThreadPoolExecutor(count, f"bramley-{name}")

    async def run(self, work: Callable[[Session], T]) -> T:
        """What the work returns or raises. Work that waits for a thread when its caller is cancelled is not begun."""
        loop = asyncio.get_running_loop()
        # an Outcome, since a future cannot hold every exception
        outcome = await loop.run_in_executor(self._threads, self._do, work)
        if outcome.error is not None:
            raise outcome.error
        return cast(T, outcome.value)

    async def close(self) -> None:
        """Lets what was asked for end, then lets go of the connections."""
        await asyncio.to_thread(self._threads.shutdown)
        while self._idle:
            self._idle.pop().close()

    def _do(self, work: Callable[[Session], object]) -> Outcome:
        try:
            session = self._take()
        except BaseException as error:
            return Outcome(error=error)
        try:
            return Outcome(work(session))
        except BaseException as error:
            return Outcome(error=error)
        finally:
            if session.usable:
                self._idle.append(session)
            else:
                session.close()

    def _take(self) -> Session:
        # the last used first: what is not needed any more stays idle, and its absence is never waited for
        while self._idle:
            try:
                session = self._idle.pop()
            except IndexError:
                break  # another thread was faster
            if session.usable:
                return session
            session.close()
        return self._connect()
