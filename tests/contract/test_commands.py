"""The queue: in order, nothing lost, nothing answered twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bramley.model.commands import RENEWAL_ANSWERED, Command, CommandState, CommandUUID, PendingCommand
from bramley.model.enrollments import Enrollment
from bramley.storage.errors import Conflict, NotFound
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

from .kit import SECOND, channel, command, enrollment, store_all

LATER = NOW + SECOND
FINAL = (CommandState.ACKNOWLEDGED, CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR)


async def queue(store: Store, of: Enrollment, *names: str) -> list[Command]:
    """Stores an enrollment with queued commands."""
    commands = [command(of, name) for name in names]
    await store_all(store, of, *commands)
    return commands


async def answer(store: Store, to: Command, state: CommandState) -> Command | None:
    return await store.run(lambda tx: tx.commands.answer(to.enrollment_key, to.uuid, state, b"<report/>", LATER))


async def test_a_command_comes_back_as_it_was(store: Store) -> None:
    device, other = enrollment("1"), enrollment("2")
    await store_all(store, device, other)
    full = command(device, sent_at=NOW, answered_at=LATER, not_now_count=3, answer=b"\x00\xff", job_on_answer="advance-plan")
    await store.run(lambda tx: tx.commands.add(full))
    assert await store.read(lambda tx: tx.commands.get(device.key, full.uuid)) == full
    assert await store.read(lambda tx: tx.commands.get(other.key, full.uuid)) is None


async def test_a_uuid_is_unique_over_all_channels(store: Store) -> None:
    (first,) = await queue(store, enrollment("1"), "a")
    other = enrollment("2")
    await store_all(store, other)
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.commands.add(replace(first, enrollment_key=other.key)))
    with pytest.raises(NotFound):
        await store.run(lambda tx: tx.commands.add(command(enrollment("nobody"), "b")))


async def test_commands_are_handed_out_in_the_order_of_queueing(store: Store) -> None:
    first, second, third = await queue(store, device := enrollment(), "z", "a", "m")
    for expected in (first, second, third):
        pending = await store.read(lambda tx: tx.commands.next(device.key))
        assert pending == PendingCommand(expected.uuid, expected.request_type, expected.payload)
        await answer(store, expected, CommandState.ACKNOWLEDGED)
    assert await store.read(lambda tx: tx.commands.next(device.key)) is None


@pytest.mark.parametrize("state", FINAL)
async def test_a_final_answer_is_stored_and_ends_the_command(store: Store, state: CommandState) -> None:
    (asked,) = await queue(store, enrollment(), "a")
    expected = replace(asked, state=state, answer=b"<report/>", answered_at=LATER)
    assert await answer(store, asked, state) == expected
    assert await store.read(lambda tx: tx.commands.get(asked.enrollment_key, asked.uuid)) == expected
    assert await answer(store, asked, CommandState.ERROR) is None, "the same report again changes nothing"
    assert await answer(store, asked, CommandState.NOT_NOW) is None
    assert await store.read(lambda tx: tx.commands.get(asked.enrollment_key, asked.uuid)) == expected


async def test_not_now_defers_until_the_queue_is_resumed(store: Store) -> None:
    first, second = await queue(store, device := enrollment(), "a", "b")
    assert await answer(store, first, CommandState.NOT_NOW) == replace(first, state=CommandState.NOT_NOW, not_now_count=1)
    pending = await store.read(lambda tx: tx.commands.next(device.key))
    assert pending is not None
    assert pending.uuid == second.uuid
    deferred = await answer(store, first, CommandState.NOT_NOW)
    assert deferred is not None
    assert deferred.not_now_count == 2
    assert await store.run(lambda tx: tx.commands.resume(device.key)) == 1
    pending = await store.read(lambda tx: tx.commands.next(device.key))
    assert pending is not None
    assert pending.uuid == first.uuid, "it keeps its place"
    ended = await answer(store, first, CommandState.ACKNOWLEDGED)
    assert ended is not None
    assert ended.not_now_count == 2


async def test_only_the_channel_that_was_asked_can_answer(store: Store) -> None:
    mac = enrollment("mac")
    (asked,) = await queue(store, mac, "a")
    ann = channel(mac, "ann")
    await store_all(store, ann)
    assert await answer(store, replace(asked, enrollment_key=ann.key), CommandState.ACKNOWLEDGED) is None
    assert await answer(store, replace(asked, uuid=CommandUUID("unknown")), CommandState.ACKNOWLEDGED) is None
    assert await answer(store, asked, CommandState.ACKNOWLEDGED) is not None


@pytest.mark.parametrize("state", [CommandState.QUEUED, CommandState.CANCELLED])
async def test_a_device_cannot_answer_with_a_state_of_ours(store: Store, state: CommandState) -> None:
    (asked,) = await queue(store, enrollment(), "a")
    with pytest.raises(ValueError, match=state.value):
        await answer(store, asked, state)


async def test_cancel_ends_what_is_pending_on_the_device_and_its_channels(store: Store) -> None:
    mac, other = enrollment("mac"), enrollment("other")
    ann = channel(mac, "ann")
    answered, deferred, _queued = await queue(store, mac, "answered", "deferred", "queued")
    await queue(store, ann, "ann's")
    (others,) = await queue(store, other, "other's")
    acknowledged = await answer(store, answered, CommandState.ACKNOWLEDGED)
    await answer(store, deferred, CommandState.NOT_NOW)
    assert await store.read(lambda tx: tx.commands.count_pending()) == 4
    assert await store.run(lambda tx: tx.commands.cancel(mac.key, LATER)) == 3
    assert await store.read(lambda tx: tx.commands.count_pending()) == 1
    assert await store.read(lambda tx: tx.commands.get(mac.key, answered.uuid)) == acknowledged
    assert await store.read(lambda tx: tx.commands.get(other.key, others.uuid)) == others
    ended = await store.read(lambda tx: tx.commands.get(mac.key, deferred.uuid))
    assert ended is not None
    assert (ended.state, ended.answered_at) == (CommandState.CANCELLED, LATER)
    assert await answer(store, deferred, CommandState.ACKNOWLEDGED) is None, "too late"


async def test_a_channel_is_cancelled_without_its_device(store: Store) -> None:
    mac = enrollment("mac")
    (kept,) = await queue(store, mac, "kept")
    await queue(store, ann := channel(mac, "ann"), "ann's")
    assert await store.run(lambda tx: tx.commands.cancel(ann.key, LATER)) == 1
    assert await store.read(lambda tx: tx.commands.get(mac.key, kept.uuid)) == kept


async def test_one_pending_command_is_withdrawn(store: Store) -> None:
    first, second, third = await queue(store, device := enrollment(), "a", "b", "c")
    await answer(store, first, CommandState.ACKNOWLEDGED)
    await answer(store, third, CommandState.NOT_NOW)
    assert [each.uuid for each in await store.read(lambda tx: tx.commands.pending(device.key))] == [second.uuid, third.uuid]
    assert await store.run(lambda tx: tx.commands.withdraw(device.key, third.uuid, LATER))
    assert not await store.run(lambda tx: tx.commands.withdraw(device.key, third.uuid, LATER))
    assert not await store.run(lambda tx: tx.commands.withdraw(device.key, first.uuid, LATER))
    assert await store.read(lambda tx: tx.commands.pending(device.key)) == [second]


End = Callable[[Tx, Command], object]


def answered_with(state: CommandState) -> End:
    return lambda tx, ended: tx.commands.answer(ended.enrollment_key, ended.uuid, state, b"<report/>", LATER)


def withdrawn(tx: Tx, ended: Command) -> object:
    return tx.commands.withdraw(ended.enrollment_key, ended.uuid, LATER)


def cancelled(tx: Tx, ended: Command) -> object:
    return tx.commands.cancel(ended.enrollment_key, LATER)


@pytest.mark.parametrize("end", [*map(answered_with, FINAL), withdrawn, cancelled])
@pytest.mark.parametrize(("job", "kept"), [(RENEWAL_ANSWERED, b""), ("reconcile-answered", b"sealed"), (None, b"sealed")])
async def test_what_a_renewal_brought_is_gone_with_its_end(store: Store, end: End, job: str | None, kept: bytes) -> None:
    """Whichever end: an enrollment profile with a private key in it must not stay in the history."""
    device = enrollment()
    asked = command(device, "a", payload=b"sealed", job_on_answer=job)
    await store_all(store, device, asked)
    await answer(store, asked, CommandState.NOT_NOW)
    await store.run(lambda tx: tx.commands.resume(device.key))
    pending = await store.read(lambda tx: tx.commands.next(device.key))
    assert pending is not None
    assert pending.payload == b"sealed", "until then it is handed out, as often as it takes"
    await store.run(lambda tx: end(tx, asked))
    (ended,) = await store.read(lambda tx: tx.commands.history(device.key))
    assert ended.state not in {CommandState.QUEUED, CommandState.NOT_NOW}
    assert ended.payload == kept


async def test_history_is_newest_first(store: Store) -> None:
    commands = await queue(store, device := enrollment(), "a", "b", "c")
    assert await store.read(lambda tx: tx.commands.history(device.key)) == commands[::-1]
    assert await store.read(lambda tx: tx.commands.history(device.key, limit=1)) == commands[-1:]
