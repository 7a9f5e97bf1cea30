"""How many may be inside: open connections, counted in all and by address, before anything is spent on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from bramley.web.addresses import origin, parse
from bramley.web.metrics import Metrics
from bramley.web.proxy import Proxies

CROWDED: Final = 0.5
"""The share of a cap from which connections end with their answer: those who wait come before those who have been served."""


class Door:
    """Where connections come in. `per_address` does not count for proxies, each of which speaks for many."""

    def __init__(self, total: int, per_address: int, proxies: Proxies, metrics: Metrics) -> None:
        self._total, self._per_address = total, per_address
        self._proxies, self._metrics = proxies, metrics
        self._open = 0
        self._by_origin: Counter[str] = Counter()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def has_room(self) -> bool:
        return self._open < self._total

    async def room(self) -> None:
        """Returns once there is room for one more; until then, newcomers wait outside, in the kernel's queue."""
        while not self.has_room:
            self._room.clear()
            await self._room.wait()

    def enter(self, address: str, *, in_clear: bool) -> Place | None:
        """A place for a new connection; None where its address has as many as it may.

        In clear, without TLS, only proxies and this machine itself get one.
        """
        proxy = self._proxies.trusts(address)
        found = parse(address)
        if in_clear and not proxy and not (found and found.is_loopback):
            self._metrics.turned_away("in-clear")
            return None
        counted = None if proxy else origin(address)
        if counted is not None:
            if self._by_origin[counted] >= self._per_address:
                self._metrics.turned_away("per-address")
                return None
            self._by_origin[counted] += 1
        self._open += 1
        self._metrics.connections.set(self._open)
        return Place(self, counted)

    def crowded(self, counted: str | None) -> bool:
        if self._open > self._total * CROWDED:
            return True
        return counted is not None and self._by_origin[counted] > self._per_address * CROWDED

    def leave(self, counted: str | None) -> None:
        self._open -= 1
        self._metrics.connections.set(self._open)
        if counted is not None:
            self._by_origin[counted] -= 1
            if not self._by_origin[counted]:
                del self._by_origin[counted]
        self._room.set()


class Place:
    """One connection's place inside."""

    __slots__ = ("_counted", "_door", "_taken")

    def __init__(self, door: Door, counted: str | None) -> None:
        self._door, self._counted, self._taken = door, counted, True

    @property
    def crowded(self) -> bool:
        """Whether so many are inside that this connection should end with its answer."""
        return self._door.crowded(self._counted)

    def leave(self) -> None:
        """Gives the place up; a second time does nothing."""
        if self._taken:
            self._taken = False
            self._door.leave(self._counted)
