"""A store whose writes are checked and then undone: what `--dry-run` runs an operation on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey, Presented
from bramley.storage.protocols import Store, Tx, Watch

T = TypeVar("T")


class _Undo(Exception):
    """Ends a transaction that went well, so that the store rolls it back."""

    def __init__(self, result: object) -> None:
        self.result = result


class DryRun(Store):
    """Gives the results of a store and leaves nothing in it. Each transaction sees the store as it was."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, fn: Callable[[Tx], T]) -> T:
        kept: list[T] = []

        def attempt(tx: Tx) -> None:
            kept.append(fn(tx))
            raise _Undo(kept)

        try:
            await self._store.run(attempt)
        except _Undo:
            return kept[-1]
        raise AssertionError("the transaction cannot have ended well")

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self._store.read(fn)

    async def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        return await self._store.presented(certificate_sha256, user_id)

    def saw(self, key: EnrollmentKey, now: datetime) -> None:
        """Nothing is noted."""

    def sent(self, uuid: CommandUUID, now: datetime) -> None:
        """Nothing is noted."""

    def watch(self) -> Watch:
        return self._store.watch()

    async def close(self) -> None:
        await self._store.close()
