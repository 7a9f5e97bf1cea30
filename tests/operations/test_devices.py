"""Devices by whatever name they are called, and page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations import devices
from bramley.operations.errors import Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.operations.profiles import assigning
from bramley.storage.aspects.profiles import SQLTags
from bramley.storage.protocols import Tx
from tests.conftest import NOW

UDID = "00008030-001A35E40212802E"


async def add(installation: Installation, key: str, **fields: Any) -> EnrollmentKey:
    row = replace(Enrollment(EnrollmentKey(key), EnrollmentState.ACTIVE, NOW, NOW), **fields)
    await installation.store.run(lambda tx: tx.enrollments.add(row))
    return row.key


async def found(installation: Installation, name: str) -> EnrollmentKey:
    return (await installation.store.read(lambda tx: devices.resolve(tx, name))).key


async def test_a_device_is_found_by_each_of_its_names_and_a_user_by_his(installation: Installation) -> None:
    device = await add(installation, "k1", id=EnrollmentID(UDID))
    user = await add(installation, "k2", id=EnrollmentID(f"{UDID}:ann"), parent=device, user_id="ann")
    assert [await found(installation, name) for name in ("k1", UDID, f"{UDID}:ann")] == [device, device, user]
    with pytest.raises(NotFound, match="There is no device 'k3'"):
        await found(installation, "k3")


async def test_of_several_enrollments_of_a_device_the_living_one_is_meant(installation: Installation) -> None:
    ended = {"id": EnrollmentID(UDID), "state": EnrollmentState.CHECKED_OUT}
    await add(installation, "k1", **ended)
    living = await add(installation, "k2", id=EnrollmentID(UDID))
    await add(installation, "k3", **ended)
    assert await found(installation, UDID) == living


async def test_our_key_means_its_own_enrollment_whatever_another_device_calls_itself(installation: Installation) -> None:
    device = await add(installation, "k1", id=EnrollmentID(UDID))
    await add(installation, "k2", id=EnrollmentID(device))
    assert await found(installation, device) == device


async def test_pages_follow_one_another_without_gaps(installation: Installation) -> None:
    """Profiles that were fetched and never used lie between the devices, and are shown only where they are asked for."""
    for number in range(10):
        used = {"id": EnrollmentID(f"udid-{number}")} if number % 2 else {"state": EnrollmentState.PENDING}
        await add(installation, f"k{number}", **used)
    pages: list[list[str]] = []
    after = EnrollmentKey("")
    while page := await devices.listing(installation, limit=2, after=after):
        pages.append([each.enrollment.key for each in page])
        after = page[-1].enrollment.key
    assert pages == [["k1", "k3"], ["k5", "k7"], ["k9"]]
    assert len(await devices.listing(installation, state=EnrollmentState.PENDING)) == 5
    assert [each.enrollment.key for each in await devices.listing(installation, search="UDID-7")] == ["k7"]


async def test_tags_are_listed_with_their_devices_and_find_them(installation: Installation) -> None:
    device = await add(installation, "k1", id=EnrollmentID(UDID))
    await add(installation, "k2", id=EnrollmentID(f"{UDID}:ann"), parent=device, user_id="ann")
    await add(installation, "k3", id=EnrollmentID("other"))
    await add(installation, "k4", state=EnrollmentState.PENDING)
    await assigning.tag(installation, UDID, add=["staff", "lab"], actor="test")

    async def listed(**conditions: Any) -> dict[str, list[str]]:
        found = await devices.listing(installation, **conditions)
        return {each.enrollment.key: list(each.tags) for each in found}

    assert await listed() == {"k1": ["lab", "staff"], "k2": [], "k3": []}
    assert await listed(state=EnrollmentState.PENDING) == {"k4": []}
    assert await listed(tag="staff") == {"k1": ["lab", "staff"]}
    assert await listed(tag="staff", search="other") == await listed(tag="guests") == {}
    assert (await devices.show(installation, UDID)).tags == ["lab", "staff"]
    assert (await devices.show(installation, f"{UDID}:ann")).tags == (await devices.show(installation, "k4")).tags == []
    with pytest.raises(Invalid, match="'Staff' came"):
        await listed(tag="Staff")


async def test_a_long_listing_is_read_in_few_queries_and_has_no_gaps(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None has more parameters than a database takes, and none is about one device."""
    asked: list[int] = []
    of_each = SQLTags.of_each

    def counted(self: SQLTags, names: Sequence[EnrollmentID]) -> Mapping[EnrollmentID, Sequence[str]]:
        asked.append(len(names))
        return of_each(self, names)

    def fill(tx: Tx) -> None:
        for number in range(2100):
            key = f"k{number:04}"
            tx.enrollments.add(Enrollment(EnrollmentKey(key), EnrollmentState.ACTIVE, NOW, NOW, EnrollmentID(key)))
            tx.tags.add(f"of-{key}", EnrollmentID(key))

    await installation.store.run(fill)
    monkeypatch.setattr(SQLTags, "of_each", counted)
    found = await devices.listing(installation, limit=1_000_000)
    assert [(each.enrollment.key, each.tags) for each in found] == [(f"k{n:04}", [f"of-k{n:04}"]) for n in range(2100)]
    assert asked == [1000, 1000, 100]


async def test_each_goes_through_all_of_them(installation: Installation) -> None:
    for number in range(3):
        await add(installation, f"k{number}", id=EnrollmentID(f"udid-{number}"))
    every = await installation.store.read(lambda tx: list(devices.each(tx, EnrollmentState.ACTIVE)))
    assert [each.key for each in every] == ["k0", "k1", "k2"]
    assert await installation.store.read(lambda tx: list(devices.each(tx, EnrollmentState.QUARANTINED))) == []


async def test_a_users_detail_shows_the_identities_of_its_device(installation: Installation) -> None:
    device = await add(installation, "k1", id=EnrollmentID(UDID))
    user = await add(installation, "k2", id=EnrollmentID(f"{UDID}:ann"), parent=device, user_id="ann")
    assert [channel.key for channel in (await devices.show(installation, UDID)).channels] == [user]
    detail = await devices.show(installation, f"{UDID}:ann")
    assert (detail.enrollment.key, detail.channels, detail.identities) == (user, [], [])
