"""Which devices are shown as lapsing, how they stand, and what each is said to need."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.lineages import LineageID, Version, VersionID, VersionState
from bramley.operations import identities, identity_rescue, identity_standing, suspension
from bramley.operations.identity_rescue import Rescue, Way, way_back
from bramley.operations.live import Live
from bramley.pki import keys
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock

from .conftest import enrolled

UDID = "00008030-001A35E40212802E"
WITHIN, SILENT = timedelta(days=30), timedelta(days=7)
DAY = timedelta(days=1)
AFTER_END = timedelta(days=400)


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey]) -> EnrollmentKey:
    return await enrolled(live, device_keys[0], UDID)


async def _set(live: Live, key: EnrollmentKey, **fields: Any) -> None:
    def change(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, **fields))

    await live.installation.store.run(change)


async def _rescue(live: Live) -> list[Rescue]:
    return list(await identity_rescue.rescue(live.installation, within=WITHIN, silent=SILENT))


async def test_lapsing_and_silent_devices_are_shown_and_no_others(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    end = NOW + timedelta(days=365)
    for at, seen, shown in (
        (end - 40 * DAY, end - 100 * DAY, False),  # silent, with time enough
        (end - 20 * DAY, end - 21 * DAY, False),  # heard of lately: the renewal is under way
        (end - 20 * DAY, end - 27 * DAY, True),
        (end - 20 * DAY, None, True),  # never heard of since it enrolled
        (end + 2 * DAY, end + DAY, True),  # expired, whether silent or not
    ):
        clock.moment = at
        await _set(live, device, last_seen_at=seen)
        found = await _rescue(live)
        assert [each.standing.enrollment.id for each in found] == [UDID] * shown, at
        if shown:
            assert found[0].silent_since == (seen or NOW)
            assert found[0].expired is (at > end)


async def test_it_says_how_the_last_renewal_went(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    clock.moment += timedelta(days=360)
    command = await identities.renew(live, UDID, actor="test")
    (found,) = await _rescue(live)
    assert found.standing.renewal is not None
    assert (found.standing.renewal.command_uuid, found.standing.renewal.words) == (command.uuid, "queued")


async def test_those_that_ended_first_do_not_hide_the_rest(
    live: Live, device: EnrollmentKey, device_keys: list[keys.PrivateKey], clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity_rescue, "_PAGE", 1)
    for number in (1, 2):
        clock.moment += DAY
        await enrolled(live, device_keys[number], f"00008030-00000000000000{number:02}")
    clock.moment += timedelta(days=370)
    found = await _rescue(live)
    assert [each.standing.enrollment.id for each in found] == [
        UDID,
        "00008030-0000000000000001",
        "00008030-0000000000000002",
    ]


async def test_what_was_taken_out_of_force_needs_no_rescue(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    clock.moment += timedelta(days=370)
    assert await _rescue(live) == []
    (standing,) = await identity_standing.listing(live.installation)
    assert (standing.version.state, standing.due_at) == (VersionState.SUSPENDED, None)


async def test_the_list_comes_in_pages(
    live: Live, device: EnrollmentKey, device_keys: list[keys.PrivateKey], clock: SetClock
) -> None:
    clock.moment += DAY
    await enrolled(live, device_keys[1], "another")
    (first,) = await identity_standing.listing(live.installation, limit=1)
    (second,) = await identity_standing.listing(live.installation, limit=1, after=first.version.id)
    assert [first.enrollment.id, second.enrollment.id] == [UDID, "another"]
    assert first.due_at is not None
    assert first.due_at > NOW
    before = await identity_standing.listing(live.installation, ends_before=first.version.not_after)
    assert list(before) == []


VERSION = Version(
    VersionID("v"), LineageID("l"), 1, VersionState.ACTIVE, NOW, NOW, not_before=NOW - 365 * DAY, not_after=NOW + DAY
)
MAC = Enrollment(
    EnrollmentKey("k"),
    EnrollmentState.ACTIVE,
    NOW,
    NOW,
    id=EnrollmentID(UDID),
    udid=UDID,
    product_name="MacBookPro18,1",
    push_token=b"t",
    push_magic="m",
)
PHONE = replace(MAC, product_name="iPhone15,2")
ENDED, LONG_AGO = replace(VERSION, not_after=NOW - DAY), replace(VERSION, not_after=NOW - AFTER_END - DAY)


@pytest.mark.parametrize(
    ("version", "enrollment", "after_end", "way"),
    [
        (VERSION, MAC, AFTER_END, Way.OVER_THE_AIR),
        (VERSION, PHONE, None, Way.OVER_THE_AIR),
        (ENDED, MAC, AFTER_END, Way.OVER_THE_AIR),
        (ENDED, MAC, None, Way.PROFILES_RENEW),
        (VERSION, replace(MAC, invariants="former"), AFTER_END, Way.FORMER_PROFILE),
        (VERSION, replace(MAC, invariants="former:0123456789abcdef"), AFTER_END, Way.OVER_THE_AIR),
        (ENDED, PHONE, None, Way.NEW_LINK),
        (LONG_AGO, PHONE, AFTER_END, Way.NEW_LINK),
        (LONG_AGO, replace(MAC, product_name="Macmini9,1"), AFTER_END, Way.PROFILES_RENEW),
        (LONG_AGO, replace(MAC, product_name=None), AFTER_END, Way.NEW_LINK),
        (ENDED, replace(MAC, state=EnrollmentState.PENDING), AFTER_END, Way.PROFILES_RENEW),
        (VERSION, replace(MAC, state=EnrollmentState.QUARANTINED), AFTER_END, Way.RELEASE),
        (LONG_AGO, replace(PHONE, state=EnrollmentState.QUARANTINED), AFTER_END, Way.RELEASE),
    ],
)
def test_every_device_has_one_way_back(version: Version, enrollment: Enrollment, after_end: timedelta | None, way: Way) -> None:
    found, until = way_back(version, enrollment, NOW, after_end=after_end)
    assert found is way
    assert (until is not None) is (way in {Way.OVER_THE_AIR, Way.FORMER_PROFILE})
    assert until is None or until >= NOW
