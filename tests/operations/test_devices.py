"""Devices by whatever name they are called, and page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations import devices
from bramley.operations.errors import NotFound
from bramley.operations.installation import Installation
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
    page: Sequence[Enrollment] = [Enrollment(EnrollmentKey(""), EnrollmentState.ACTIVE, NOW, NOW)]
    while page := await devices.listing(installation, limit=2, after=page[-1].key):
        pages.append([each.key for each in page])
    assert pages == [["k1", "k3"], ["k5", "k7"], ["k9"]]
    assert len(await devices.listing(installation, state=EnrollmentState.PENDING)) == 5
    assert [each.key for each in await devices.listing(installation, search="UDID-7")] == ["k7"]


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
