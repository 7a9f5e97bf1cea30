"""The command channel: nothing is lost, nothing comes twice, and a quarantined device is only locked or erased."""

from __future__ import annotations

import plistlib
from datetime import timedelta

import pytest

from bramley.mdm import connect
from bramley.mdm.commands import DeviceInformation, InstallProfile, SecurityInfo, read_raw
from bramley.mdm.errors import Refused
from bramley.mdm.report import parse_report
from bramley.model.commands import CommandState, PendingCommand
from bramley.model.enrollments import EnrollmentState
from bramley.model.events import EventKind
from bramley.pki.errors import SealError

from .kit import UDID, Server

ERASE = read_raw({"RequestType": "EraseDevice", "PIN": "123456"})
LOCK = read_raw({"RequestType": "DeviceLock", "PIN": "123456"})


async def test_an_idle_device_works_through_its_queue(server: Server) -> None:
    identity = await server.enroll()
    key = identity.enrollment_key
    first = await server.queue(key, DeviceInformation(("UDID", "OSVersion")))
    second = await server.queue(key, SecurityInfo())

    message = await server.connect(identity, "Idle")
    assert message == {"CommandUUID": first, "Command": {"RequestType": "DeviceInformation", "Queries": ["UDID", "OSVersion"]}}
    message = await server.connect(identity, "Acknowledged", first, QueryResponses={"UDID": UDID})
    assert message is not None
    assert message["CommandUUID"] == second
    assert await server.connect(identity, "Acknowledged", second) is None
    assert await server.connect(identity, "Idle") is None

    command = await server.command(key, first)
    assert (command.state, command.answered_at) == (CommandState.ACKNOWLEDGED, server.now)
    assert command.answer is not None
    assert plistlib.loads(command.answer)["QueryResponses"] == {"UDID": UDID}
    latest, earlier = await server.events(EventKind.COMMAND_ANSWERED, key)
    assert earlier.detail == {"command_uuid": first, "request_type": "DeviceInformation", "state": "acknowledged"}
    assert latest.detail["command_uuid"] == second


async def test_a_command_stays_until_its_answer_is_stored(server: Server) -> None:
    identity = await server.enroll()
    uuid = await server.queue(identity.enrollment_key, SecurityInfo())
    for _ in range(3):
        message = await server.connect(identity, "Idle")
        assert message is not None
        assert message["CommandUUID"] == uuid


async def test_the_same_report_twice_is_harmless(server: Server) -> None:
    identity = await server.enroll()
    key = identity.enrollment_key
    first = await server.queue(key, SecurityInfo(), job="after-info")
    second = await server.queue(key, SecurityInfo())
    for status in ("Acknowledged", "Acknowledged", "Error", "NotNow"):
        message = await server.connect(identity, status, first)
        assert message is not None
        assert message["CommandUUID"] == second
    assert (await server.command(key, first)).state is CommandState.ACKNOWLEDGED
    assert len(await server.jobs("after-info")) == 1
    assert len(await server.events(EventKind.COMMAND_ANSWERED, key)) == 1


async def test_a_report_on_an_unknown_command_is_no_error(server: Server) -> None:
    identity = await server.enroll()
    uuid = await server.queue(identity.enrollment_key, SecurityInfo())
    message = await server.connect(identity, "Acknowledged", "never-heard-of")
    assert message is not None
    assert message["CommandUUID"] == uuid


@pytest.mark.parametrize(
    ("status", "state"), [("Error", CommandState.ERROR), ("CommandFormatError", CommandState.COMMAND_FORMAT_ERROR)]
)
async def test_failures_are_ends_too(server: Server, status: str, state: CommandState) -> None:
    identity = await server.enroll()
    uuid = await server.queue(identity.enrollment_key, SecurityInfo(), job="after-info")
    chain = [{"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": 12021, "LocalizedDescription": "No."}]
    assert await server.connect(identity, status, uuid, ErrorChain=chain) is None
    assert (await server.command(identity.enrollment_key, uuid)).state is state
    (event,) = await server.events(EventKind.COMMAND_ANSWERED)
    assert event.detail["error"] == "MCMDMErrorDomain 12021"
    (job,) = await server.jobs("after-info")
    assert job.args == {"enrollment_key": identity.enrollment_key, "command_uuid": uuid}


async def test_what_is_put_off_comes_again_in_the_next_session_only(server: Server) -> None:
    identity = await server.enroll()
    key = identity.enrollment_key
    first, second = await server.queue(key, SecurityInfo(), job="after-info"), await server.queue(key, SecurityInfo())
    message = await server.connect(identity, "NotNow", first)
    assert message is not None
    assert message["CommandUUID"] == second
    assert await server.connect(identity, "Acknowledged", second) is None
    assert await server.jobs("after-info") == []

    message = await server.connect(identity, "Idle")
    assert message is not None
    assert message["CommandUUID"] == first
    assert (await server.command(key, first)).not_now_count == 1
    assert await server.connect(identity, "Acknowledged", first) is None
    assert len(await server.jobs("after-info")) == 1


async def test_put_off_twice_in_one_session_is_not_offered_twice(server: Server) -> None:
    identity = await server.enroll()
    uuids = [await server.queue(identity.enrollment_key, SecurityInfo()) for _ in range(2)]
    for uuid in uuids:
        message = await server.connect(identity, "NotNow", uuid)
    assert message is None
    message = await server.connect(identity, "Idle")
    assert message is not None
    assert message["CommandUUID"] == uuids[0]


async def test_a_device_answers_only_for_itself(server: Server) -> None:
    first = await server.enroll()
    uuid = await server.queue(first.enrollment_key, SecurityInfo())
    second = await server.issue(await server.enrollment())
    await server.authenticate(second, UDID="SECOND")
    await server.token_update(second, UDID="SECOND")
    assert await server.connect(second, "Acknowledged", uuid, UDID="SECOND") is None
    assert (await server.command(first.enrollment_key, uuid)).state is CommandState.QUEUED


async def test_users_have_queues_of_their_own(server: Server) -> None:
    identity = await server.enroll()
    await server.token_update(identity, UserID="u-1")
    (channel,) = await server.channels(identity.enrollment_key)
    uuid = await server.queue(channel.key, SecurityInfo())
    assert await server.connect(identity, "Idle") is None
    message = await server.connect(identity, "Idle", UserID="u-1")
    assert message is not None
    assert message["CommandUUID"] == uuid
    assert await server.connect(identity, "Acknowledged", uuid) is None
    assert (await server.command(channel.key, uuid)).state is CommandState.QUEUED
    assert await server.connect(identity, "Acknowledged", uuid, UserID="u-1") is None
    assert (await server.command(channel.key, uuid)).state is CommandState.ACKNOWLEDGED


async def test_a_pending_device_and_an_unknown_user_get_nothing(server: Server) -> None:
    identity = await server.issue(await server.enrollment())
    await server.authenticate(identity)
    await server.queue(identity.enrollment_key, SecurityInfo())
    with pytest.raises(Refused, match="pending"):
        await server.connect(identity, "Idle")
    await server.token_update(identity)
    with pytest.raises(Refused, match="no channel"):
        await server.connect(identity, "Idle", UserID="u-9")


class TestQuarantine:
    async def test_only_lock_and_erase_go_out_whatever_is_in_front(self, server: Server) -> None:
        identity = await server.enroll()
        key = identity.enrollment_key
        other = await server.queue(key, InstallProfile(b"profile"))
        lock, erase = await server.queue(key, LOCK), await server.queue(key, ERASE)
        await server.set_state(key, EnrollmentState.QUARANTINED)

        message = await server.connect(identity, "Idle")
        assert message is not None
        assert message["CommandUUID"] == lock
        message = await server.connect(identity, "Acknowledged", lock)
        assert message is not None
        assert message["CommandUUID"] == erase
        assert await server.connect(identity, "NotNow", erase) is None
        message = await server.connect(identity, "Idle")
        assert message is not None
        assert message["CommandUUID"] == erase
        assert await server.connect(identity, "Acknowledged", erase) is None
        assert (await server.command(key, other)).state is CommandState.QUEUED

    async def test_what_was_already_sent_may_still_be_answered(self, server: Server) -> None:
        identity = await server.enroll()
        uuid = await server.queue(identity.enrollment_key, SecurityInfo())
        await server.connect(identity, "Idle")
        await server.set_state(identity.enrollment_key, EnrollmentState.QUARANTINED)
        assert await server.connect(identity, "Acknowledged", uuid) is None
        assert (await server.command(identity.enrollment_key, uuid)).state is CommandState.ACKNOWLEDGED


class TestAnIdentityThatHasEnded:
    """Fetches its renewal and reports on it. Nothing else goes out, and nothing else that it says is taken for true."""

    async def test_gets_its_renewal_whatever_is_in_front(self, server: Server) -> None:
        identity = await server.enroll()
        key = identity.enrollment_key
        other = await server.queue(key, SecurityInfo(), job="after-info")
        await server.connect(identity, "Idle")
        profile = await server.queue(key, InstallProfile(b"of somebody's"))
        server.later(days=400)
        assert await server.connect(identity, "Idle") is None

        renewal = await server.queue(key, InstallProfile(b"renewal"), job=connect.RENEWAL_ANSWERED)
        for told, uuid in (("Idle", None), ("Acknowledged", other), ("Error", profile), ("Acknowledged", "never-heard-of")):
            message = await server.connect(identity, told, uuid)
            assert message is not None
            assert (message["CommandUUID"], message["Command"]["Payload"]) == (renewal, b"renewal")
        for uuid in (other, profile):
            assert (await server.command(key, uuid)).state is CommandState.QUEUED
        assert await server.jobs("after-info") == []
        assert await server.events(EventKind.COMMAND_ANSWERED) == []

    async def test_may_put_its_renewal_off_and_say_why_it_failed(self, server: Server) -> None:
        identity = await server.enroll()
        key = identity.enrollment_key
        renewal = await server.queue(key, InstallProfile(b"renewal"), job=connect.RENEWAL_ANSWERED)
        server.later(days=400)
        assert await server.connect(identity, "NotNow", renewal) is None
        message = await server.connect(identity, "Idle")
        assert message is not None
        assert message["CommandUUID"] == renewal
        chain = [{"ErrorDomain": "MDM-SCEP", "ErrorCode": 15002, "LocalizedDescription": "No."}]
        assert await server.connect(identity, "Error", renewal, ErrorChain=chain) is None
        assert (await server.command(key, renewal)).state is CommandState.ERROR
        assert len(await server.jobs(connect.RENEWAL_ANSWERED)) == 1

    async def test_in_quarantine_gets_lock_and_erase_and_no_renewal(self, server: Server) -> None:
        identity = await server.enroll()
        key = identity.enrollment_key
        renewal = await server.queue(key, InstallProfile(b"renewal"), job=connect.RENEWAL_ANSWERED)
        await server.set_state(key, EnrollmentState.QUARANTINED)
        server.later(days=400)
        assert await server.connect(identity, "Idle") is None
        erase = await server.queue(key, ERASE, job="after-erase")
        message = await server.connect(identity, "Acknowledged", renewal)
        assert message is not None
        assert message["CommandUUID"] == erase
        assert await server.connect(identity, "Acknowledged", erase) is None
        assert [(await server.command(key, uuid)).state for uuid in (renewal, erase)] == [
            CommandState.QUEUED,
            CommandState.ACKNOWLEDGED,
        ]
        assert len(await server.jobs("after-erase")) == 1

    @pytest.mark.parametrize("after_end", [None, timedelta(days=30)])
    async def test_is_refused_where_or_when_it_is_not_wanted(self, server: Server, after_end: timedelta | None) -> None:
        identity = await server.enroll()
        await server.queue(identity.enrollment_key, InstallProfile(b"renewal"), job=connect.RENEWAL_ANSWERED)
        server.after_end = after_end
        server.later(days=400)
        with pytest.raises(Refused, match="ended at"):
            await server.connect(identity, "Idle")


async def test_idle_is_answered_without_a_transaction_unless_something_was_put_off(server: Server) -> None:
    identity = await server.enroll()
    uuid = await server.queue(identity.enrollment_key, SecurityInfo())
    body = plistlib.dumps({"UDID": UDID, "Status": "Idle"})
    report = parse_report(body)
    immediate = connect.answer_idle(await server.device(identity, body, report), report)
    assert immediate is not None
    assert immediate.command is not None
    assert immediate.command.uuid == uuid
    await server.connect(identity, "NotNow", uuid)
    assert connect.answer_idle(await server.device(identity, body, report), report) is None


async def test_a_payload_opens_for_its_own_command_only(server: Server) -> None:
    identity = await server.enroll()
    first = await server.command(identity.enrollment_key, await server.queue(identity.enrollment_key, SecurityInfo()))
    second = await server.command(identity.enrollment_key, await server.queue(identity.enrollment_key, SecurityInfo()))
    assert b"SecurityInfo" not in first.payload
    with pytest.raises(SealError):
        connect.deliver(PendingCommand(first.uuid, "SecurityInfo", second.payload), server.sealer)


TOLD = {"DeviceName": "Jo's iPhone", "OSVersion": "18.2", "BuildVersion": "22C152", "ProductName": "iPhone15,2", "Model": "MX"}
OURS = ("device_name", "os_version", "build_version", "product_name", "model")


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"QueryResponses": TOLD}, ("Jo's iPhone", "18.2", "22C152", "iPhone15,2", "MX")),
        ({"QueryResponses": {"DeviceName": "Jo's iPhone"}}, ("Jo's iPhone", "15.1", None, None, None)),
        ({"QueryResponses": {"DeviceName": "x" * 256, "OSVersion": 18, "Model": ""}}, (None, "15.1", None, None, None)),
        ({"QueryResponses": {"SerialNumber": "ANOTHER", "UDID": "other"}}, (None, "15.1", None, None, None)),
        ({"QueryResponses": [TOLD]}, (None, "15.1", None, None, None)),
        ({}, (None, "15.1", None, None, None)),
    ],
)
async def test_what_a_device_tells_of_itself_is_kept_with_it(server: Server, told: dict[str, object], kept: object) -> None:
    identity = await server.enroll()
    key = identity.enrollment_key
    uuid = await server.queue(key, DeviceInformation(("DeviceName",)))
    await server.connect(identity, "NotNow", uuid, **told)
    before = await server.row(key)
    server.later(minutes=1)
    await server.connect(identity, "Acknowledged", uuid, **told)
    row = await server.row(key)
    assert tuple(getattr(row, name) for name in OURS) == kept
    assert (row.serial_number, row.udid) == (before.serial_number, before.udid)
    assert before.device_name is None
    assert (await server.command(key, uuid)).state is CommandState.ACKNOWLEDGED


async def test_other_answers_describe_nothing(server: Server) -> None:
    identity = await server.enroll()
    uuid = await server.queue(identity.enrollment_key, SecurityInfo())
    await server.connect(identity, "Acknowledged", uuid, QueryResponses=TOLD)
    assert (await server.row(identity.enrollment_key)).device_name is None
