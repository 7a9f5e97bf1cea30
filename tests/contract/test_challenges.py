"""Challenges are spent once; links are used as often as they allow."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bramley.model.enrollments import Challenge, Purpose
from bramley.model.lineages import VersionID
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, SECOND, challenge, enrollment, link, store_all


async def spend(store: Store, of: Challenge, message: str) -> bool:
    issued = VersionID(f"version for {message}")
    return await store.run(lambda tx: tx.challenges.spend(of.id, NOW, message_sha256=message, version_id=issued))


async def test_a_challenge_is_spent_once_and_remembers_on_what(store: Store) -> None:
    device = enrollment()
    fresh = challenge(device)
    await store_all(store, device, fresh)
    assert await store.read(lambda tx: tx.challenges.by_hash(fresh.secret_sha256)) == fresh
    assert await store.read(lambda tx: tx.challenges.by_hash("unknown")) is None
    assert await spend(store, fresh, "first")
    assert not await spend(store, fresh, "second")
    spent = replace(fresh, spent_at=NOW, spent_on="first", version_id=VersionID("version for first"))
    assert await store.read(lambda tx: tx.challenges.by_hash(fresh.secret_sha256)) == spent


async def test_of_fifty_at_once_one_spends_it(store: Store) -> None:
    device = enrollment()
    wanted = challenge(device)
    await store_all(store, device, wanted)
    won = await asyncio.gather(*(spend(store, wanted, f"message {number}") for number in range(50)))
    assert won.count(True) == 1
    stored = await store.read(lambda tx: tx.challenges.by_hash(wanted.secret_sha256))
    assert stored is not None
    assert stored.spent_on == f"message {won.index(True)}"


async def test_a_transaction_that_fails_has_not_spent_it(store: Store) -> None:
    device = enrollment()
    wanted = challenge(device)
    await store_all(store, device, wanted)

    def issue_badly(tx: Tx) -> None:
        assert tx.challenges.spend(wanted.id, NOW, message_sha256="m", version_id=VersionID("v"))
        raise ArithmeticError("the CA is offline")

    with pytest.raises(ArithmeticError):
        await store.run(issue_badly)
    assert await spend(store, wanted, "second try")


async def test_void_ends_the_unspent_ones_of_one_enrollment_and_purpose(store: Store) -> None:
    one, other = enrollment("1"), enrollment("2")
    spent, unspent, renewal, others = (
        challenge(one, "spent"),
        challenge(one, "unspent"),
        challenge(one, "renewal", Purpose.RENEW),
        challenge(other, "other's"),
    )
    await store_all(store, one, other, spent, unspent, renewal, others)
    assert await spend(store, spent, "m")
    assert await store.run(lambda tx: tx.challenges.void(one.key, Purpose.ENROLL, NOW + DAY)) == 1
    assert not await spend(store, unspent, "m")
    assert await spend(store, renewal, "m")
    assert await spend(store, others, "m")
    kept = await store.read(lambda tx: tx.challenges.by_hash(spent.secret_sha256))
    assert kept is not None
    assert kept.spent_at == NOW


async def test_sweep_deletes_what_expired(store: Store) -> None:
    device = enrollment()
    ends = {"old": NOW - SECOND, "just ending": NOW, "living": NOW + DAY}
    await store_all(store, device, *(challenge(device, name, expires_at=end) for name, end in ends.items()))
    assert await store.run(lambda tx: tx.challenges.sweep(NOW)) == 1
    assert await store.read(lambda tx: tx.challenges.by_hash("sha256 of old")) is None
    assert await store.read(lambda tx: tx.challenges.by_hash("sha256 of just ending")) is not None


async def test_a_link_is_used_as_often_as_it_allows(store: Store) -> None:
    twice = link(uses_allowed=2, udid="UDID")
    await store_all(store, twice)
    assert await store.read(lambda tx: tx.links.get(twice.id)) == twice
    assert await store.read(lambda tx: tx.links.by_hash(twice.token_sha256)) == twice
    used = await asyncio.gather(*(store.run(lambda tx: tx.links.use(twice.id)) for _ in range(5)))
    assert used.count(True) == 2
    assert await store.read(lambda tx: tx.links.get(twice.id)) == replace(twice, uses=2)
    assert not await store.run(lambda tx: tx.links.use("no such link"))
    assert await store.read(lambda tx: tx.links.by_hash("unknown")) is None
