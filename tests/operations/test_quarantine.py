"""Quarantine: lock or erase first, revoke once it is acknowledged; and back, if it was a mistake."""

from __future__ import annotations

import plistlib
from dataclasses import replace

import pytest

from bramley.jobs.quarantine import Quarantines
from bramley.mdm import connect
from bramley.mdm.commands import BadCommand, Raw, SecurityInfo, build
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.lineages import RevocationReason, VersionState
from bramley.operations import commands, device_commands, devices, identities, quarantine, suspension
from bramley.operations.devices import DeviceDetail
from bramley.operations.errors import Conflict, Invalid, NotFound, OperationError
from bramley.operations.live import Live
from bramley.operations.quarantine import QUARANTINE_ANSWERED, Measure, Order
from bramley.pki import keys
from bramley.storage.protocols import Tx
from tests.conftest import NOW

from .conftest import enrolled

UDID = "00008030-001A35E40212802E"
ERASE, LOCK = Order(Measure.ERASE, UDID), Order(Measure.LOCK, UDID, "123456")


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey]) -> EnrollmentKey:
    """An active device, which told no serial number, with something in its queue."""
    key = await enrolled(live, device_keys[0], UDID)
    await commands.send(live.installation, UDID, SecurityInfo(), actor="test")
    return key


async def _shown(live: Live) -> DeviceDetail:
    return await devices.show(live.installation, UDID)


async def _states(live: Live) -> tuple[EnrollmentState, list[VersionState]]:
    shown = await _shown(live)
    return shown.enrollment.state, [version.state for version in shown.identities]


async def _order(live: Live, order: Order | None = None, **options: object) -> Command:
    done = await quarantine.quarantine(live.installation, UDID, reason="stolen", order=order, actor="test", **options)  # type: ignore[arg-type]
    assert done.command is not None
    return done.command


async def _answered(live: Live, command: Command, state: CommandState) -> Outcome:
    """The device answers, and the job that this releases is run."""
    key, uuid = command.enrollment_key, command.uuid
    await live.installation.store.run(lambda tx: tx.commands.answer(key, uuid, state, b"", NOW))
    (outcome,) = await Quarantines(live)([Job(QUARANTINE_ANSWERED, NOW, NOW, {"enrollment_key": key, "command_uuid": uuid})])
    return outcome


async def test_the_rest_of_the_queue_waits(live: Live, device: EnrollmentKey) -> None:
    done = await quarantine.quarantine(live.installation, UDID, reason="strange traffic", actor="test")
    assert (done.command, done.revoked) == (None, ())
    assert await _states(live) == (EnrollmentState.QUARANTINED, [VersionState.ACTIVE])
    assert [c.state for c in (await _shown(live)).commands] == [CommandState.QUEUED]
    (event,) = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_QUARANTINED))
    assert (event.enrollment_key, event.detail) == (device, {"reason": "strange traffic", "because": "keyCompromise"})
    with pytest.raises(Conflict, match="is quarantined"):
        await identities.renew(live, UDID, actor="test")


@pytest.mark.parametrize("order", [ERASE, LOCK], ids=["erase", "lock"])
async def test_what_is_ordered_goes_out_and_the_identity_is_revoked_once_it_is_acknowledged(
    live: Live, device: EnrollmentKey, order: Order
) -> None:
    command = await _order(live, order, because=RevocationReason.PRIVILEGE_WITHDRAWN)
    sealer = live.installation.sealer
    said = plistlib.loads(sealer.open(command.payload, connect.payload_place(command.uuid)))["Command"]
    assert said == {"RequestType": order.measure.value} | ({"PIN": "123456"} if order is LOCK else {})
    assert command.request_type in connect.IN_QUARANTINE
    jobs = await live.installation.store.read(lambda tx: tx.jobs.of_kind("push"))
    assert [job.args["enrollment_key"] for job in jobs] == [device]

    assert await _answered(live, command, CommandState.ACKNOWLEDGED) == DONE
    assert await _states(live) == (EnrollmentState.CHECKED_OUT, [VersionState.REVOKED])
    (revoked,) = (await _shown(live)).identities
    assert (revoked.reason, revoked.revoked_for) == ("stolen", RevocationReason.PRIVILEGE_WITHDRAWN)


@pytest.mark.parametrize("state", [CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR])
async def test_one_that_could_not_be_erased_stays_for_a_person_to_decide(
    live: Live, device: EnrollmentKey, state: CommandState
) -> None:
    outcome = await _answered(live, await _order(live, ERASE), state)
    assert (outcome.retry_after, f"with {state}; it stays in quarantine" in outcome.error) == (None, True)
    assert await _states(live) == (EnrollmentState.QUARANTINED, [VersionState.ACTIVE])
    await _answered(live, await _order(live, ERASE), CommandState.ACKNOWLEDGED)
    assert await _states(live) == (EnrollmentState.CHECKED_OUT, [VersionState.REVOKED])


@pytest.mark.parametrize("measure", Measure)
async def test_what_user_enrollment_forbids_is_not_ordered(live: Live, device: EnrollmentKey, measure: Measure) -> None:
    await commands.send(live.installation, UDID, SecurityInfo(), actor="test")
    owned = {"udid": None, "enrollment_id": UDID, "product_name": "Mac14,2", "os_version": "15.1"}

    def change(tx: Tx) -> None:
        row = tx.enrollments.get(device)
        assert row is not None
        tx.enrollments.update(replace(row, **owned))  # type: ignore[arg-type]

    await live.installation.store.run(change)
    with pytest.raises(BadCommand, match="User Enrollment") as refused:
        await _order(live, Order(measure, UDID))
    with pytest.raises(BadCommand) as by_hand:
        await device_commands.send(live.installation, UDID, build(measure.value, {}), serial_number=UDID, actor="test")
    assert refused.value.message == by_hand.value.message
    shown = await _shown(live)
    assert (shown.enrollment.state, {c.request_type for c in shown.commands}) == (EnrollmentState.ACTIVE, {"SecurityInfo"})


async def test_a_late_acknowledgement_of_a_lock_does_not_cost_the_erasure(live: Live, device: EnrollmentKey) -> None:
    """The lock was answered before the erasure was ordered; its job runs after that."""
    lock = await _order(live, LOCK)
    await live.installation.store.run(lambda tx: tx.commands.answer(device, lock.uuid, CommandState.ACKNOWLEDGED, b"", NOW))
    erase = await _order(live, ERASE)
    job = Job(QUARANTINE_ANSWERED, NOW, NOW, {"enrollment_key": device, "command_uuid": lock.uuid})
    assert await Quarantines(live)([job]) == [DONE]
    assert await _states(live) == (EnrollmentState.QUARANTINED, [VersionState.ACTIVE])
    await _answered(live, erase, CommandState.ACKNOWLEDGED)
    assert await _states(live) == (EnrollmentState.CHECKED_OUT, [VersionState.REVOKED])


async def test_a_new_order_takes_the_place_of_the_former(live: Live, device: EnrollmentKey) -> None:
    lock, erase = await _order(live, LOCK), await _order(live, ERASE)
    by_uuid = {command.uuid: command.state for command in (await _shown(live)).commands}
    assert (by_uuid[lock.uuid], by_uuid[erase.uuid]) == (CommandState.CANCELLED, CommandState.QUEUED)


async def test_released_it_is_not_erased_and_gets_its_queue(live: Live, device: EnrollmentKey) -> None:
    erase = await _order(live, ERASE)
    by_hand = await commands.send(live.installation, UDID, Raw("DeviceLock", {"RequestType": "DeviceLock"}), actor="test")
    released = await quarantine.release(live.installation, UDID, reason="found", actor="test")
    assert released.enrollment.state is EnrollmentState.ACTIVE
    assert [command.request_type for command in released.waiting] == ["SecurityInfo", "DeviceLock"]
    by_uuid = {command.uuid: command.state for command in (await _shown(live)).commands}
    assert (by_uuid[erase.uuid], by_uuid[by_hand.uuid]) == (CommandState.CANCELLED, CommandState.QUEUED)
    (event,) = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_RELEASED))
    assert event.detail == {"reason": "found", "withdrawn": 1}
    with pytest.raises(Conflict, match="not in quarantine"):
        await quarantine.release(live.installation, UDID, actor="test")


async def test_an_acknowledgement_revokes_nobody_who_was_released_meanwhile(live: Live, device: EnrollmentKey) -> None:
    lock = await _order(live, LOCK)
    await live.installation.store.run(lambda tx: tx.commands.answer(device, lock.uuid, CommandState.ACKNOWLEDGED, b"", NOW))
    await quarantine.release(live.installation, UDID, actor="test")
    assert await Quarantines(live)(
        [Job(QUARANTINE_ANSWERED, NOW, NOW, {"enrollment_key": device, "command_uuid": lock.uuid})]
    ) == [DONE]
    assert await _states(live) == (EnrollmentState.ACTIVE, [VersionState.ACTIVE])


async def test_one_that_began_afresh_in_quarantine_has_to_go_on_with_enrolling(live: Live, device: EnrollmentKey) -> None:
    await quarantine.quarantine(live.installation, UDID, reason="strange", actor="test")
    fresh = replace((await _shown(live)).enrollment, push_token=None, push_magic=None)
    await live.installation.store.run(lambda tx: tx.enrollments.update(fresh))
    released = await quarantine.release(live.installation, UDID, actor="test")
    assert released.enrollment.state is EnrollmentState.PENDING


@pytest.mark.parametrize("uuid", ["never heard of", None], ids=["unknown", "of somebody else"])
async def test_only_what_was_ordered_leads_to_a_revocation(live: Live, device: EnrollmentKey, uuid: str | None) -> None:
    """A job that names another command, however it came to be, revokes nothing."""
    await quarantine.quarantine(live.installation, UDID, reason="stolen", actor="test")
    by_hand = await commands.send(live.installation, UDID, Raw("DeviceLock", {"RequestType": "DeviceLock"}), actor="test")
    named = CommandUUID(uuid or by_hand.uuid)
    await live.installation.store.run(lambda tx: tx.commands.answer(device, by_hand.uuid, CommandState.ACKNOWLEDGED, b"", NOW))
    await Quarantines(live)([Job(QUARANTINE_ANSWERED, NOW, NOW, {"enrollment_key": device, "command_uuid": named})])
    assert await _states(live) == (EnrollmentState.QUARANTINED, [VersionState.ACTIVE])


async def test_at_once_for_those_who_know(live: Live, device: EnrollmentKey) -> None:
    done = await quarantine.quarantine(live.installation, UDID, reason="key sold", revoke_now=True, actor="test")
    assert (done.enrollment.state, len(done.revoked)) == (EnrollmentState.CHECKED_OUT, 1)
    assert await _states(live) == (EnrollmentState.CHECKED_OUT, [VersionState.REVOKED])


async def test_a_suspended_device_is_ordered_nothing_that_could_not_reach_it(live: Live, device: EnrollmentKey) -> None:
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    with pytest.raises(Conflict, match="can be told nothing"):
        await _order(live, ERASE)
    assert await _states(live) == (EnrollmentState.ACTIVE, [VersionState.SUSPENDED])
    await quarantine.quarantine(live.installation, UDID, reason="stolen", actor="test")
    await suspension.resume(live.installation, UDID, actor="test")
    await _answered(live, await _order(live, ERASE), CommandState.ACKNOWLEDGED)
    assert await _states(live) == (EnrollmentState.CHECKED_OUT, [VersionState.REVOKED])


async def test_a_user_channel_stands_for_its_device(live: Live, device: EnrollmentKey) -> None:
    channel = Enrollment(
        EnrollmentKey("channel"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(f"{UDID}:ann"), parent=device, user_id="ann"
    )
    await live.installation.store.run(lambda tx: tx.enrollments.add(channel))
    done = await quarantine.quarantine(live.installation, f"{UDID}:ann", reason="lost", actor="test")
    assert (done.enrollment.key, done.enrollment.state) == (device, EnrollmentState.QUARANTINED)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("nobody", {}, NotFound),
        (UDID, {"order": Order(Measure.ERASE, "C02OTHER")}, Invalid),
        (UDID, {"order": Order(Measure.ERASE, "")}, Invalid),
        (UDID, {"order": ERASE, "revoke_now": True}, Invalid),
    ],
)
async def test_what_cannot_be_meant_changes_nothing(
    live: Live, device: EnrollmentKey, name: str, options: dict[str, object], error: type[OperationError]
) -> None:
    before = await _shown(live)
    with pytest.raises(error):
        await quarantine.quarantine(live.installation, name, reason="lost", actor="test", **options)  # type: ignore[arg-type]
    assert await _shown(live) == before


@pytest.mark.parametrize("state", [EnrollmentState.PENDING, EnrollmentState.CHECKED_OUT, EnrollmentState.QUARANTINED])
async def test_only_an_active_device_is_quarantined(live: Live, device: EnrollmentKey, state: EnrollmentState) -> None:
    def set_state(tx: Tx) -> None:
        found = tx.enrollments.get(device)
        assert found is not None
        tx.enrollments.update(replace(found, state=state))

    await live.installation.store.run(set_state)
    with pytest.raises(Conflict, match=f"is {state}"):
        await quarantine.quarantine(live.installation, UDID, reason="lost", actor="test")


@pytest.mark.parametrize("pin", ["12345", "1234567", "12345a", "", "１２３４５６"])
def test_a_pin_has_six_digits_and_is_never_shown(pin: str) -> None:
    with pytest.raises(Invalid) as caught:
        Order(Measure.LOCK, UDID, pin)
    assert not pin or pin not in str(caught.value)
    assert "123456" not in repr(LOCK)
