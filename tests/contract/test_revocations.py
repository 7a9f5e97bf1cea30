"""What is revoked, the CRLs that tell it, and what an issuer has issued."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason, Version, VersionID, VersionState
from bramley.model.revocation import PublishedCRL, Revoked, Tally
from bramley.storage.errors import Conflict, NotFound
from bramley.storage.protocols import Store
from tests.conftest import NOW

from .kit import DAY, SECOND, YEAR, Open, lineage, store_all, version

CA = version(lineage("ca", Kind.IDENTITY_CA))
OTHER = version(lineage("other", Kind.HTTPS_CA))


@pytest.fixture
async def authorities(store: Store) -> None:
    await store_all(store, lineage("ca", Kind.IDENTITY_CA), CA, lineage("other", Kind.HTTPS_CA), OTHER)


async def add(store: Store, name: str, state: VersionState, **fields: Any) -> Version:
    of = lineage(name)
    made = version(of, state=state, **({"issuer_version": CA.id, "serial": name} | fields))
    await store_all(store, of, made)
    return made


def crl(number: int = 1, **fields: Any) -> PublishedCRL:
    return replace(PublishedCRL(CA.id, number, NOW, NOW + DAY, f"CRL {number}".encode()), **fields)


async def of_issuer(store: Store, issuer: VersionID, moment: datetime = NOW) -> list[Revoked]:
    return list(await store.read(lambda tx: tx.revocations.of_issuer(issuer, moment)))


async def published(store: Store, issuer: VersionID = CA.id) -> PublishedCRL | None:
    return await store.read(lambda tx: tx.revocations.crl(issuer))


@pytest.mark.usefixtures("authorities")
async def test_what_is_revoked_or_suspended_of_an_issuer_in_order_of_serial(store: Store) -> None:
    for state in VersionState:
        if state not in {VersionState.REVOKED, VersionState.SUSPENDED}:
            await add(store, f"in state {state}", state)
    await add(store, "c", VersionState.REVOKED, revoked_for=RevocationReason.KEY_COMPROMISE, changed_at=NOW - DAY)
    await add(store, "a", VersionState.SUSPENDED, changed_at=NOW - SECOND)
    await add(store, "b", VersionState.REVOKED, revoked_for=RevocationReason.UNSPECIFIED)
    await add(store, "d", VersionState.REVOKED, revoked_for=RevocationReason.UNSPECIFIED, issuer_version=OTHER.id)
    await add(store, "e", VersionState.REVOKED, revoked_for=RevocationReason.UNSPECIFIED, issuer_version=None)

    assert await of_issuer(store, CA.id) == [
        Revoked("a", NOW - SECOND, None),
        Revoked("b", NOW, RevocationReason.UNSPECIFIED),
        Revoked("c", NOW - DAY, RevocationReason.KEY_COMPROMISE),
    ]
    assert [each.serial for each in await of_issuer(store, OTHER.id)] == ["d"]
    assert await of_issuer(store, VersionID("unknown")) == []


@pytest.mark.usefixtures("authorities")
async def test_what_has_expired_by_the_moment_is_left_out(store: Store) -> None:
    await add(store, "a", VersionState.REVOKED, not_after=NOW)
    await add(store, "b", VersionState.SUSPENDED, not_after=NOW + SECOND)

    assert [each.serial for each in await of_issuer(store, CA.id, NOW - SECOND)] == ["a", "b"]
    assert [each.serial for each in await of_issuer(store, CA.id, NOW)] == ["b"]
    assert await of_issuer(store, CA.id, NOW + SECOND) == []


@pytest.mark.usefixtures("authorities")
async def test_what_is_reinstated_is_told_no_more(store: Store) -> None:
    held = await add(store, "a", VersionState.SUSPENDED)
    await store.run(lambda tx: tx.lineages.update_version(replace(held, state=VersionState.ACTIVE)))

    assert await of_issuer(store, CA.id) == []


@pytest.mark.usefixtures("authorities")
async def test_a_crl_takes_the_place_of_the_one_before(store: Store) -> None:
    assert await published(store) is None
    for each in (crl(1), crl(7, this_update=NOW + SECOND, next_update=NOW + YEAR, der=bytes(range(256)) * 4096)):
        await store.run(lambda tx, each=each: tx.revocations.publish(each))  # type: ignore[misc]
        assert await published(store) == each
    assert await published(store, OTHER.id) is None


@pytest.mark.usefixtures("authorities")
@pytest.mark.parametrize("number", [1, 4, 5])
async def test_numbers_only_grow(store: Store, open_again: Open, number: int) -> None:
    await store.run(lambda tx: tx.revocations.publish(crl(5)))
    await store.run(lambda tx: tx.revocations.publish(crl(2, issuer=OTHER.id)))

    for each in (store, await open_again()):
        with pytest.raises(Conflict):
            await each.run(lambda tx: tx.revocations.publish(crl(number, der=b"forged")))
    assert await published(store) == crl(5)


@pytest.mark.usefixtures("authorities")
async def test_numbers_may_be_seconds_since_1970_and_beyond(store: Store) -> None:
    await store.run(lambda tx: tx.revocations.publish(crl(1 << 62)))

    found = await published(store)
    assert found is not None
    assert found.number == 1 << 62


async def test_a_crl_needs_an_issuer(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.revocations.publish(crl(1, issuer=VersionID("nobody"))))


@pytest.mark.usefixtures("authorities")
async def test_of_two_that_publish_one_number_one_does(store: Store, open_again: Open) -> None:
    other = await open_again()
    outcomes = await asyncio.gather(
        *(each.run(lambda tx: tx.revocations.publish(crl(3))) for each in (store, other)), return_exceptions=True
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "NoneType"]


@pytest.mark.usefixtures("authorities")
async def test_a_tally_counts_what_an_issuer_has_issued(store: Store) -> None:
    for number, (state, ends) in enumerate(
        [
            (VersionState.ACTIVE, NOW + YEAR),
            (VersionState.ACTIVE, NOW + DAY),
            (VersionState.ACTIVE, NOW + DAY - SECOND),
            (VersionState.ACTIVE, NOW),
            (VersionState.ISSUED, NOW + SECOND),
            (VersionState.SUPERSEDED, NOW + SECOND),
            (VersionState.SUSPENDED, NOW - DAY),
            (VersionState.REVOKED, NOW + YEAR),
            (VersionState.REVOKED, NOW - YEAR),
        ]
    ):
        await add(store, f"{number:x}", state, not_after=ends)
    await add(store, "ff", VersionState.ACTIVE, issuer_version=OTHER.id)

    async def tally(issuer: VersionID) -> Tally:
        return await store.read(lambda tx: tx.revocations.tally(issuer, NOW, NOW + DAY))

    assert await tally(CA.id) == Tally(issued=9, active=3, expiring=1, suspended=1, revoked=2)
    assert await tally(OTHER.id) == Tally(issued=1, active=1, expiring=0, suspended=0, revoked=0)
    assert await tally(VersionID("unknown")) == Tally(0, 0, 0, 0, 0)
