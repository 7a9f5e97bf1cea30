"""Devices and their user channels, as they are stored and found."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest

from bramley.model.enrollments import Binding, Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.lineages import VersionID
from bramley.storage.errors import Conflict, NotFound, WentOn
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, channel, enrollment, link, store_all, store_identity


def with_every_field_set(of: Enrollment, parent: EnrollmentKey) -> Enrollment:
    """A different value in each field, so that a swapped column shows."""
    values: dict[str, Any] = {}
    for number, field in enumerate(fields(Enrollment)):
        if getattr(of, field.name) is None:
            text = str(field.type)
            values[field.name] = (
                NOW + number * DAY if "datetime" in text else bytes([number, 0]) if "bytes" in text else f"{field.name} of it"
            )
    return replace(of, **(values | {"parent": parent, "link_id": "link 1"}))


async def test_an_enrollment_comes_back_as_it_was(store: Store) -> None:
    parent, bare = enrollment("parent"), enrollment("bare", id=None)
    full = with_every_field_set(enrollment("full"), parent.key)
    await store_all(store, link(), parent, bare, full)
    assert await store.read(lambda tx: tx.enrollments.get(full.key)) == full
    assert await store.read(lambda tx: tx.enrollments.get(bare.key)) == bare
    assert await store.read(lambda tx: tx.enrollments.get(EnrollmentKey("nobody"))) is None


async def test_a_link_keeps_the_topic_that_its_devices_enroll_under(store: Store) -> None:
    named, free = link("1", topic="com.apple.mgmt.External.1"), link("2")
    await store_all(store, named, free)
    assert [await store.read(lambda tx, of=of: tx.links.get(of.id)) for of in (named, free)] == [named, free]  # type: ignore[misc]


async def test_an_update_stores_everything_but_the_moment_of_creation(store: Store) -> None:
    parent, bare = enrollment("parent"), enrollment("1", EnrollmentState.PENDING, id=None)
    await store_all(store, link(), parent, bare)
    full = with_every_field_set(bare, parent.key)
    await store.run(lambda tx: tx.enrollments.update(replace(full, created_at=NOW + DAY)))
    assert await store.read(lambda tx: tx.enrollments.get(bare.key)) == full
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.enrollments.update(enrollment("nobody")))


async def test_an_id_belongs_to_one_living_enrollment(store: Store) -> None:
    old, new, waiting = (enrollment(name, id=None) for name in ("old", "new", "waiting"))
    await store_all(store, old, new, waiting)
    udid = EnrollmentID("UDID")
    await store.run(lambda tx: tx.enrollments.update(replace(old, id=udid)))
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.enrollments.update(replace(new, id=udid)))
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.enrollments.add(enrollment("third", id=udid)))
    await store.run(lambda tx: tx.enrollments.update(replace(old, id=udid, state=EnrollmentState.CHECKED_OUT)))
    await store.run(lambda tx: tx.enrollments.update(replace(new, id=udid)))
    assert await store.read(lambda tx: tx.enrollments.by_id(udid)) == replace(new, id=udid)


async def test_a_transaction_does_not_go_on_after_a_conflict(store: Store) -> None:
    await store_all(store, enrollment("1"), enrollment("2"))

    def go_on(tx: Tx) -> None:
        tx.notes.set("begun", "yes")
        with suppress(Conflict):
            tx.enrollments.update(enrollment("2", id=EnrollmentID("UDID 1")))

    with pytest.raises(WentOn):
        await store.run(go_on)
    assert await store.read(lambda tx: tx.notes.get("begun")) is None


async def test_the_latest_of_an_id_is_the_living_one_else_the_newest(store: Store) -> None:
    udid = EnrollmentID("UDID")
    gone = EnrollmentState.CHECKED_OUT
    first = enrollment("c", gone, id=udid)
    second = enrollment("b", gone, id=udid, created_at=NOW + DAY)
    await store_all(store, first, second)
    assert await store.read(lambda tx: tx.enrollments.by_id(udid)) is None
    assert await store.read(lambda tx: tx.enrollments.latest_by_id(udid)) == second
    living = enrollment("a", EnrollmentState.QUARANTINED, id=udid, created_at=NOW - DAY)
    await store_all(store, living)
    assert await store.read(lambda tx: tx.enrollments.by_id(udid)) == living
    assert await store.read(lambda tx: tx.enrollments.latest_by_id(udid)) == living
    assert await store.read(lambda tx: tx.enrollments.latest_by_id(EnrollmentID("unknown"))) is None


async def test_the_channels_of_a_device(store: Store) -> None:
    mac, other = enrollment("mac"), enrollment("other")
    ann, bob = channel(mac, "ann"), channel(mac, "bob")
    await store_all(store, mac, other, bob, ann, channel(other, "ann"))
    assert await store.read(lambda tx: tx.enrollments.channels(mac.key)) == [ann, bob]
    with pytest.raises(Conflict):
        await store_all(store, channel(mac, "ann", key=EnrollmentKey("twin"), id=EnrollmentID("twin")))


async def test_enrollments_are_found_by_state_and_text_page_by_page(store: Store) -> None:
    named = [
        enrollment("1", serial_number="C02ABC", device_name="Élodie's iPad", topic="T"),
        enrollment("2", EnrollmentState.PENDING, serial_number="F4K100%"),
        enrollment("3", device_name="lab_mac", topic="T"),
    ]
    await store_all(store, *named)

    async def keys(**conditions: Any) -> list[str]:
        found = await store.read(lambda tx: tx.enrollments.find(**conditions))
        return [each.key.removeprefix("enrollment ") for each in found]

    assert await keys() == ["1", "2", "3"]
    assert await keys(state=EnrollmentState.PENDING) == ["2"]
    assert await keys(topic="T") == ["1", "3"]
    assert await keys(topic="T", limit=1) == ["1"]
    assert await keys(topic="T", search="C02", state=EnrollmentState.ACTIVE) == ["1"]
    assert await keys(topic="t") == await keys(topic="") == []
    assert await keys(search="udid 3") == ["3"]
    assert await keys(search="c02a") == ["1"]
    assert await keys(search="Élodie") == ["1"]
    assert await keys(search="100%") == ["2"]
    assert await keys(search="b_m") == ["3"]
    assert await keys(search="%") == ["2"], "a wildcard of SQL is only a character"
    assert await keys(search="'; DROP TABLE enrollments; --") == []
    assert await keys(limit=2) == ["1", "2"]
    assert await keys(limit=2, after=named[1].key) == ["3"]


async def test_enrollments_are_found_by_tag(store: Store) -> None:
    ann, bob, mac = enrollment("ann"), enrollment("bob", EnrollmentState.QUARANTINED), enrollment("mac")
    gone = enrollment("gone", EnrollmentState.CHECKED_OUT, id=ann.id)
    await store_all(store, ann, bob, mac, channel(mac, "zoe"), gone, enrollment("new", id=None))

    def tag(tx: Tx) -> None:
        for name, of in (("staff", ann), ("staff", bob), ("lab", bob), ("lab", mac)):
            tx.tags.add(name, EnrollmentID(of.id or ""))

    await store.run(tag)

    async def found(tag: str, **conditions: Any) -> list[Enrollment]:
        return list(await store.read(lambda tx: tx.enrollments.find(tag=tag, **conditions)))

    assert await found("staff") == [ann, bob, gone], "a tag outlives an enrollment"
    assert await found("lab") == [bob, mac], "a user channel has none"
    assert await found("staff", state=EnrollmentState.ACTIVE) == [ann]
    assert await found("staff", search="BOB") == await found("staff", limit=1, after=ann.key) == [bob]
    assert await found("staf") == await found("") == []


async def test_enrollments_are_counted_by_state(store: Store) -> None:
    assert await store.read(lambda tx: tx.enrollments.count()) == dict.fromkeys(EnrollmentState, 0)
    await store_all(store, enrollment("1"), enrollment("2"), enrollment("3", EnrollmentState.PENDING))
    counted = await store.read(lambda tx: tx.enrollments.count())
    assert (counted[EnrollmentState.ACTIVE], counted[EnrollmentState.PENDING]) == (2, 1)


async def test_enrolled_devices_are_counted_by_topic(store: Store) -> None:
    assert await store.read(lambda tx: tx.enrollments.devices_by_topic()) == {}
    mac = enrollment("mac", topic="T")
    await store_all(
        store,
        mac,
        channel(mac, "ann", topic="T"),
        enrollment("locked out", EnrollmentState.QUARANTINED, topic="T"),
        enrollment("of another", topic="U"),
        enrollment("waiting", EnrollmentState.PENDING, topic="T"),
        enrollment("gone", EnrollmentState.CHECKED_OUT, topic="V"),
        enrollment("without a topic"),
    )
    assert await store.read(lambda tx: tx.enrollments.devices_by_topic()) == {"T": 2, "U": 1}


async def test_the_time_of_a_push_moves_forward_only(store: Store) -> None:
    never, before, after = enrollment("1"), enrollment("2", last_push_at=NOW - DAY), enrollment("3", last_push_at=NOW + DAY)
    other = enrollment("4")
    await store_all(store, never, before, after, other)
    nobody = EnrollmentKey("nobody")
    await store.run(lambda tx: tx.enrollments.note_pushed([after.key, nobody, before.key, never.key, never.key], NOW))
    found = await store.read(lambda tx: [tx.enrollments.get(each.key) for each in (never, before, after, other)])
    assert found == [replace(never, last_push_at=NOW), replace(before, last_push_at=NOW), after, other]


async def test_a_certificate_is_bound_to_one_enrollment(store: Store) -> None:
    one, other = enrollment("1"), enrollment("2")
    identity = await store_identity(store, one)
    await store_all(store, other)
    sha256 = identity.sha256 or ""
    bound = Binding(sha256, one.key, Purpose.ENROLL, identity.id, NOW)
    assert await store.read(lambda tx: tx.enrollments.binding(sha256)) == bound
    assert await store.read(lambda tx: tx.enrollments.bindings(one.key)) == [bound]
    assert await store.read(lambda tx: tx.enrollments.binding("unknown")) is None
    for stolen in (replace(bound, enrollment_key=other.key), replace(bound, certificate_sha256="other")):
        with pytest.raises(Conflict):
            await store_all(store, stolen)
    with pytest.raises(NotFound):
        await store_all(store, Binding("x", one.key, Purpose.RENEW, VersionID("nothing"), NOW))
