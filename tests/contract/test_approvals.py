"""SCEP requests that wait for a person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bramley.model.approvals import Approval, ApprovalState
from bramley.model.enrollments import EnrollmentKey, Purpose
from bramley.model.lineages import VersionID
from bramley.storage.errors import NotFound
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, SECOND, enrollment, store_all

DEVICE = enrollment()


def approval(name: str = "1", state: ApprovalState = ApprovalState.WAITING) -> Approval:
    key, signer = EnrollmentKey(DEVICE.key), f"signer of {name}"
    sealed = b"sealed \x00 CSR"
    return Approval(name, f"transaction {name}", signer, f"key of {name}", sealed, key, Purpose.ENROLL, state, NOW, NOW)


async def add(store: Store, *approvals: Approval) -> None:
    await store_all(store, DEVICE)

    def all_of_them(tx: Tx) -> None:
        for each in approvals:
            tx.approvals.add(each)

    await store.run(all_of_them)


async def test_a_request_comes_back_as_it_was(store: Store) -> None:
    kept = approval()
    await add(store, kept)
    assert await store.read(lambda tx: tx.approvals.get("1")) == kept
    assert await store.read(lambda tx: tx.approvals.get("2")) is None


async def test_is_found_by_transaction_and_signer_together_and_the_newest_counts(store: Store) -> None:
    first, other = approval("1"), approval("2")
    again = replace(first, id="3", spki_sha256="another key")
    await add(store, first, other, again)

    async def find(transaction: str, signer: str) -> Approval | None:
        return await store.read(lambda tx: tx.approvals.find(transaction, signer))

    assert await find("transaction 1", "signer of 1") == again
    assert await find("transaction 2", "signer of 2") == other
    assert await find("transaction 1", "signer of 2") is None
    assert await find("transaction 3", "signer of 1") is None


async def test_the_newest_is_the_one_added_last_whatever_it_is_called(store: Store) -> None:
    """Ids begin with a millisecond, and within it they are random."""
    await add(store, *(replace(approval("1"), id=each) for each in ("2", "3", "1")))

    newest = await store.read(lambda tx: tx.approvals.find("transaction 1", "signer of 1"))
    assert newest is not None
    assert newest.id == "1"
    assert [each.id for each in await store.read(lambda tx: tx.approvals.listing())] == ["1", "3", "2"]


async def test_an_update_stores_the_decision_and_nothing_else(store: Store) -> None:
    kept = approval()
    await add(store, kept)
    decided = replace(
        kept, state=ApprovalState.APPROVED, changed_at=NOW + SECOND, decided_by="admin:ann", version_id=VersionID("issued")
    )
    await store.run(lambda tx: tx.approvals.update(replace(decided, transaction_id="of another", request=b"another")))
    assert await store.read(lambda tx: tx.approvals.get("1")) == decided
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.approvals.update(approval("2")))


async def test_are_listed_by_state_newest_first(store: Store) -> None:
    kept = [approval("1"), approval("2", ApprovalState.DENIED), approval("3")]
    await add(store, *kept)

    async def listed(state: ApprovalState | None, limit: int = 100) -> list[str]:
        return [each.id for each in await store.read(lambda tx: tx.approvals.listing(state, limit=limit))]

    assert await listed(None) == ["3", "2", "1"]
    assert await listed(ApprovalState.WAITING) == ["3", "1"]
    assert await listed(ApprovalState.APPROVED) == []
    assert await listed(ApprovalState.WAITING, 1) == ["3"]


async def test_are_swept_by_their_last_change(store: Store) -> None:
    old, changed = approval("1"), replace(approval("2"), changed_at=NOW + DAY)
    await add(store, old, changed)
    assert await store.run(lambda tx: tx.approvals.sweep(NOW + SECOND)) == 1
    assert [each.id for each in await store.read(lambda tx: tx.approvals.listing())] == ["2"]
