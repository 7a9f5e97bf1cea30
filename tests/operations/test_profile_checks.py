"""Once a week a device is asked which profiles it has: not twice, not in quarantine, and not when it has none."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

import pytest

from bramley.jobs.profiles import Profiles
from bramley.mdm.token_update import DELIVER_PROFILES
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.jobs import DONE, Job
from bramley.model.profiles import InstallState, TargetKind
from bramley.operations import quarantine, suspension
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, delivery, keeping
from bramley.operations.profiles.assigning import Target
from bramley.operations.profiles.checking import CHECK_PROFILES, EVERY
from bramley.pki import keys
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock

from .conftest import enrolled
from .test_profiles import written

T = TypeVar("T")
UDID = "00008030-001A35E40212802E"


async def read(live: Live, ask: Callable[[Tx], T]) -> T:
    return await live.installation.store.read(ask)


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey]) -> EnrollmentKey:
    """A device with one profile, which it has acknowledged."""
    key = await enrolled(live, device_keys[0], UDID)
    await keeping.put(live.installation, written(), actor="test")
    await assigning.assign(live.installation, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
    await delivery.deliver(live, key, actor="test")
    (install,) = await waiting(live, key, "InstallProfile")
    await answer(live, install)
    return key


async def answer(live: Live, command: Command) -> None:
    def act(tx: Tx) -> None:
        now, said = live.installation.clock.now(), plistlib.dumps({"Status": "Acknowledged"})
        answered = tx.commands.answer(command.enrollment_key, command.uuid, CommandState.ACKNOWLEDGED, said, now)
        assert answered is not None
        delivery.settle(tx, answered, now=now)

    await live.installation.store.run(act)


async def waiting(live: Live, key: EnrollmentKey, request_type: str) -> list[Command]:
    return [each for each in await read(live, lambda tx: tx.commands.pending(key)) if each.request_type == request_type]


async def due(live: Live) -> list[datetime]:
    return [job.run_at for job in await read(live, lambda tx: tx.jobs.of_kind(CHECK_PROFILES)) if job.state == "ready"]


async def deliver(live: Live) -> None:
    """The deliveries that are left are done, as the runner does them."""
    here = live.installation
    later = here.clock.now() + timedelta(seconds=1)
    jobs = await here.store.run(lambda tx: tx.jobs.claim("test", later, timedelta(minutes=1), 100))
    await Profiles(live).deliver([job for job in jobs if job.kind == DELIVER_PROFILES])
    await here.store.run(lambda tx: [tx.jobs.finish(job.id, "test") for job in jobs if job.id is not None])


async def check(live: Live, key: EnrollmentKey, clock: SetClock) -> None:
    """The job of the week comes up, and is done as the runner does it."""
    clock.moment += EVERY

    def claim(tx: Tx) -> list[Job]:
        return [job for job in tx.jobs.claim("test", clock.now(), EVERY, 100) if job.kind == CHECK_PROFILES]

    (job,) = await live.installation.store.run(claim)
    job_id = job.id
    assert job_id is not None
    assert job.args["enrollment_key"] == key
    assert await Profiles(live).check_again([job]) == [DONE]
    await live.installation.store.run(lambda tx: tx.jobs.finish(job_id, "test"))


async def change(live: Live, key: EnrollmentKey, state: EnrollmentState) -> None:
    def act(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, state=state))

    await live.installation.store.run(act)


async def test_asked_each_week_and_not_twice_while_it_is_silent(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    assert await due(live) == [NOW + EVERY]
    assert await waiting(live, device, "ProfileList") == []
    for week in (1, 2):
        await check(live, device, clock)
        assert len(await waiting(live, device, "ProfileList")) == 1
        assert await due(live) == [NOW + (week + 1) * EVERY]


async def test_not_in_quarantine_but_again_afterwards(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    await change(live, device, EnrollmentState.QUARANTINED)
    await check(live, device, clock)
    assert await waiting(live, device, "ProfileList") == []
    await change(live, device, EnrollmentState.ACTIVE)
    await check(live, device, clock)
    assert len(await waiting(live, device, "ProfileList")) == 1


async def test_no_more_once_it_has_left(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    await change(live, device, EnrollmentState.CHECKED_OUT)
    await check(live, device, clock)
    assert await waiting(live, device, "ProfileList") == []
    assert await due(live) == []


async def test_no_more_once_it_has_no_profile(live: Live, device: EnrollmentKey, clock: SetClock) -> None:
    (on,) = await read(live, lambda tx: tx.profiles.on_device(device))
    assert on.state is InstallState.INSTALLED
    await live.installation.store.run(lambda tx: tx.profiles.forget(device, on.profile_id))
    await check(live, device, clock)
    assert await waiting(live, device, "ProfileList") == []
    assert await due(live) == []


async def test_what_changed_in_quarantine_is_delivered_after_it(live: Live, device: EnrollmentKey) -> None:
    await quarantine.quarantine(live.installation, UDID, reason="lost", actor="test")
    await keeping.put(live.installation, written(PayloadOrganization="Orchard"), actor="test")
    await deliver(live)
    await delivery.deliver(live, device, actor="test")
    assert await waiting(live, device, "InstallProfile") == []
    await quarantine.release(live.installation, UDID, reason="found", actor="test")
    await deliver(live)
    assert len(await waiting(live, device, "InstallProfile")) == 1


async def test_what_could_not_be_encrypted_to_a_suspended_identity_is_delivered_once_it_is_resumed(
    live: Live, device: EnrollmentKey
) -> None:
    await suspension.suspend(live.installation, UDID, reason="odd", actor="test")
    await keeping.put(live.installation, written(), encrypt=True, actor="test")
    await delivery.deliver(live, device, actor="test")
    (on,) = await read(live, lambda tx: tx.profiles.on_device(device))
    assert on.state is InstallState.FAILED
    await suspension.resume(live.installation, UDID, reason="explained", actor="test")
    await deliver(live)
    assert len(await waiting(live, device, "InstallProfile")) == 1


async def test_a_list_brings_what_was_never_sent(live: Live, device: EnrollmentKey) -> None:
    now = live.installation.clock.now()
    (on,) = await read(live, lambda tx: tx.profiles.on_device(device))
    await live.installation.store.run(lambda tx: tx.profiles.forget(device, on.profile_id))
    assert await live.installation.store.run(lambda tx: delivery.listed(tx, device, [], at=now, now=now)) == 0
    await deliver(live)
    assert len(await waiting(live, device, "InstallProfile")) == 1
