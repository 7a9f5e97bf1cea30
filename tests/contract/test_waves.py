"""Waves of pushes and their targets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bramley.model.enrollments import EnrollmentKey
from bramley.model.push import Wave, WaveID, WaveState, WaveTarget
from bramley.storage.errors import Conflict, NotFound
from bramley.storage.protocols import Store
from tests.conftest import NOW

from .kit import DAY, SECOND, Open, wave

KEYS = [EnrollmentKey(name) for name in ("zoe", "ann", "bob")]


async def add(store: Store, *waves: Wave, keys: list[EnrollmentKey] = KEYS) -> None:
    for each in waves:
        await store.run(lambda tx, each=each: tx.waves.add(each, keys))  # type: ignore[misc]


async def untried(store: Store, of: Wave, limit: int = 10) -> list[WaveTarget]:
    return list(await store.read(lambda tx: tx.waves.untried(of.id, limit)))


async def settle(store: Store, *targets: WaveTarget) -> None:
    await store.run(lambda tx: tx.waves.settle(targets))


async def test_a_wave_comes_back_as_it_was(store: Store) -> None:
    of = wave(per_second=1 / 3, label="Über alle", problem="no answer", changed_at=NOW + SECOND)
    await add(store, of)
    assert await store.read(lambda tx: tx.waves.get(of.id)) == of
    assert await store.read(lambda tx: tx.waves.get(WaveID("nothing"))) is None
    with pytest.raises(Conflict):
        await add(store, of)


async def test_its_targets_keep_their_order(store: Store) -> None:
    of = wave()
    await add(store, of, wave("other"))
    assert await untried(store, of) == [WaveTarget(of.id, place, key) for place, key in enumerate(KEYS)]
    assert [target.enrollment_key for target in await untried(store, of, 2)] == ["zoe", "ann"]
    assert await untried(store, wave("unknown")) == []


async def test_an_update_stores_what_may_change(store: Store) -> None:
    of, other = wave(), wave("other")
    await add(store, of, other)
    change = replace(of, state=WaveState.STOPPED, per_second=0.0, changed_at=NOW + DAY, problem="paused")
    await store.run(
        lambda tx: tx.waves.update(replace(change, created_at=NOW + DAY, created_by="forged", label="forged", total=7))
    )
    assert await store.read(lambda tx: tx.waves.get(of.id)) == change
    assert await store.read(lambda tx: tx.waves.get(other.id)) == other
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.waves.update(wave("nowhere")))


async def test_what_was_tried_is_not_tried_again(store: Store) -> None:
    of, other = wave(), wave("other")
    await add(store, of, other)
    first, second, third = await untried(store, of)
    await settle(store, replace(second, outcome="delivered"))
    assert await untried(store, of) == [first, third]
    assert await untried(store, of, 1) == [first]
    await settle(store, replace(first, outcome="Unregistered"), replace(third, outcome="delivered"))
    await settle(store)
    assert await untried(store, of) == []
    assert await store.read(lambda tx: tx.waves.tally(of.id)) == {"delivered": 2, "Unregistered": 1}
    assert await store.read(lambda tx: tx.waves.tally(other.id)) == {None: 3}


async def test_a_tally_counts_what_was_not_tried_as_well(store: Store) -> None:
    of = wave()
    await add(store, of)
    (first, *_rest) = await untried(store, of)
    await settle(store, replace(first, outcome="delivered"))
    assert await store.read(lambda tx: tx.waves.tally(of.id)) == {"delivered": 1, None: 2}
    assert await store.read(lambda tx: tx.waves.tally(WaveID("unknown"))) == {}


async def test_a_wave_to_nobody(store: Store) -> None:
    await add(store, wave(total=0), keys=[])
    assert await untried(store, wave()) == []


async def test_the_latest_come_first(store: Store) -> None:
    await add(store, wave("1"), wave("3"), wave("2"))
    assert [each.id for each in await store.read(lambda tx: tx.waves.recent())] == ["wave 3", "wave 2", "wave 1"]
    assert [each.id for each in await store.read(lambda tx: tx.waves.recent(limit=1))] == ["wave 3"]


async def test_sweep_deletes_what_ended_before(store: Store) -> None:
    moment = NOW + DAY
    old = {"changed_at": moment - SECOND}
    await add(
        store,
        wave("done", WaveState.DONE, **old),
        wave("stopped", WaveState.STOPPED, **old),
        wave("running", WaveState.RUNNING, **old),
        wave("just done", WaveState.DONE, changed_at=moment),
    )
    assert await store.run(lambda tx: tx.waves.sweep(moment)) == 2
    assert {each.id for each in await store.read(lambda tx: tx.waves.recent())} == {"wave running", "wave just done"}
    for name, left in (("done", 0), ("stopped", 0), ("running", 3), ("just done", 3)):
        assert len(await untried(store, wave(name))) == left
    assert await store.run(lambda tx: tx.waves.sweep(moment)) == 0


async def test_another_process_sees_it(open_again: Open) -> None:
    one, other = await open_again(), await open_again()
    await add(one, wave())
    (first, *_rest) = await untried(other, wave())
    await settle(other, replace(first, outcome="delivered"))
    assert len(await untried(one, wave())) == 2
