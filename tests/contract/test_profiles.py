"""Profiles, who shall have them, and how they stand on devices; tags."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentID
from bramley.model.profiles import (
    Assignment,
    Handling,
    Installation,
    InstallState,
    ProfileID,
    Scope,
    StoredProfile,
    TargetKind,
)
from bramley.storage.errors import Conflict, NotFound, StorageError
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import DAY, enrollment, store_all

ANN, BOB = enrollment("ann"), enrollment("bob")
UDID = EnrollmentID("UDID ann")


def profile(key: str, **fields: Any) -> StoredProfile:
    made = StoredProfile(ProfileID(key), f"example.{key}", key, 1, Handling.SIGN, b"\x00sealed", "ab", NOW, NOW, "admin:ann")
    return replace(made, **fields)


async def add(store: Store, *profiles: StoredProfile) -> None:
    def put(tx: Tx) -> None:
        for each in profiles:
            tx.profiles.add(each)

    await store.run(put)


async def assign(store: Store, of: StoredProfile, kind: TargetKind, target: str) -> bool:
    return await store.run(lambda tx: tx.profiles.assign(Assignment(of.id, kind, target, NOW, "cli")))


async def wanted(store: Store, device: str = UDID) -> list[str]:
    return [each.name for each in await store.read(lambda tx: tx.profiles.wanted(EnrollmentID(device)))]


async def test_a_profile_comes_back_as_it_was(store: Store) -> None:
    made = profile("wifi", handling=Handling.ENCRYPT, name="Wi-Fi für alle", scope=Scope.USER)
    await add(store, made, profile("a"))
    assert await store.read(lambda tx: tx.profiles.get(made.id)) == made
    assert await store.read(lambda tx: tx.profiles.by_identifier("example.wifi")) == made
    assert await store.read(lambda tx: tx.profiles.get(ProfileID("nothing"))) is None
    assert await store.read(lambda tx: tx.profiles.by_identifier("nothing")) is None
    assert [each.name for each in await store.read(lambda tx: tx.profiles.listing())] == ["a", "Wi-Fi für alle"]
    with pytest.raises(Conflict):
        await add(store, profile("other", identifier="example.wifi"))


async def test_an_update_keeps_what_names_it(store: Store) -> None:
    made = profile("wifi")
    await add(store, made)
    change = replace(made, revision=2, content=b"new", sha256="cd", handling=Handling.AS_IS, changed_at=NOW + DAY, changed_by="b")
    await store.run(lambda tx: tx.profiles.update(replace(change, identifier="forged", created_at=NOW + DAY)))
    assert await store.read(lambda tx: tx.profiles.get(made.id)) == change
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.profiles.update(profile("nowhere")))


async def test_wanted_by_itself_and_by_tags_each_once(store: Store) -> None:
    wifi, mail, vpn = profile("wifi"), profile("mail"), profile("vpn")
    await add(store, wifi, mail, vpn)
    assert await assign(store, wifi, TargetKind.DEVICE, UDID)
    assert not await assign(store, wifi, TargetKind.DEVICE, UDID)
    assert await wanted(store) == ["wifi"]
    assert await assign(store, wifi, TargetKind.TAG, "staff")
    assert await assign(store, mail, TargetKind.TAG, "staff")
    assert await assign(store, vpn, TargetKind.TAG, UDID), "a tag that is called like the device is none of its tags"
    assert await wanted(store) == ["wifi"]
    assert await store.run(lambda tx: tx.tags.add("staff", UDID))
    assert not await store.run(lambda tx: tx.tags.add("staff", UDID))
    assert await wanted(store) == ["mail", "wifi"]
    assert await wanted(store, "UDID bob") == []
    assert await store.run(lambda tx: tx.profiles.unassign(wifi.id, TargetKind.DEVICE, UDID))
    assert not await store.run(lambda tx: tx.profiles.unassign(wifi.id, TargetKind.DEVICE, UDID))
    assert await wanted(store) == ["mail", "wifi"]
    assert [(each.kind, each.target) for each in await store.read(lambda tx: tx.profiles.assignments(wifi.id))] == [
        (TargetKind.TAG, "staff")
    ]
    assert await store.run(lambda tx: tx.tags.remove("staff", UDID))
    assert not await store.run(lambda tx: tx.tags.remove("staff", UDID))
    assert await wanted(store) == []


async def test_tags(store: Store) -> None:
    def tag(tx: Tx) -> None:
        for name, device in (("staff", "B"), ("staff", "A"), ("lab", "A")):
            tx.tags.add(name, EnrollmentID(device))

    await store.run(tag)
    assert await store.read(lambda tx: tx.tags.devices("staff")) == ["A", "B"]
    assert await store.read(lambda tx: tx.tags.of(EnrollmentID("A"))) == ["lab", "staff"]
    assert await store.read(lambda tx: tx.tags.of(EnrollmentID("C"))) == []
    asked = [EnrollmentID(name) for name in ("B", "A", "C")]
    assert await store.read(lambda tx: tx.tags.of_each(asked)) == {"A": ["lab", "staff"], "B": ["staff"]}
    assert await store.read(lambda tx: tx.tags.of_each([])) == {}
    many = [EnrollmentID(f"{number}") for number in range(999)]
    assert await store.read(lambda tx: tx.tags.of_each([*many, EnrollmentID("B")])) == {"B": ["staff"]}


async def test_how_a_profile_stands(store: Store) -> None:
    wifi, mail = profile("wifi"), profile("mail")
    await store_all(store, ANN, BOB)
    await add(store, wifi, mail)
    sent = Installation(ANN.key, wifi.id, 1, InstallState.SENT, NOW, CommandUUID("C"), "ab", 2, "no room")
    others = [Installation(BOB.key, wifi.id, 1, InstallState.INSTALLED, NOW), replace(sent, profile_id=mail.id)]

    def put(tx: Tx) -> None:
        for each in (sent, *others):
            tx.profiles.put(each)

    await store.run(put)
    assert await store.read(lambda tx: tx.profiles.on_device(ANN.key)) == [others[1], sent]
    assert await store.read(lambda tx: tx.profiles.installations(wifi.id, limit=9)) == [sent, others[0]]
    assert await store.read(lambda tx: tx.profiles.installations(wifi.id, limit=1)) == [sent]
    assert await store.read(lambda tx: tx.profiles.installations(wifi.id, limit=9, after=ANN.key)) == [others[0]]
    counted = await store.read(lambda tx: tx.profiles.count(wifi.id))
    assert counted == dict.fromkeys(InstallState, 0) | {InstallState.SENT: 1, InstallState.INSTALLED: 1}
    done = Installation(ANN.key, wifi.id, 2, InstallState.INSTALLED, NOW + DAY)
    await store.run(lambda tx: tx.profiles.put(done))
    assert await store.read(lambda tx: tx.profiles.on_device(ANN.key)) == [others[1], done], "nothing of before is left"
    await store.run(lambda tx: tx.profiles.forget(ANN.key, wifi.id))
    assert await store.read(lambda tx: tx.profiles.on_device(ANN.key)) == [others[1]]
    await store.run(lambda tx: tx.profiles.forget_all(ANN.key))
    assert await store.read(lambda tx: tx.profiles.on_device(ANN.key)) == []
    assert await store.read(lambda tx: tx.profiles.on_device(BOB.key)) == [others[0]], "another's stays"


@pytest.mark.parametrize("why", ["assigned", "on a device"])
async def test_a_profile_in_use_is_not_deleted(store: Store, why: str) -> None:
    wifi = profile("wifi")
    await store_all(store, ANN)
    await add(store, wifi)
    if why == "assigned":
        await assign(store, wifi, TargetKind.TAG, "staff")
    else:
        await store.run(lambda tx: tx.profiles.put(Installation(ANN.key, wifi.id, 1, InstallState.REMOVING, NOW)))
    with pytest.raises(StorageError):
        await store.run(lambda tx: tx.profiles.delete(wifi.id))
    await store.run(lambda tx: tx.profiles.unassign(wifi.id, TargetKind.TAG, "staff"))
    await store.run(lambda tx: tx.profiles.forget(ANN.key, wifi.id))
    await store.run(lambda tx: tx.profiles.delete(wifi.id))
    assert await store.read(lambda tx: tx.profiles.get(wifi.id)) is None
