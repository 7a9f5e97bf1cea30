"""What is judged before a transaction counts for what the transaction finds: an enrollment that has changed takes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, cast

import pytest

from bramley.mdm.commands import RemoveProfile
from bramley.mdm.token_update import DELIVER_PROFILES
from bramley.model.enrollments import EnrollmentState
from bramley.model.profiles import TargetKind
from bramley.operations import device_commands
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, delivery, keeping
from bramley.operations.profiles.assigning import Target
from bramley.pki.keys import PrivateKey
from bramley.storage.protocols import Store, Tx

from .conftest import enrolled
from .test_profile_checks import UDID
from .test_profiles import written
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


def amid(installation: Installation, change: Callable[[Tx], None]) -> Installation:
    """The installation, in which this happens after what is to be written was read, and before it is written."""
    return replace(installation, store=cast("Store", _Meanwhile(installation.store, change)))


async def test_one_whose_enrollment_changes_while_it_is_judged_is_not_queued(desk: Desk) -> None:
    here, request = desk.live.installation, RemoveProfile("example.wifi")
    changed = replace(desk.device, invariants="former:1")
    with pytest.raises(Conflict, match="changed while"):
        await device_commands.send(amid(here, lambda tx: tx.enrollments.update(changed)), "udid", request, actor="test")
    assert await here.store.read(lambda tx: (tx.commands.count_pending(), tx.jobs.of_kind("push"))) == (0, [])


async def test_a_profile_that_is_replaced_while_it_is_made_is_left_to_the_next_time(
    live: Live, device_keys: list[PrivateKey]
) -> None:
    here, key = live.installation, await enrolled(live, device_keys[0], UDID)
    former = (await keeping.put(here, written(), actor="test")).profile
    await assigning.assign(here, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
    next_one = replace(former, revision=2)
    amidst = Live(amid(here, lambda tx: tx.profiles.update(next_one)), live.current())
    assert await delivery.deliver(amidst, key, actor="test") == 0
    assert await here.store.read(lambda tx: (tx.commands.pending(key), tx.profiles.on_device(key))) == ([], [])
    jobs = await here.store.read(lambda tx: tx.jobs.of_kind(DELIVER_PROFILES))
    assert key in [job.args["enrollment_key"] for job in jobs]
    assert await delivery.deliver(live, key, actor="test") == 1


async def test_a_device_that_leaves_while_its_profile_is_made_is_sent_none(live: Live, device_keys: list[PrivateKey]) -> None:
    here, key = live.installation, await enrolled(live, device_keys[0], UDID)
    await keeping.put(here, written(), actor="test")
    await assigning.assign(here, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")

    def leave(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, state=EnrollmentState.QUARANTINED))

    assert await delivery.deliver(Live(amid(here, leave), live.current()), key, actor="test") == 0
    assert await here.store.read(lambda tx: (tx.commands.pending(key), tx.profiles.on_device(key))) == ([], [])
