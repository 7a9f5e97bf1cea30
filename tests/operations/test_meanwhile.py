"""What is judged before a transaction counts for what the transaction finds: an enrollment that has changed takes nothing."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import pytest

from bramley.mdm.commands import InstallProfile
from bramley.operations import device_commands
from bramley.operations.errors import Conflict
from bramley.storage.protocols import Store, Tx

from .test_replacements import Desk, desk, sit

__all__ = ["desk", "sit"]

T = TypeVar("T")


class _Meanwhile:
    """The store, in which something else happens before the next transaction."""

    def __init__(self, store: Store, change: Callable[[Tx], None]) -> None:
        self._store, self._change = store, change
        self.read = store.read

    async def run(self, fn: Callable[[Tx], T]) -> T:
        await self._store.run(self._change)
        return await self._store.run(fn)


@pytest.mark.parametrize("changes", [{"topic": "other"}, {"invariants": "former:1"}])
async def test_one_whose_enrollment_changes_while_it_is_judged_is_not_queued(desk: Desk, changes: dict[str, Any]) -> None:
    store, request = desk.live.installation.store, InstallProfile(plistlib.dumps(desk.profile))
    changed = replace(desk.device, **changes)
    meanwhile = cast("Store", _Meanwhile(store, lambda tx: tx.enrollments.update(changed)))
    with pytest.raises(Conflict, match="changed while"):
        await device_commands.send(replace(desk.live.installation, store=meanwhile), "udid", request, actor="test")
    assert await store.read(lambda tx: (tx.commands.count_pending(), tx.jobs.of_kind("push"))) == (0, [])
