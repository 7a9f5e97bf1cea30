"""Lineages, versions and keys, as they are stored and found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.model.kinds import Kind
from bramley.model.lineages import KeyID, LineageID, Policy, SealedKey, Turn, Version, VersionID, VersionState
from bramley.model.push import Route
from bramley.storage.errors import Conflict, NotFound
from bramley.storage.protocols import Store
from tests.conftest import NOW

from .kit import DAY, SECOND, YEAR, enrollment, lineage, store_all, store_identity, version


async def test_a_lineage_comes_back_as_it_was(store: Store) -> None:
    policy = Policy(lifetime=timedelta(days=90, microseconds=1), renew_at=2 / 3, jitter=0.1)
    push = lineage("com.example.push", Kind.PUSH, policy=policy, owner="it@example.com", route=Route.MDMCERT)
    await store_all(store, push)
    assert await store.read(lambda tx: tx.lineages.get(push.id)) == push
    assert await store.read(lambda tx: tx.lineages.find(Kind.PUSH, "com.example.push")) == push
    assert await store.read(lambda tx: tx.lineages.find(Kind.HTTPS, "com.example.push")) is None
    assert await store.read(lambda tx: tx.lineages.get(LineageID("nothing"))) is None


async def test_kind_and_name_are_unique_together(store: Store) -> None:
    await store_all(store, lineage("a", Kind.PUSH))
    await store_all(store, lineage("a", Kind.HTTPS, id=LineageID("other kind")))
    with pytest.raises(Conflict):
        await store_all(store, lineage("a", Kind.PUSH, id=LineageID("again")))


async def test_a_lineage_can_get_another_name_policy_owner_and_route(store: Store) -> None:
    of, other = lineage("new:1", Kind.PUSH), lineage("topic 2", Kind.PUSH)
    await store_all(store, of, other)
    change = replace(
        of, name="topic 1", policy=Policy(lifetime=DAY, renew_at=0.5, jitter=0.2), owner="it@example.com", route=Route.VENDOR
    )
    forged = replace(change, kind=Kind.HTTPS, created_at=NOW + DAY)
    await store.run(lambda tx: tx.lineages.update(forged))
    assert await store.read(lambda tx: tx.lineages.get(of.id)) == change
    assert await store.read(lambda tx: tx.lineages.get(other.id)) == other
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.lineages.update(replace(change, name=other.name)))
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.lineages.update(lineage("nowhere")))
    assert await store.read(lambda tx: tx.lineages.find(Kind.PUSH, "topic 1")) == change


async def test_lineages_of_a_kind(store: Store) -> None:
    await store_all(store, lineage("b"), lineage("a"), lineage("c", Kind.HTTPS))
    assert [each.name for each in await store.read(lambda tx: tx.lineages.of_kind(Kind.DEVICE_IDENTITY))] == ["a", "b"]


async def test_a_version_comes_back_as_it_was(store: Store) -> None:
    of, key = lineage(), SealedKey(KeyID("key 1"), "device-identity", "rsa-2048", b"\x00sealed\xff", NOW)
    full = version(
        of,
        state=VersionState.AWAITING,
        turn=Turn.APPLE,
        reason="sent",
        key_id=key.id,
        subject="CN=a",
        issuer="CN=b",
        serial="0a",
        spki_sha256="ab",
        not_before=NOW.replace(microsecond=999_999),
        certificate=b"0\x82",
        request=b"\x30\x00request",
    )
    await store_all(store, of, key, full, version(of, 2, issuer_version=full.id, certificate=None))
    assert await store.read(lambda tx: tx.lineages.version(full.id)) == full
    assert await store.read(lambda tx: tx.lineages.by_sha256(full.sha256 or "")) == full
    assert await store.read(lambda tx: tx.lineages.by_serial("0a")) == [full]
    assert await store.read(lambda tx: tx.keys.get(key.id)) == key
    assert await store.read(lambda tx: tx.keys.get(KeyID("key 2"))) is None
    assert [each.number for each in await store.read(lambda tx: tx.lineages.versions(of.id))] == [1, 2]


async def test_a_deleted_key_is_named_by_no_version(store: Store) -> None:
    of, key, other = lineage(), *(SealedKey(KeyID(f"key {n}"), "root-ca", "rsa-2048", b"sealed", NOW) for n in "12")
    first, second = version(of, key_id=key.id), version(of, 2, key_id=other.id)
    await store_all(store, of, key, other, first, second)
    assert await store.run(lambda tx: tx.keys.delete(key.id))
    assert not await store.run(lambda tx: tx.keys.delete(key.id))
    assert await store.read(lambda tx: tx.keys.get(key.id)) is None
    assert await store.read(lambda tx: tx.lineages.version(first.id)) == replace(first, key_id=None)
    assert await store.read(lambda tx: tx.lineages.version(second.id)) == second
    await store_all(store, key)
    await store.run(lambda tx: tx.lineages.update_version(first))
    assert await store.read(lambda tx: tx.lineages.version(first.id)) == first


async def test_a_certificate_is_stored_once(store: Store) -> None:
    of = lineage()
    await store_all(store, of, version(of))
    with pytest.raises(Conflict):
        await store_all(store, version(of, 2, sha256=version(of).sha256))
    with pytest.raises(Conflict):
        await store_all(store, version(of, id=VersionID("same number"), sha256="other"))


async def test_a_version_of_no_lineage_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        await store_all(store, version(lineage("nowhere")))


async def test_an_update_fills_what_was_empty_and_keeps_what_was_there(store: Store) -> None:
    of = lineage()
    planned = version(
        of, state=VersionState.PLANNED, turn=Turn.CA, subject="CN=planned", sha256=None, not_before=None, not_after=None
    )
    await store_all(store, of, planned)
    later = NOW + DAY
    change = replace(
        planned,
        state=VersionState.ISSUED,
        turn=None,
        reason="issued",
        changed_at=later,
        created_at=later,
        number=7,
        subject="CN=forged",
        sha256="ab",
        not_after=NOW + YEAR,
        certificate=b"DER",
        request=b"asked",
    )
    await store.run(lambda tx: tx.lineages.update_version(change))
    expected = replace(change, number=1, created_at=NOW, subject="CN=planned")
    assert await store.read(lambda tx: tx.lineages.version(planned.id)) == expected
    revoked = replace(planned, state=VersionState.REVOKED, request=b"forged")
    await store.run(lambda tx: tx.lineages.update_version(revoked))
    stored = await store.read(lambda tx: tx.lineages.version(planned.id))
    assert stored is not None
    assert (stored.state, stored.sha256, stored.certificate) == (VersionState.REVOKED, "ab", b"DER")
    assert stored.request == b"asked"


async def test_an_update_of_nothing_is_an_error(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.lineages.update_version(version(lineage("nowhere"))))


async def test_certificates_are_listed_with_lineage_and_enrollment_page_by_page(store: Store) -> None:
    bound = enrollment()
    identity = await store_identity(store, bound, not_after=NOW + DAY)
    push = lineage("topic", Kind.PUSH)
    await store_all(store, push, version(push, 1), version(push, 2))

    rows = await store.read(lambda tx: tx.lineages.certificates())
    assert [row.version.id for row in rows] == sorted(row.version.id for row in rows)
    assert len(rows) == 3
    (row,) = await store.read(lambda tx: tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY))
    assert (row.version, row.enrollment_key, row.enrollment_id) == (identity, bound.key, bound.id)
    assert row.lineage == await store.read(lambda tx: tx.lineages.get(identity.lineage_id))

    first = await store.read(lambda tx: tx.lineages.certificates(limit=2))
    rest = await store.read(lambda tx: tx.lineages.certificates(after=first[-1].version.id))
    assert [*first, *rest] == list(rows)
    (ending,) = await store.read(lambda tx: tx.lineages.certificates(expires_before=NOW + 2 * DAY))
    assert ending.version == identity
    assert await store.read(lambda tx: tx.lineages.certificates(states=[VersionState.REVOKED, VersionState.FAILED])) == []


async def test_what_ends_soon_is_active_and_soonest_first(store: Store) -> None:
    of = lineage()
    ends = {1: NOW + 3 * DAY, 2: NOW + DAY, 3: NOW + 2 * DAY, 4: NOW + 9 * DAY}
    await store_all(store, of, *(version(of, number, not_after=end) for number, end in ends.items()))
    await store_all(store, version(of, 5, VersionState.SUPERSEDED, not_after=NOW))
    found = await store.read(lambda tx: tx.lineages.ending_before(Kind.DEVICE_IDENTITY, NOW + 4 * DAY, 10))
    assert [row.version.number for row in found] == [2, 3, 1]
    assert len(await store.read(lambda tx: tx.lineages.ending_before(Kind.DEVICE_IDENTITY, NOW + 4 * DAY, 2))) == 2
    assert await store.read(lambda tx: tx.lineages.ending_before(Kind.PUSH, NOW + YEAR, 10)) == []


async def test_what_has_long_been_in_a_state(store: Store) -> None:
    of = lineage()
    kind, state = Kind.DEVICE_IDENTITY, VersionState.SUPERSEDED
    await store_all(store, of, *(version(of, number, state, changed_at=NOW - number * DAY) for number in (1, 2, 3)))
    found = await store.read(lambda tx: tx.lineages.changed_before(kind, state, NOW - DAY, 10))
    assert [each.number for each in found] == [3, 2]
    assert await store.read(lambda tx: tx.lineages.changed_before(kind, VersionState.ACTIVE, NOW, 10)) == []


async def test_versions_of_a_kind_are_counted_by_state(store: Store) -> None:
    of, push = lineage(), lineage("topic", Kind.PUSH)
    await store_all(store, of, version(of, 1, VersionState.SUPERSEDED), version(of, 2), push, version(push))
    counted = await store.read(lambda tx: tx.lineages.count(Kind.DEVICE_IDENTITY))
    assert counted == dict.fromkeys(VersionState, 0) | {VersionState.SUPERSEDED: 1, VersionState.ACTIVE: 1}


async def test_what_issuers_have_issued_is_counted_by_kind_state_and_end(store: Store) -> None:
    ca, other = version(lineage("ca", Kind.IDENTITY_CA)), version(lineage("other", Kind.IDENTITY_CA))
    await store_all(store, lineage("ca", Kind.IDENTITY_CA), ca, lineage("other", Kind.IDENTITY_CA), other)
    active, superseded, revoked = VersionState.ACTIVE, VersionState.SUPERSEDED, VersionState.REVOKED
    for name, kind, issuer, state, end in (
        ("1", Kind.DEVICE_IDENTITY, ca, active, NOW),
        ("2", Kind.DEVICE_IDENTITY, ca, superseded, NOW + DAY),
        ("3", Kind.DEVICE_IDENTITY, ca, active, NOW - SECOND),
        ("4", Kind.DEVICE_IDENTITY, ca, revoked, NOW + DAY),
        ("5", Kind.DEVICE_IDENTITY, other, active, NOW + DAY),
        ("6", Kind.OCSP_RESPONDER, ca, active, NOW + DAY),
        ("7", Kind.OCSP_RESPONDER, ca, active, NOW - SECOND),
    ):
        of = lineage(name, kind)
        await store_all(store, of, version(of, state=state, issuer_version=issuer.id, not_after=end))

    async def counted(kinds: set[Kind], *issuers: Version) -> int:
        named = [each.id for each in issuers]
        return await store.read(
            lambda tx: tx.lineages.count_issued(kinds, issuers=named, states=(active, superseded), ending_from=NOW)
        )

    assert await counted({Kind.DEVICE_IDENTITY}, ca) == 2
    assert await counted({Kind.DEVICE_IDENTITY}, ca, other) == 3
    assert await counted({Kind.OCSP_RESPONDER}, ca) == 1
    assert await counted({Kind.DEVICE_IDENTITY, Kind.OCSP_RESPONDER}, ca) == 3
    assert await counted({Kind.NETWORK_IDENTITY}, ca) == 0
    assert await counted({Kind.DEVICE_IDENTITY}) == 0
