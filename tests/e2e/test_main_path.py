"""The whole way, over real TLS: enroll, be pushed, answer, renew, leave; and be refused when it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bramley.mdm.commands import DeviceInformation, ProfileList, Raw, SecurityInfo
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentState
from bramley.model.events import EventKind
from bramley.model.lineages import VersionState
from bramley.operations import commands, devices, identities
from bramley.operations.push import importing
from bramley.operations.pushing import paused_note
from bramley.pki import certificates, keys
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import Stage
from bramley.sandbox.device import SignatureStyle, SimulatedDevice
from bramley.sandbox.errors import ServerRefused
from bramley.storage.protocols import Tx

from .conftest import enrollment


async def _enroll(stage: Stage, device: SimulatedDevice, udid: str | None = None) -> None:
    await device.enroll(await stage.link(udid))


async def _answered(stage: Stage, what: str = "every command answered") -> None:
    await stage.until(what, lambda tx: tx.commands.count_pending() == 0)


@pytest.mark.parametrize("style", SignatureStyle)
async def test_a_device_lives_and_leaves(stage: Stage, style: SignatureStyle) -> None:
    device = stage.device(2, style, users=1)
    udid, user = device.device.udid, device.behaviour.users[0]
    await _enroll(stage, device)
    channel = f"{udid}:{user.user_id}"
    async with awake(device):
        await commands.send(stage.installation, udid, DeviceInformation(("OSVersion",)), actor="test")
        await commands.send(stage.installation, channel, ProfileList(), actor="test")
        await _answered(stage)
    assert sorted(done.request_type for done in device.history) == ["DeviceInformation", "ProfileList"]
    assert {done.status for done in device.history} == {"Acknowledged"}

    await device.set_bootstrap_token(b"bootstrap")
    assert await device.get_bootstrap_token() == b"bootstrap"
    await device.set_bootstrap_token(None)
    assert await device.get_bootstrap_token() is None

    await device.check_out()
    detail = await devices.show(stage.installation, udid)
    assert detail.enrollment.state is EnrollmentState.CHECKED_OUT
    assert [one.state for one in detail.channels] == [EnrollmentState.CHECKED_OUT]
    await device.close()


async def test_user_enrollment_hides_the_udid(stage: Stage) -> None:
    device = stage.device(4)
    device.behaviour = replace(device.behaviour, user_enrollment=True)
    await _enroll(stage, device)
    async with awake(device):
        await commands.send(stage.installation, device.device.enrollment_id, SecurityInfo(), actor="test")
        await _answered(stage)
    detail = await devices.show(stage.installation, device.device.enrollment_id)
    assert detail.enrollment.udid is None
    assert detail.enrollment.enrollment_id == device.device.enrollment_id
    await device.close()


async def test_a_renewal_keeps_queue_and_tokens(stage: Stage) -> None:
    device = stage.device(6)
    udid = device.device.udid
    await _enroll(stage, device)
    await device.set_bootstrap_token(b"kept")
    before = device.identity
    renewal = await identities.renew(stage.service.live, udid, actor="test")
    waiting = await commands.send(stage.installation, udid, SecurityInfo(), actor="test")
    async with awake(device):
        await _answered(stage)
    assert device.identity is not None
    assert before is not None
    assert device.identity.certificate != before.certificate
    assert await device.get_bootstrap_token() == b"kept"
    detail = await devices.show(stage.installation, udid)
    answered = {command.uuid for command in detail.commands if command.state is CommandState.ACKNOWLEDGED}
    assert {renewal.uuid, waiting.uuid} <= answered
    assert {c.request_type for c in detail.commands if c.uuid not in {renewal.uuid, waiting.uuid}} <= {"CertificateList"}
    assert sorted(v.state for v in detail.identities) == [VersionState.ACTIVE, VersionState.SUPERSEDED]
    await device.close()


class TestAWipedDevice:
    async def test_inherits_nothing_and_gets_in_only_by_a_link_that_names_it(self, stage: Stage) -> None:
        before = stage.device(8)
        udid = before.device.udid
        await _enroll(stage, before)
        await before.set_bootstrap_token(b"of its former life")
        erase = await commands.send(
            stage.installation, udid, Raw("EraseDevice", {"RequestType": "EraseDevice"}), actor="test", push=False
        )

        again = stage.device(8)  # the same device, with empty memory
        with pytest.raises(ServerRefused, match="400"):
            await _enroll(stage, again)
        await _enroll(stage, again, udid)
        assert await again.get_bootstrap_token() is None
        async with awake(again):
            await commands.send(stage.installation, udid, SecurityInfo(), actor="test")
            await _answered(stage)
        assert [done.request_type for done in again.history] == ["SecurityInfo"]
        assert not again.wiped

        store = stage.installation.store
        events = await store.read(lambda tx: tx.events.find(kind=EventKind.ENROLLMENT_REPLACED))
        former = events[0].enrollment_key
        assert former is not None
        cancelled = await store.read(lambda tx: tx.commands.get(former, erase.uuid))
        assert cancelled is not None
        assert cancelled.state is CommandState.CANCELLED
        reasons = [event.detail["reason"] for event in await store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED))]
        assert "device-taken" in reasons
        for device in (before, again):
            await device.close()

    async def test_its_former_identity_is_retired(self, stage: Stage) -> None:
        before, again = stage.device(10), stage.device(10)
        await _enroll(stage, before)
        await _enroll(stage, again, before.device.udid)
        with pytest.raises(ServerRefused, match="400"):
            await before.connect()

        def retired(tx: Tx) -> bool:
            found = [tx.lineages.by_sha256(_sha256(device)) for device in (before, again)]
            return [version.state for version in found if version] == [VersionState.RETIRED, VersionState.ACTIVE]

        await stage.until("the former identity retired", retired)
        for device in (before, again):
            await device.close()


async def test_a_revocation_counts_from_the_next_request_on(stage: Stage) -> None:
    device = stage.device(12)
    await _enroll(stage, device)
    assert await device.connect() == 0
    await identities.revoke(stage.installation, device.device.udid, reason="lost", actor="test")
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()
    assert device.enrolled, "no answer made it remove its enrollment"
    await device.close()


class TestPush:
    async def test_a_dead_token_is_not_pushed_until_a_later_token_update(self, stage: Stage) -> None:
        device = stage.device(14)
        await _enroll(stage, device)
        async with awake(device):
            await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
            await _answered(stage)
        await stage.apns.courier.unregister(device.channels[None].token)
        await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
        await stage.until("the dead token noted", lambda tx: getattr(enrollment(tx, device), "push_stopped_at", None))
        accepted = stage.apns.accepted
        await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
        await stage.until("the push job done", lambda tx: all(j.state == "done" for j in tx.jobs.of_kind("push")))
        assert stage.apns.accepted == accepted

        device.channels.clear()
        await device.token_update()
        async with awake(device):
            await _answered(stage)
        await device.close()

    async def test_a_refused_certificate_pauses_the_topic_until_a_new_one_comes(self, stage: Stage) -> None:
        device = stage.device(16)
        await _enroll(stage, device)
        await stage.until("the first push", lambda tx: getattr(enrollment(tx, device), "last_push_at", None))
        stage.apns.refuse_next("BadCertificate")
        await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
        note = paused_note(stage.topic)
        assert await stage.until("the topic paused", lambda tx: tx.notes.get(note)) == "BadCertificate"

        key = keys.generate(keys.KeyAlgorithm.RSA_2048)
        renewed = stage.apple.issue_push_certificate(key.public_key(), topic=stage.topic, now=stage.clock.now())
        await importing.import_pair(stage.installation, renewed, key, actor="test")
        async with awake(device):
            await _answered(stage)
        await device.close()

    async def test_trouble_at_apple_is_tried_again(self, stage: Stage) -> None:
        device = stage.device(18)
        stage.apns.refuse_next("ServiceUnavailable", retry_after=1)
        await _enroll(stage, device)
        async with awake(device):
            await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
            await _answered(stage)
        assert stage.apns.refused["ServiceUnavailable"] == 1
        await device.close()


def _sha256(device: SimulatedDevice) -> str:
    assert device.identity is not None
    return certificates.sha256(device.identity.certificate)
