"""The hot path: who presents this certificate, on which channel, and what waits for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bramley.model.commands import Command, CommandState, PendingCommand
from bramley.model.enrollments import EnrollmentKey, EnrollmentState, Presented, Purpose
from bramley.model.lineages import VersionState
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import YEAR, channel, command, enrollment, store_all, store_identity

SHARED_IPAD_USER = "mia"


async def present(store: Store, sha256: str | None, user_id: str | None = None) -> Presented:
    presented = await store.presented(sha256 or "", user_id)
    assert presented is not None
    return presented


async def acknowledge(store: Store, of: Command) -> None:
    await store.run(lambda tx: tx.commands.answer(of.enrollment_key, of.uuid, CommandState.ACKNOWLEDGED, b"", NOW))


async def test_an_unknown_certificate_is_nobody(store: Store) -> None:
    await store_identity(store, enrollment())
    assert await store.presented("unknown", None) is None
    assert await store.presented("unknown", "ann") is None


async def test_a_device_with_nothing_queued(store: Store) -> None:
    device = enrollment()
    identity = await store_identity(store, device)
    assert await present(store, identity.sha256) == Presented(
        certificate_sha256=identity.sha256 or "",
        version_id=identity.id,
        version_state=VersionState.ACTIVE,
        not_before=NOW,
        not_after=NOW + YEAR,
        purpose=Purpose.ENROLL,
        enrollment_key=device.key,
        enrollment_id=device.id,
        enrollment_state=EnrollmentState.ACTIVE,
        channel_key=device.key,
        channel_state=EnrollmentState.ACTIVE,
        next_command=None,
        deferred=False,
    )


@pytest.mark.parametrize("version_state", list(VersionState))
@pytest.mark.parametrize("state", [EnrollmentState.PENDING, EnrollmentState.CHECKED_OUT])
async def test_every_state_is_told_and_none_is_judged(store: Store, version_state: VersionState, state: EnrollmentState) -> None:
    identity = await store_identity(store, enrollment(state=state, id=None), state=version_state)
    presented = await present(store, identity.sha256)
    assert (presented.version_state, presented.enrollment_state, presented.channel_state) == (version_state, state, state)
    assert presented.enrollment_id is None


async def test_the_first_queued_command_and_whether_one_is_deferred(store: Store) -> None:
    device = enrollment()
    identity = await store_identity(store, device)
    done, deferred, first, second = (
        command(device, "done", CommandState.ACKNOWLEDGED),
        command(device, "deferred"),
        command(device, "first"),
        command(device, "second"),
    )
    await store_all(store, done, deferred, first, second)
    presented = await present(store, identity.sha256)
    assert presented.next_command == PendingCommand(deferred.uuid, deferred.request_type, deferred.payload)
    assert not presented.deferred
    await store.run(lambda tx: tx.commands.answer(device.key, deferred.uuid, CommandState.NOT_NOW, b"", NOW))
    presented = await present(store, identity.sha256)
    assert presented.next_command == PendingCommand(first.uuid, first.request_type, first.payload)
    assert presented.deferred
    await store.run(lambda tx: tx.commands.cancel(device.key, NOW))
    presented = await present(store, identity.sha256)
    assert presented.next_command is None
    assert not presented.deferred


async def test_a_user_channel_has_its_own_queue(store: Store) -> None:
    mac, other = enrollment("mac"), enrollment("other")
    ann = channel(mac, "ann", state=EnrollmentState.ACTIVE)
    identity = await store_identity(store, mac)
    await store_all(store, other, ann, channel(other, "bob"), command(mac, "mac's"), command(ann, "ann's"))
    presented = await present(store, identity.sha256, "ann")
    assert (presented.enrollment_key, presented.channel_key, presented.channel_state) == (mac.key, ann.key, ann.state)
    assert presented.next_command is not None
    assert presented.next_command.payload == b"sealed ann's"
    presented = await present(store, identity.sha256, None)
    assert presented.next_command is not None
    assert presented.next_command.payload == b"sealed mac's"


async def test_a_user_that_has_no_channel_yet(store: Store) -> None:
    mac, other = enrollment("mac"), enrollment("other")
    identity = await store_identity(store, mac)
    await store_all(store, other, channel(other, "bob"))
    await store.run(lambda tx: tx.commands.add(command(mac, "mac's")))
    presented = await present(store, identity.sha256, "bob")
    assert presented.enrollment_key == mac.key
    assert (presented.channel_key, presented.channel_state, presented.next_command) == (None, None, None)
    assert not presented.deferred


async def test_a_checked_out_channel_does_not_count(store: Store) -> None:
    ipad = enrollment("ipad")
    gone = channel(ipad, SHARED_IPAD_USER, state=EnrollmentState.CHECKED_OUT)
    identity = await store_identity(store, ipad)
    await store_all(store, gone)
    assert (await present(store, identity.sha256, SHARED_IPAD_USER)).channel_key is None
    back = replace(gone, key=EnrollmentKey(f"{gone.key} again"), state=EnrollmentState.ACTIVE)
    await store_all(store, back)
    assert (await present(store, identity.sha256, SHARED_IPAD_USER)).channel_key == back.key


async def test_it_shows_what_was_committed_a_moment_ago(store: Store) -> None:
    device = enrollment()
    identity = await store_identity(store, device)
    for number in range(20):
        fresh = command(device, str(number))
        await store_all(store, fresh)
        presented = await present(store, identity.sha256)
        assert presented.next_command is not None
        assert presented.next_command.uuid == fresh.uuid
        await acknowledge(store, fresh)


async def test_within_a_transaction_it_shows_what_that_has_done(store: Store) -> None:
    device = enrollment()
    identity = await store_identity(store, device)
    ann = channel(device, "ann")
    await store_all(store, ann)

    def end(tx: Tx) -> tuple[Presented | None, Presented | None, Presented | None]:
        before = tx.presented(identity.sha256 or "", "ann")
        tx.lineages.update_version(replace(identity, state=VersionState.REVOKED))
        tx.enrollments.update(replace(ann, state=EnrollmentState.CHECKED_OUT))
        return before, tx.presented(identity.sha256 or "", "ann"), tx.presented("unknown", None)

    before, after, unknown = await store.run(end)
    assert before is not None
    assert after is not None
    assert (before.version_state, before.channel_key) == (identity.state, ann.key)
    assert (after.version_state, after.channel_key) == (VersionState.REVOKED, None)
    assert unknown is None
