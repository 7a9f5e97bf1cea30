"""Refusals are written down, and whoever is refused cannot fill the database with them."""

from __future__ import annotations

from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import EventKind
from bramley.operations import refusals
from bramley.operations.installation import Installation
from bramley.operations.refusals import PER_WINDOW, WINDOW
from tests.conftest import SetClock


async def _count(installation: Installation, kind: EventKind) -> int:
    return len(await installation.store.read(lambda tx: tx.events.find(kind=kind, limit=10 * PER_WINDOW)))


async def test_a_refusal_says_who_was_refused_and_why(installation: Installation) -> None:
    await refusals.record(
        installation, EventKind.DEVICE_REFUSED, "revoked", message="It is.", actor="device:u", enrollment=EnrollmentKey("k")
    )
    (event,) = await installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED))
    assert (event.actor, event.enrollment_key, event.at) == ("device:u", "k", installation.clock.now())
    assert event.detail == {"reason": "revoked", "message": "It is."}


async def test_a_flood_is_cut_off_and_the_next_minute_counts_again(installation: Installation, clock: SetClock) -> None:
    for _ in range(PER_WINDOW + 20):
        await refusals.record(installation, EventKind.DEVICE_REFUSED, "no-signature")
    assert await _count(installation, EventKind.DEVICE_REFUSED) == PER_WINDOW

    await refusals.record(installation, EventKind.SCEP_REFUSED, "challenge-unknown")
    assert await _count(installation, EventKind.SCEP_REFUSED) == 1  # one kind does not hide another

    clock.moment += WINDOW
    await refusals.record(installation, EventKind.DEVICE_REFUSED, "no-signature")
    assert await _count(installation, EventKind.DEVICE_REFUSED) == PER_WINDOW + 1
