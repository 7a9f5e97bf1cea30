"""A flood of refusals is counted, and hides nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.operations import refusals
from bramley.operations.installation import Installation
from bramley.operations.refusals import PER_WINDOW, WINDOW, Refusals
from tests.conftest import SetClock

REFUSED = EventKind.DEVICE_REFUSED


@pytest.fixture
def ledger(installation: Installation) -> Refusals:
    return Refusals(installation)


async def written(installation: Installation, reason: str = "") -> list[Event]:
    found = await installation.store.read(lambda tx: tx.events.find(kind=REFUSED, limit=1000))
    return [event for event in found if event.detail["reason"] == reason or not reason]


async def test_the_first_of_many_are_written_and_the_rest_counted(
    installation: Installation, ledger: Refusals, clock: SetClock
) -> None:
    for number in range(500):
        await ledger.record(REFUSED, "no-signature", message=f"the {number}th")
    assert len(await written(installation)) == PER_WINDOW

    clock.moment += WINDOW
    await ledger.record(REFUSED, "no-signature", message="after the flood")

    latest, told, *_rest = await written(installation)
    assert latest.detail == {"reason": "no-signature", "message": "after the flood"}
    assert told.detail == {"reason": "no-signature", "left_out": 500 - PER_WINDOW}


async def test_a_flood_of_garbage_crowds_out_no_other_reason_and_no_device_of_ours(
    installation: Installation, ledger: Refusals
) -> None:
    for _ in range(500):
        await ledger.record(REFUSED, "bad-signature")
    await ledger.record(REFUSED, "revoked", enrollment=EnrollmentKey("known"), actor="device:UDID")
    await ledger.record(REFUSED, "bad-signature", enrollment=EnrollmentKey("known"), actor="device:UDID")
    await ledger.record(REFUSED, "unknown-issuer")

    assert len(await written(installation)) == PER_WINDOW + 3
    assert [event.enrollment_key for event in await written(installation, "revoked")] == ["known"]


async def test_what_was_left_out_is_told_even_if_nothing_more_comes(
    installation: Installation, ledger: Refusals, clock: SetClock
) -> None:
    for _ in range(PER_WINDOW + 7):
        await ledger.record(REFUSED, "expired", actor="device:UDID", enrollment=EnrollmentKey("known"))
    await ledger.tell_left_out()
    assert len(await written(installation)) == PER_WINDOW

    clock.moment += WINDOW
    for _ in range(2):
        await ledger.tell_left_out()

    told, *rest = await written(installation)
    assert (told.detail["left_out"], told.actor, told.enrollment_key) == (7, "device:UDID", "known")
    assert len(rest) == PER_WINDOW


async def test_a_clock_that_is_set_back_silences_nobody(installation: Installation, ledger: Refusals, clock: SetClock) -> None:
    for _ in range(PER_WINDOW):
        await ledger.record(REFUSED, "expired")
    clock.moment -= timedelta(days=1)

    await ledger.record(REFUSED, "expired")

    assert len(await written(installation)) == PER_WINDOW + 1


async def test_memory_is_bounded_and_what_is_forgotten_is_told_first(
    installation: Installation, ledger: Refusals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "REMEMBERED", 3)
    for _ in range(PER_WINDOW + 1):
        await ledger.record(REFUSED, "first")
    for number in range(5):
        await ledger.record(REFUSED, f"reason {number}")

    assert [event.detail["left_out"] for event in await written(installation, "first") if "left_out" in event.detail] == [1]
