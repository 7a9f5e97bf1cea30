"""Recovery keys: the latest is in force, and every one is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bramley.model.enrollments import EnrollmentID
from bramley.model.kinds import Kind
from bramley.model.recovery_keys import RecoveryKey
from bramley.storage.errors import NotFound
from bramley.storage.protocols import Store
from tests.conftest import NOW

from .kit import DAY, lineage, store_all, version

ANN, BOB = EnrollmentID("UDID ann"), EnrollmentID("UDID bob")
ESCROW = lineage(ANN, Kind.FILEVAULT_ESCROW)
CERTIFICATE = version(ESCROW)


@pytest.fixture
async def store(store: Store) -> Store:
    await store_all(store, ESCROW, CERTIFICATE)
    return store


def key(name: str, device: EnrollmentID = ANN, **fields: Any) -> RecoveryKey:
    return replace(RecoveryKey(name, device, CERTIFICATE.id, b"\x30sealed " + name.encode(), NOW), **fields)


async def add(store: Store, *keys: RecoveryKey) -> None:
    for each in keys:
        await store.run(lambda tx, each=each: tx.recovery_keys.add(each))  # type: ignore[misc]


async def test_the_latest_is_in_force_and_the_others_are_kept(store: Store) -> None:
    first, second, other = key("1"), key("2", received_at=NOW + DAY), key("3", BOB)
    await add(store, first, second, other)
    assert await store.read(lambda tx: tx.recovery_keys.of(ANN)) == [second, replace(first, replaced_at=NOW + DAY)]
    assert await store.read(lambda tx: tx.recovery_keys.of(EnrollmentID("nobody"))) == []
    assert await store.read(lambda tx: tx.recovery_keys.current(limit=9)) == [second, other]
    assert await store.read(lambda tx: tx.recovery_keys.current(limit=1)) == [second]
    assert await store.read(lambda tx: tx.recovery_keys.current(limit=9, after=ANN)) == [other]


async def test_one_for_no_certificate_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        await add(store, key("1", version_id="nothing"))
    assert await store.read(lambda tx: tx.recovery_keys.of(ANN)) == []
