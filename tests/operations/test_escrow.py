"""FileVault escrow: what is sent, what an answer changes, and what a Mac that enrolled anew starts with."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.jobs.escrow import Escrow
from bramley.mdm.connect import payload_place
from bramley.model import ids
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import DONE, Job
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import escrow
from bramley.operations.errors import Conflict
from bramley.operations.live import Live
from bramley.pki import certificates, cms
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock

UDID, KEY = "11111111-2222-4333-8444-555555555555", EnrollmentKey("k")
FIRST, SECOND = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", "BBBB-BBBB-BBBB-BBBB-BBBB-BBBB"
HOUR = timedelta(hours=1)


@pytest.fixture
async def mac(live: Live) -> Enrollment:
    row = Enrollment(
        KEY, EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(UDID), udid=UDID, product_name="Mac14,2", enrolled_at=NOW
    )
    activated = Event(NOW, EventKind.ENROLLMENT_ACTIVATED, "test", KEY)

    def put(tx: Tx) -> None:
        tx.enrollments.add(row)
        tx.events.append(activated)

    await live.installation.store.run(put)
    return row


def _said(live: Live, command: Command) -> dict[str, Any]:
    sealer = live.installation.sealer
    said: dict[str, Any] = plistlib.loads(sealer.open(command.payload, payload_place(command.uuid)))["Command"]
    return said


async def _pending(live: Live, key: EnrollmentKey = KEY) -> list[Command]:
    return list(await live.installation.store.read(lambda tx: tx.commands.pending(key)))


async def _versions(live: Live) -> list[Version]:
    def read(tx: Tx) -> list[Version]:
        lineage = tx.lineages.find(Kind.FILEVAULT_ESCROW, UDID)
        return [] if lineage is None else list(tx.lineages.versions(lineage.id))

    return await live.installation.store.read(read)


async def _states(live: Live) -> list[VersionState]:
    return [each.state for each in await _versions(live)]


async def _answer(live: Live, command: Command, state: CommandState, answer: dict[str, Any] | None = None) -> str:
    """The Mac answers a minute later, and the job that this releases is run; what the job has to complain about."""
    clock = live.installation.clock
    assert isinstance(clock, SetClock)
    clock.moment += timedelta(minutes=1)
    raw, now = plistlib.dumps(answer or {}), clock.moment
    await live.installation.store.run(lambda tx: tx.commands.answer(command.enrollment_key, command.uuid, state, raw, now))
    job = Job("x", now, now, {"enrollment_key": command.enrollment_key, "command_uuid": command.uuid})
    handlers = Escrow(live)
    handler = handlers.installed if command.request_type == "InstallProfile" else handlers.answered
    (outcome,) = await handler([job])
    return outcome.error


def _sealed(version: Version, text: str) -> bytes:
    assert version.certificate is not None
    return cms.encrypt(text.encode(), recipients=[certificates.load(version.certificate)])


def _told(version: Version, text: str) -> dict[str, Any]:
    return {"SecurityInfo": {"FDE_PersonalRecoveryKeyCMS": _sealed(version, text)}}


def _rotated(version: Version, text: str) -> dict[str, Any]:
    return {"RotateResult": {"EncryptedNewRecoveryKey": _sealed(version, text)}}


async def _enabled(live: Live, recovery_key: str = FIRST) -> Version:
    """The Mac has installed the certificate, and has told its recovery key."""
    sent = await escrow.enable(live, UDID, actor="test")
    await _answer(live, sent, CommandState.ACKNOWLEDGED)
    active = next(each for each in await _versions(live) if each.state is VersionState.ACTIVE)
    for asked in await _pending(live):
        assert await _answer(live, asked, CommandState.ACKNOWLEDGED, _told(active, recovery_key)) == ""
    return active


async def _revealed(live: Live) -> list[str]:
    found = await escrow.reveal(live.installation, UDID, reason="test", every=True, actor="test")
    return [each.text for each in found]


async def _begin_again(live: Live, clock: SetClock, **changes: Any) -> None:
    """The Mac enrolls anew, an hour later."""
    clock.moment += HOUR
    fields = {"enrolled_at": clock.moment, **changes}

    def put(tx: Tx) -> None:
        row = tx.enrollments.get(KEY)
        assert row is not None
        tx.commands.cancel(KEY, clock.moment)
        tx.enrollments.update(replace(row, **fields))
        tx.events.append(Event(clock.moment, EventKind.ENROLLMENT_ACTIVATED, "test", KEY))

    await live.installation.store.run(put)
    clock.moment += HOUR


async def test_the_certificate_goes_out_in_a_signed_profile(live: Live, mac: Enrollment) -> None:
    sent = await escrow.enable(live, UDID, actor="test")
    verified = cms.verify(cms.parse_signed_data(_said(live, sent)["Payload"]), policy=cms.STRICT)
    assert verified.certificate == certificates.der(live.current().signer.certificate)
    assert plistlib.loads(verified.content)["PayloadIdentifier"] == escrow.PROFILE


async def test_a_mac_that_refuses_the_profile_is_not_asked(live: Live, mac: Enrollment) -> None:
    await _answer(live, await escrow.enable(live, UDID, actor="test"), CommandState.ERROR)
    assert (await _states(live), await _pending(live)) == ([VersionState.ISSUED], [])
    with pytest.raises(Conflict, match="no escrow certificate yet"):
        await escrow.fetch(live.installation, UDID, actor="test")


async def test_a_mac_that_has_left_is_not_asked(live: Live, mac: Enrollment) -> None:
    sent = await escrow.enable(live, UDID, actor="test")
    left = replace(mac, state=EnrollmentState.CHECKED_OUT)
    answered = replace(sent, state=CommandState.ACKNOWLEDGED)

    def act(tx: Tx) -> None:
        tx.enrollments.update(left)
        escrow.installed(tx, live.installation, answered, now=NOW, actor="test")

    await live.installation.store.run(act)
    assert await _states(live) == [VersionState.ISSUED]


async def test_while_the_mac_makes_a_key_it_is_not_told_to_make_another(live: Live, mac: Enrollment) -> None:
    active = await _enabled(live)
    rotation = await escrow.rotate(live.installation, UDID, actor="test")
    with pytest.raises(Conflict, match="has not answered yet"):
        await escrow.rotate(live.installation, UDID, actor="test")
    asked = await escrow.fetch(live.installation, UDID, actor="test")
    assert [each.uuid for each in await _pending(live)] == [rotation.uuid, asked.uuid]
    await escrow.enable(live, UDID, actor="test")
    assert rotation.uuid in [each.uuid for each in await _pending(live)]

    assert await _answer(live, rotation, CommandState.ACKNOWLEDGED, _rotated(active, SECOND)) == ""
    assert await _revealed(live) == [SECOND, FIRST]
    assert (await escrow.rotate(live.installation, UDID, actor="test")).uuid != rotation.uuid


async def test_a_rotation_is_opened_by_the_key_in_force_and_told_to_the_certificate_in_force(live: Live, mac: Enrollment) -> None:
    await _enabled(live)
    active = await _enabled(live)
    await escrow.enable(live, UDID, actor="test")
    assert await _states(live) == [VersionState.SUPERSEDED, VersionState.ACTIVE, VersionState.ISSUED]
    said = _said(live, await escrow.rotate(live.installation, UDID, actor="test"))
    assert said == {
        "RequestType": "RotateFileVaultKey",
        "KeyType": "personal",
        "FileVaultUnlock": {"Password": FIRST},
        "ReplyEncryptionCertificate": active.certificate,
    }


async def test_rotations_and_new_keys_are_written_down(live: Live, mac: Enrollment) -> None:
    active = await _enabled(live)
    rotation = await escrow.rotate(live.installation, UDID, actor="admin:ann")
    await _answer(live, rotation, CommandState.ACKNOWLEDGED, _rotated(active, SECOND))

    def read(tx: Tx) -> tuple[list[Event], list[Event]]:
        rotated = tx.events.find(kind=EventKind.RECOVERY_KEY_ROTATED, enrollment_key=KEY)
        return list(rotated), list(tx.events.find(kind=EventKind.RECOVERY_KEY_KEPT, enrollment_key=KEY))

    rotated, kept = await live.installation.store.read(read)
    assert [(each.actor, each.detail) for each in rotated] == [("admin:ann", {"command": rotation.uuid})]
    assert [(each.version_id, each.detail["replaces"]) for each in kept] == [(active.id, True), (active.id, False)]


@pytest.mark.parametrize("state", [CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR])
async def test_a_key_in_an_answer_that_is_none_is_not_taken(live: Live, mac: Enrollment, state: CommandState) -> None:
    active = await _enabled(live)
    rotation = await escrow.rotate(live.installation, UDID, actor="test")
    complaint = await _answer(live, rotation, state, _rotated(active, SECOND))
    assert (state in complaint, await _revealed(live)) == (True, [FIRST])


@pytest.mark.parametrize("text", ["", "\0\r\n "])
async def test_an_empty_key_is_not_taken(live: Live, mac: Enrollment, text: str) -> None:
    active = await _enabled(live)
    rotation = await escrow.rotate(live.installation, UDID, actor="test")
    assert "is empty" in await _answer(live, rotation, CommandState.ACKNOWLEDGED, _rotated(active, text))
    assert await _revealed(live) == [FIRST]


async def test_a_kept_key_that_does_not_open_stands_in_no_later_ones_way(live: Live, mac: Enrollment) -> None:
    active = await _enabled(live)
    now = live.installation.clock.now() + timedelta(seconds=1)
    damaged = RecoveryKey(ids.fresh(now), EnrollmentID(UDID), active.id, b"nonsense", now)
    await live.installation.store.run(lambda tx: tx.recovery_keys.add(damaged))
    asked = await escrow.fetch(live.installation, UDID, actor="test")
    assert await _answer(live, asked, CommandState.ACKNOWLEDGED, _told(active, SECOND)) == ""
    found = await escrow.reveal(live.installation, UDID, reason="test", actor="test")
    assert [each.text for each in found] == [SECOND]


async def test_a_user_of_a_mac_has_no_disk(live: Live, mac: Enrollment) -> None:
    await _enabled(live)
    jo = replace(mac, key=EnrollmentKey("jo"), id=EnrollmentID(f"{UDID}:jo"), parent=KEY, user_id="jo")
    await live.installation.store.run(lambda tx: tx.enrollments.add(jo))
    for refused in (
        escrow.enable(live, "jo", actor="test"),
        escrow.fetch(live.installation, "jo", actor="test"),
        escrow.rotate(live.installation, "jo", actor="test"),
    ):
        with pytest.raises(Conflict, match="Name the Mac"):
            await refused
    assert (await _pending(live), await _pending(live, jo.key)) == ([], [])


async def test_user_enrollment_leaves_the_disk_to_its_owner(live: Live, mac: Enrollment) -> None:
    owned = replace(mac, udid=None, enrollment_id=UDID)
    await live.installation.store.run(lambda tx: tx.enrollments.update(owned))
    with pytest.raises(Conflict, match="User Enrollment"):
        await escrow.enable(live, UDID, actor="test")
    assert (await _pending(live), await _versions(live)) == ([], [])


class TestANewLife:
    """After an erasure, or after management was removed, the Mac has lost the profile; the disk may be another."""

    async def test_nothing_is_asked_before_it_has_a_certificate_again(self, live: Live, mac: Enrollment, clock: SetClock) -> None:
        former = await _enabled(live)
        await _begin_again(live, clock)
        for refused in (escrow.fetch, escrow.rotate):
            with pytest.raises(Conflict, match="has enrolled anew"):
                await refused(live.installation, UDID, actor="test")
        assert await _pending(live) == []
        assert await _revealed(live) == [FIRST]

        active = await _enabled(live, SECOND)
        assert await _states(live) == [VersionState.SUPERSEDED, VersionState.ACTIVE]
        assert active.certificate != former.certificate
        assert await _revealed(live) == [SECOND, FIRST]

    async def test_it_is_sent_one_by_itself_once(self, live: Live, mac: Enrollment, clock: SetClock) -> None:
        await _enabled(live)
        job = Job("deliver", NOW, NOW, {"enrollment_key": KEY})

        async def deliver(jobs: Any) -> list[Any]:
            return [DONE] * len(jobs)

        async def due() -> list[Job]:
            assert await Escrow(live).with_deliveries(deliver)([job, job]) == [DONE, DONE]
            return list(await live.installation.store.read(lambda tx: tx.jobs.of_kind(escrow.ESCROW_OUTLIVED)))

        assert await due() == []
        await _begin_again(live, clock)
        (left,) = await due()
        assert left.args == {"enrollment_key": KEY}
        assert await Escrow(live).outlived([left, left]) == [DONE, DONE]
        assert [each.request_type for each in await _pending(live)] == ["InstallProfile"]
        assert await _states(live) == [VersionState.ACTIVE, VersionState.ISSUED]

    @pytest.mark.parametrize("state", [EnrollmentState.QUARANTINED, EnrollmentState.CHECKED_OUT])
    async def test_one_that_is_not_active_is_sent_none(
        self, live: Live, mac: Enrollment, clock: SetClock, state: EnrollmentState
    ) -> None:
        await _enabled(live)
        await _begin_again(live, clock, state=state)
        await escrow.enable_again(live, KEY, actor="test")
        assert (await _pending(live), await _states(live)) == ([], [VersionState.ACTIVE])

    async def test_one_that_was_on_its_way_is_sent_too(self, live: Live, mac: Enrollment, clock: SetClock) -> None:
        await escrow.enable(live, UDID, actor="test")
        await _begin_again(live, clock)
        await escrow.enable_again(live, KEY, actor="test")
        (sent,) = await _pending(live)
        await _answer(live, sent, CommandState.ACKNOWLEDGED)
        assert await _states(live) == [VersionState.SUPERSEDED, VersionState.ACTIVE]

    async def test_a_key_of_the_former_disk_makes_no_new_one(self, live: Live, mac: Enrollment, clock: SetClock) -> None:
        await _enabled(live)
        await _begin_again(live, clock)
        await _answer(live, await escrow.enable(live, UDID, actor="test"), CommandState.ACKNOWLEDGED)
        with pytest.raises(Conflict, match="is known since it enrolled"):
            await escrow.rotate(live.installation, UDID, actor="test")

    async def test_a_disk_that_was_not_erased_has_the_key_of_before(self, live: Live, mac: Enrollment, clock: SetClock) -> None:
        await _enabled(live)
        await _begin_again(live, clock)
        active = await _enabled(live)
        said = _said(live, await escrow.rotate(live.installation, UDID, actor="test"))
        assert (said["FileVaultUnlock"], said["ReplyEncryptionCertificate"]) == ({"Password": FIRST}, active.certificate)

    @pytest.mark.parametrize("state", [EnrollmentState.PENDING, EnrollmentState.QUARANTINED])
    async def test_it_begins_with_the_first_token_update(
        self, live: Live, mac: Enrollment, clock: SetClock, state: EnrollmentState
    ) -> None:
        await _enabled(live)
        await _begin_again(live, clock, state=state, enrolled_at=None)
        with pytest.raises(Conflict, match="has not finished enrolling"):
            await escrow.enable(live, UDID, actor="test")
        with pytest.raises(Conflict, match="has enrolled anew"):
            await escrow.fetch(live.installation, UDID, actor="test")
        await escrow.enable_again(live, KEY, actor="test")
        assert (await _pending(live), await _states(live)) == ([], [VersionState.ACTIVE])

    async def test_a_mac_from_another_mdm_begins_none_by_a_token_update(self, live: Live, clock: SetClock) -> None:
        row = Enrollment(KEY, EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(UDID), udid=UDID, product_name="Mac14,2")
        await live.installation.store.run(lambda tx: tx.enrollments.add(row))
        await _enabled(live)
        clock.moment += HOUR
        await live.installation.store.run(lambda tx: tx.enrollments.update(replace(row, enrolled_at=clock.moment)))
        assert (await escrow.fetch(live.installation, UDID, actor="test")).request_type == "SecurityInfo"
        assert not await live.installation.store.read(lambda tx: escrow.is_outlived(tx, KEY))
