"""Plans: how far a replacement is survives everything, and there is one at a time for a lineage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Version
from bramley.model.plans import Plan, PlanID, PlanKind, PlanStage, PlanState
from bramley.storage.errors import Conflict, NotFound
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, Open, lineage, store_all, version

CA = lineage("ca", Kind.IDENTITY_CA)
OLD, NEW = version(CA, 1), version(CA, 2)


def plan(name: str = "1", of: Lineage = CA, old: Version = OLD, new: Version = NEW, **fields: Any) -> Plan:
    stage, state = PlanStage.PREPARED, PlanState.RUNNING
    made = Plan(PlanID(name), PlanKind.CA_ROLLOVER, of.id, old.id, new.id, stage, state, NOW, "cli", NOW)
    return replace(made, **fields)


@pytest.fixture
async def store(store: Store) -> Store:
    """One with a CA of two versions."""
    await store_all(store, CA, OLD, NEW)
    return store


async def add(store: Store, *plans: Plan) -> None:
    def put(tx: Tx) -> None:
        for each in plans:
            tx.plans.add(each)

    await store.run(put)


async def test_a_plan_comes_back_as_it_was(store: Store) -> None:
    made = plan(detail={"use_from": NOW.isoformat(), "n": 1, "list": ["é", None, True]}, changed_at=NOW + DAY)
    await add(store, made)
    assert await store.read(lambda tx: tx.plans.get(made.id)) == made
    assert await store.read(lambda tx: tx.plans.get(PlanID("nothing"))) is None


@pytest.mark.parametrize("stage", PlanStage)
async def test_an_update_stores_what_may_change(store: Store, stage: PlanStage) -> None:
    made = plan()
    await add(store, made)
    change = replace(made, stage=stage, changed_at=NOW + DAY, detail={"continued_by": "2"})
    forged = replace(change, old=NEW.id, new=OLD.id, created_at=NOW + DAY, created_by="forged")
    await store.run(lambda tx: tx.plans.update(forged))
    assert await store.read(lambda tx: tx.plans.get(made.id)) == change
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.plans.update(plan("nowhere")))


async def test_one_runs_at_a_time_for_a_lineage(store: Store) -> None:
    other = lineage("other", Kind.HTTPS_CA)
    await store_all(store, other)
    await add(store, plan("1"), plan("2", of=other))
    with pytest.raises(Conflict):
        await add(store, plan("3"))
    assert [each.id for each in await store.read(lambda tx: tx.plans.running())] == ["1", "2"]
    assert [each.id for each in await store.read(lambda tx: tx.plans.running(CA.id))] == ["1"]
    assert await store.read(lambda tx: tx.plans.running(LineageID("unknown"))) == []


@pytest.mark.parametrize("state", [PlanState.DONE, PlanState.CANCELLED])
async def test_one_that_has_ended_makes_room(store: Store, state: PlanState) -> None:
    await add(store, plan("1"))

    def take_over(tx: Tx) -> None:
        tx.plans.update(plan("1", state=state))
        tx.plans.add(plan("2"))

    await store.run(take_over)
    assert [each.id for each in await store.read(lambda tx: tx.plans.running())] == ["2"]
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.plans.update(plan("1")))


async def test_the_latest_come_first(store: Store) -> None:
    await add(store, *(plan(name, state=PlanState.DONE) for name in ("1", "3", "2")))
    assert [each.id for each in await store.read(lambda tx: tx.plans.recent())] == ["3", "2", "1"]
    assert [each.id for each in await store.read(lambda tx: tx.plans.recent(limit=1))] == ["3"]


async def test_another_process_sees_it(store: Store, open_again: Open) -> None:
    await add(store, plan())
    other = await open_again()
    await other.run(lambda tx: tx.plans.update(plan(stage=PlanStage.USED)))
    found = await store.read(lambda tx: tx.plans.running())
    assert [each.stage for each in found] == [PlanStage.USED]
