"""From enrollment to the last command, and everything that is refused on the way."""

from __future__ import annotations

import plistlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from bramley.jobs.renewal import RENEW_DUE, Renewals
from bramley.mdm.commands import DeviceInformation, SecurityInfo
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentState, Presented
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job
from bramley.model.lineages import VersionState
from bramley.operations import commands, devices, identities, suspension
from bramley.pki import certificates, names
from bramley.pki.ca import authority, profiles
from bramley.storage.protocols import Tx
from bramley.web.asgi import ASGIApp, Message, Receive
from tests.web.world import CHECKIN, CONNECT, LIMITS, TOPIC, Device, World


async def state_of(world: World, device: Device) -> EnrollmentState:
    return (await devices.show(world.installation, device.udid)).enrollment.state


async def test_a_device_enrolls_and_its_identity_becomes_active_with_its_first_message(world: World, device: Device) -> None:
    await device.get_identity()

    assert (await device.authenticate()).status_code == 200
    assert await state_of(world, device) is EnrollmentState.PENDING
    (identity,) = (await devices.show(world.installation, device.udid)).identities
    assert identity.state is VersionState.ACTIVE

    assert (await device.token_update()).status_code == 200
    assert await state_of(world, device) is EnrollmentState.ACTIVE


async def test_idle_without_work_is_answered_with_an_empty_200(device: Device) -> None:
    await device.enroll()

    answer = await device.report("Idle")

    assert (answer.status_code, answer.content) == (200, b"")
    assert "content-type" not in answer.headers


async def test_a_command_is_handed_out_until_it_is_answered(world: World, device: Device) -> None:
    await device.enroll()
    first = await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")
    second = await commands.send(world.installation, device.udid, DeviceInformation(("OSVersion",)), actor="cli")

    for _ in range(2):
        handed = plistlib.loads((await device.report("Idle")).content)
        assert handed["CommandUUID"] == first.uuid
        assert handed["Command"]["RequestType"] == "SecurityInfo"

    answer = await device.report("Acknowledged", CommandUUID=first.uuid, SecurityInfo={"PasscodePresent": True})
    assert answer.headers["content-type"] == "application/xml"
    assert plistlib.loads(answer.content)["CommandUUID"] == second.uuid
    stored = await commands.show(world.installation, device.udid, first.uuid)
    assert stored.state is CommandState.ACKNOWLEDGED

    repeated = await device.report("Acknowledged", CommandUUID=first.uuid, SecurityInfo={})
    assert plistlib.loads(repeated.content)["CommandUUID"] == second.uuid


async def test_either_path_serves_either_message(device: Device) -> None:
    await device.get_identity()
    message = {"MessageType": "Authenticate", "UDID": device.udid, "Topic": "wrong"}

    assert (await device.put(message, content_type=CHECKIN, path="/mdm/connect")).status_code == 400
    assert (await device.put(message, content_type=CONNECT, path="/mdm/checkin")).status_code == 400
    assert (await device.authenticate()).status_code == 200
    await device.token_update()
    idle = {"Status": "Idle", "UDID": device.udid}
    assert (await device.put(idle, content_type="application/xml", path="/mdm/checkin")).status_code == 200


@pytest.mark.parametrize(
    ("message_type", "keys_", "status"),
    [
        ("GetToken", {"TokenServiceType": "com.apple.maid"}, 400),
        ("UserAuthenticate", {"UserID": "2E1B0C00-0000-0000-0000-000000000001"}, 410),
        ("DeclarativeManagement", {"Endpoint": "status"}, 404),
        ("Invented", {}, 400),
    ],
)
async def test_what_is_not_offered_has_its_own_status(
    device: Device, message_type: str, keys_: dict[str, str], status: int
) -> None:
    await device.enroll()

    answer = await device.check_in(message_type, **keys_)

    assert (answer.status_code, answer.content) == (status, b"")


async def test_a_bootstrap_token_comes_back(device: Device) -> None:
    await device.enroll()
    assert (await device.check_in("GetBootstrapToken")).content == b""

    assert (await device.check_in("SetBootstrapToken", BootstrapToken=b"secret")).status_code == 200

    answer = await device.check_in("GetBootstrapToken")
    assert plistlib.loads(answer.content) == {"BootstrapToken": b"secret"}


async def refused(world: World, answer: Any, reason: str, *, status: int = 400) -> None:
    """The device hears a status and nothing else; the operator finds the reason in an event and a metric."""
    assert (answer.status_code, answer.content) == (status, b"")
    latest = (await world.events(EventKind.DEVICE_REFUSED))[0]
    assert latest.detail["reason"] == reason
    metrics = (await world.http.get("/metrics")).text
    assert f'bramley_refusals_total{{reason="{reason}"}} 1.0' in metrics


async def ask(app: ASGIApp, receive: Receive, **scope: Any) -> int:
    """The status that an application answers to a bare scope."""
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app({"type": "http", "query_string": b"", "headers": [], **scope}, receive, send)
    return statuses[0]


async def untouched() -> Message:
    raise AssertionError("the body was read")


async def test_without_a_signature_nothing_of_the_body_is_read(world: World) -> None:
    assert await ask(world.app.main, untouched, method="PUT", path="/mdm/connect") == 400
    assert (await world.events(EventKind.DEVICE_REFUSED))[0].detail["reason"] == "no-signature"


async def test_a_body_that_says_it_is_too_large_is_not_read(world: World) -> None:
    headers = [(b"mdm-signature", b"AAAA"), (b"content-length", b"99999999999")]

    assert await ask(world.app.main, untouched, method="PUT", path="/mdm/connect", headers=headers) == 413


async def test_a_body_changed_by_one_byte_is_refused(world: World, device: Device) -> None:
    await device.enroll()
    body = plistlib.dumps({"Status": "Idle", "UDID": device.udid})
    headers = {"Content-Type": CONNECT, "Mdm-Signature": device.sign(body)}

    answer = await world.http.put("/mdm/connect", content=body.replace(b"Idle", b"idle"), headers=headers)

    await refused(world, answer, "bad-signature")


async def test_two_signatures_are_refused(world: World, device: Device) -> None:
    await device.enroll()
    body = plistlib.dumps({"Status": "Idle", "UDID": device.udid})
    signature = device.sign(body)
    headers = [("Content-Type", CONNECT), ("Mdm-Signature", signature), ("Mdm-Signature", signature)]

    await refused(world, await world.http.put("/mdm/connect", content=body, headers=headers), "several-signers")


async def test_an_identity_of_our_ca_that_is_on_no_record_is_refused(world: World, device: Device) -> None:
    identity_ca = world.live.current().authorities.identity.authority
    device.certificate = authority.issue(
        identity_ca,
        profiles.DEVICE_IDENTITY,
        device.key.public_key(),
        subject=names.make("stranger"),
        now=world.clock.now(),
    )

    await refused(world, await device.authenticate(), "unknown-identity")


async def test_a_device_that_says_it_is_another_is_refused(world: World, device: Device) -> None:
    await device.enroll()
    device.udid = "00008030-000000000000002E"

    await refused(world, await device.report("Idle"), "not-this-device")


async def test_a_revoked_identity_is_refused_from_the_next_request_on(world: World, device: Device) -> None:
    await device.enroll()
    assert (await device.report("Idle")).status_code == 200

    await identities.revoke(world.installation, device.udid, reason="stolen", actor="cli")

    await refused(world, await device.report("Idle"), "revoked")


async def test_an_expired_identity_is_refused(world: World, device: Device) -> None:
    await device.enroll()

    world.clock.moment += timedelta(days=800)  # a year, and longer than its renewal may be fetched

    await refused(world, await device.report("Idle"), "expired")


class TestAnIdentityThatHasExpired:
    """Comes for its renewal, by whichever proof, and is back; or is refused, where the setting says so."""

    LATER = timedelta(days=400)

    @pytest.fixture
    async def lapsed(self, world: World, device: Device) -> Device:
        """A device that was away for longer than its identity is good for, and that something waits for."""
        await device.enroll()
        await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")
        world.clock.moment += self.LATER
        return device

    @staticmethod
    async def ask_for_renewals(world: World) -> None:
        job = Job(RENEW_DUE, world.clock.now(), world.clock.now())
        assert await Renewals(world.live).renew_due([job]) == [DONE]

    @staticmethod
    def refuse(world: World) -> None:
        settings = world.installation.settings
        identity = replace(settings.identity, expired="refuse")
        world.live.installation = replace(world.installation, settings=replace(settings, identity=identity))

    async def test_fetches_the_renewal_that_the_server_made_by_itself_and_is_back(self, world: World, lapsed: Device) -> None:
        answer = await lapsed.report("Idle")
        assert (answer.status_code, answer.content) == (200, b"")

        await self.ask_for_renewals(world)
        handed = plistlib.loads((await lapsed.report("Idle")).content)
        assert handed["Command"]["RequestType"] == "InstallProfile"
        await lapsed.obey(handed["Command"]["Payload"])
        for done in (await lapsed.authenticate(), await lapsed.token_update()):
            assert done.status_code == 200
        then = plistlib.loads((await lapsed.report("Acknowledged", CommandUUID=handed["CommandUUID"])).content)
        assert then["Command"]["RequestType"] == "SecurityInfo"
        before, after = (await devices.show(world.installation, lapsed.udid)).identities
        assert (before.state, after.state) == (VersionState.SUPERSEDED, VersionState.ACTIVE)

    async def test_is_over_once_the_new_one_was_seen(self, world: World, lapsed: Device) -> None:
        """Superseded, it would still be good for a grace, had it not expired."""
        old = Device(world, lapsed.key, lapsed.udid, lapsed.certificate)
        await self.test_fetches_the_renewal_that_the_server_made_by_itself_and_is_back(world, lapsed)
        await refused(world, await old.report("Idle"), "expired")

    async def test_is_written_down_once_in_a_while(self, world: World, lapsed: Device) -> None:
        for _ in range(5):
            await lapsed.report("Idle")
        (event,) = await world.events(EventKind.DEVICE_EXPIRED_ACCEPTED)
        assert event.actor == f"device:{lapsed.udid}"
        assert event.enrollment_key == (await devices.show(world.installation, lapsed.udid)).enrollment.key
        world.clock.moment += timedelta(minutes=10)
        await lapsed.report("Idle")
        told = [event.detail.get("left_out") for event in await world.events(EventKind.DEVICE_EXPIRED_ACCEPTED)]
        assert sorted(told, key=str) == [4, None, None]

    async def test_by_tls_too(self, world: World, lapsed: Device) -> None:
        assert lapsed.certificate is not None
        der = certificates.der(lapsed.certificate)
        assert await on_device_listener(world, lapsed, der) == 200
        assert await on_device_listener(world, lapsed, der, signed=True) == 200
        self.refuse(world)
        assert await on_device_listener(world, lapsed, der) == 400
        assert await on_device_listener(world, lapsed, der, signed=True) == 400

    @pytest.mark.parametrize(
        ("message_type", "keys_"),
        [
            ("Authenticate", {"Topic": TOPIC}),
            ("CheckOut", {}),
            ("GetBootstrapToken", {}),
            ("SetBootstrapToken", {"BootstrapToken": b"theirs"}),
            ("DeclarativeManagement", {"Endpoint": "tokens"}),
            ("UserAuthenticate", {"UserID": "2E1B0C00-0000-0000-0000-000000000001"}),
        ],
    )
    async def test_sends_nothing_else(self, world: World, lapsed: Device, message_type: str, keys_: dict[str, Any]) -> None:
        await refused(world, await lapsed.check_in(message_type, **keys_), "expired")

    async def test_is_refused_where_the_setting_says_so(self, world: World, lapsed: Device) -> None:
        self.refuse(world)
        await self.ask_for_renewals(world)
        assert {c.request_type for c in (await devices.show(world.installation, lapsed.udid)).commands} == {"SecurityInfo"}
        await refused(world, await lapsed.report("Idle"), "expired")

    @pytest.mark.parametrize("reason", ["revoked", "suspended"])
    async def test_counts_for_nothing_once_it_was_taken_out_of_force(self, world: World, lapsed: Device, reason: str) -> None:
        await self.ask_for_renewals(world)
        end = identities.revoke if reason == "revoked" else suspension.suspend
        await end(world.installation, lapsed.udid, reason="stolen", actor="cli")
        await refused(world, await lapsed.report("Idle"), reason)

    async def test_taken_out_of_force_between_reading_and_writing_it_gets_nothing(
        self, world: World, lapsed: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self.ask_for_renewals(world)
        suspend = partial(suspension.suspend, world.installation, lapsed.udid, reason="stolen", actor="cli")
        TestBetweenReadingAndWriting.meanwhile(world, monkeypatch, suspend)
        await refused(world, await lapsed.report("Idle"), "suspended")


async def test_a_second_device_cannot_take_the_place_of_an_active_one(world: World, device: Device) -> None:
    await device.enroll()
    other = Device(world, device.key, device.udid)
    await other.get_identity()

    await refused(world, await other.authenticate(), "device-taken")
    assert (await device.report("Idle")).status_code == 200


async def test_a_refused_first_message_leaves_the_identity_unused(world: World, device: Device) -> None:
    await device.get_identity()
    await device.check_in("Authenticate", Topic="com.apple.mgmt.External.another")
    assert device.certificate is not None
    digest = certificates.sha256(device.certificate)

    version = await world.installation.store.read(lambda tx: tx.lineages.by_sha256(digest))

    assert version is not None
    assert version.state is VersionState.ISSUED


async def test_a_renewed_identity_takes_over_with_its_first_idle(world: World, device: Device) -> None:
    await device.enroll()
    old = device.certificate
    world.clock.moment += timedelta(days=240)
    renewal = await identities.renew(world.live, device.udid, actor="cli")
    handed = plistlib.loads((await device.report("Idle")).content)
    assert handed["CommandUUID"] == renewal.uuid
    await device.obey(handed["Command"]["Payload"])
    assert device.certificate != old

    answer = await device.report("Acknowledged", CommandUUID=renewal.uuid)

    assert answer.status_code == 200
    before, after = (await devices.show(world.installation, device.udid)).identities
    assert (before.state, after.state) == (VersionState.SUPERSEDED, VersionState.ACTIVE)


async def test_old_and_new_are_both_good_until_the_grace_is_over(world: World, device: Device) -> None:
    await device.enroll()
    old = Device(world, device.key, device.udid, device.certificate)
    await identities.renew(world.live, device.udid, actor="cli")
    await device.obey(plistlib.loads((await device.report("Idle")).content)["Command"]["Payload"])
    for who in (old, device, old, device):  # the second one is the first that is seen of the new one
        assert (await who.report("Idle")).status_code == 200
    await refused(world, await old.authenticate(), "superseded")

    world.clock.moment += timedelta(hours=71)
    assert await identities.retire_superseded(world.installation, actor="test") == 0
    assert (await old.report("Idle")).status_code == 200
    world.clock.moment += timedelta(hours=2)
    assert await identities.retire_superseded(world.installation, actor="test") == 1
    await refused(world, await old.report("Idle"), "retired")
    assert (await device.report("Idle")).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "limit"), [(CHECKIN, LIMITS.checkin_bytes), (CONNECT, LIMITS.connect_bytes)], ids=["checkin", "connect"]
)
async def test_a_body_beyond_the_limit_of_its_kind_is_413(world: World, device: Device, content_type: str, limit: int) -> None:
    await device.enroll()
    body = b" " * (limit + 1)

    answer = await world.http.put(
        "/mdm/connect", content=body, headers={"Content-Type": content_type, "Mdm-Signature": device.sign(body)}
    )

    await refused(world, answer, "too-large", status=413)


async def test_a_chunked_body_beyond_the_limit_is_413(world: World, device: Device) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 1024

    answer = await world.http.put("/mdm/checkin", content=chunks(), headers={"Content-Type": CHECKIN, "Mdm-Signature": "AAAA"})

    await refused(world, answer, "too-large", status=413)


async def test_a_large_report_is_understood_all_the_same(world: World, device: Device) -> None:
    await device.enroll()
    command = await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")

    answer = await device.report("Acknowledged", CommandUUID=command.uuid, Data=b"x" * 400_000)

    assert answer.status_code == 200
    stored = await commands.show(world.installation, device.udid, command.uuid)
    assert stored.answer is not None
    assert len(stored.answer) > 400_000


async def test_text_that_is_no_plist_is_refused(world: World, device: Device) -> None:
    await device.enroll()
    body = b"<!DOCTYPE x [<!ENTITY a 'b'>]><plist>&a;</plist>"

    answer = await world.http.put(
        "/mdm/connect", content=body, headers={"Content-Type": CONNECT, "Mdm-Signature": device.sign(body)}
    )

    await refused(world, answer, "bad-message")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD"])
@pytest.mark.parametrize("path", ["/mdm/checkin", "/mdm/connect"])
async def test_other_methods_are_405(world: World, method: str, path: str) -> None:
    answer = await world.http.request(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, "PUT")


async def test_storage_trouble_is_503_and_the_device_is_told_when_to_come_back(world: World, device: Device) -> None:
    await device.enroll()
    await world.installation.store.close()

    answer = await device.report("Idle")

    assert (answer.status_code, answer.content) == (503, b"")
    assert int(answer.headers["retry-after"]) > 0


async def on_device_listener(world: World, device: Device, certificate: bytes | None, *, signed: bool = False) -> int:
    """The status of an Idle over TLS with this client certificate, as the protocol would tell of it."""
    body = plistlib.dumps({"Status": "Idle", "UDID": device.udid})

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return await ask(
        world.app.device,
        receive,
        method="PUT",
        path="/mdm/connect",
        headers=[(b"mdm-signature", device.sign(body).encode())] if signed else [],
        extensions={"tls": {"client_cert_der": certificate}},
    )


async def test_a_tls_certificate_identifies_where_it_was_asked_for(world: World, device: Device) -> None:
    await device.enroll()
    assert device.certificate is not None
    der = certificates.der(device.certificate)

    assert await on_device_listener(world, device, der) == 200
    assert await on_device_listener(world, device, der, signed=True) == 200
    assert await on_device_listener(world, device, None, signed=True) == 200
    assert await on_device_listener(world, device, None) == 400


async def test_a_tls_certificate_and_a_signature_by_two_identities_are_refused(world: World, device: Device) -> None:
    await device.enroll()
    other = Device(world, device.key, "00008030-000000000000002E")
    await other.enroll()
    assert other.certificate is not None

    assert await on_device_listener(world, device, certificates.der(other.certificate), signed=True) == 400


async def test_an_expired_tls_certificate_is_refused_by_name(world: World, device: Device) -> None:
    await device.enroll()
    assert device.certificate is not None
    world.clock.moment += timedelta(days=800)

    assert await on_device_listener(world, device, certificates.der(device.certificate)) == 400

    assert (await world.events(EventKind.DEVICE_REFUSED))[0].detail["reason"] == "expired"


@pytest.mark.parametrize("path", ["/scep", "/healthz", "/metrics", "/enroll/x", "/api/v1/devices"])
async def test_the_device_listener_serves_nothing_else(world: World, path: str) -> None:
    assert await ask(world.app.device, untouched, method="GET", path=path) == 404


class TestBetweenReadingAndWriting:
    """Every request reads who sent it, and then writes; whatever happened in between counts."""

    @staticmethod
    def meanwhile(world: World, monkeypatch: pytest.MonkeyPatch, happen: Callable[[], Awaitable[object]]) -> None:
        """Has something happen right after the next request has read who sent it."""
        store = world.installation.store
        presented = store.presented

        async def then_it_happened(sha256: str, user_id: str | None) -> Presented | None:
            found = await presented(sha256, user_id)
            monkeypatch.setattr(store, "presented", presented)
            await happen()
            return found

        monkeypatch.setattr(store, "presented", then_it_happened)

    async def test_a_revoked_identity_stores_no_report(
        self, world: World, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of two identities one is revoked, so the enrollment and its queue live on."""
        await device.enroll()
        stolen = Device(world, device.key, device.udid, device.certificate)
        await self.renew(world, device)
        command = await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")

        self.meanwhile(world, monkeypatch, lambda: self.revoke(world, stolen))

        await refused(world, await stolen.report("Acknowledged", CommandUUID=command.uuid), "revoked")
        stored = await commands.show(world.installation, device.udid, command.uuid)
        assert stored.state is CommandState.QUEUED

    async def test_a_revoked_identity_moves_no_push_token(
        self, world: World, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await device.enroll()
        stolen = Device(world, device.key, device.udid, device.certificate)
        await self.renew(world, device)

        self.meanwhile(world, monkeypatch, lambda: self.revoke(world, stolen))

        answer = await stolen.check_in("TokenUpdate", Topic=TOPIC, Token=b"\x02" * 32, PushMagic="theirs")
        await refused(world, answer, "revoked")
        assert (await devices.show(world.installation, device.udid)).enrollment.push_magic == "magic"

    async def test_a_late_authenticate_does_not_undo_the_enrollment(
        self, world: World, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The device gave up on it, sent it again and went on; the first one is written last."""
        await device.get_identity()

        async def go_on() -> None:
            await device.authenticate()
            await device.token_update()

        self.meanwhile(world, monkeypatch, go_on)

        assert (await device.authenticate()).status_code == 200
        enrollment = (await devices.show(world.installation, device.udid)).enrollment
        assert (enrollment.state, enrollment.push_magic) == (EnrollmentState.ACTIVE, "magic")

    async def test_a_device_that_was_quarantined_gets_no_other_command(
        self, world: World, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await device.enroll()
        first = await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")
        await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")

        def quarantine(tx: Tx) -> None:
            found = devices.resolve(tx, device.udid)
            tx.enrollments.update(replace(found, state=EnrollmentState.QUARANTINED))

        self.meanwhile(world, monkeypatch, lambda: world.installation.store.run(quarantine))

        answer = await device.report("Acknowledged", CommandUUID=first.uuid)
        assert (answer.status_code, answer.content) == (200, b"")

    async def test_a_user_that_checked_out_is_handed_nothing(
        self, world: World, device: Device, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await device.enroll()
        user = {"UserID": "2E1B0C00-0000-0000-0000-000000000001"}
        await device.check_in("TokenUpdate", Topic=TOPIC, Token=b"\x03" * 32, PushMagic="user", **user)
        name = f"{device.udid}:{user['UserID']}"
        await commands.send(world.installation, name, SecurityInfo(), actor="cli")

        self.meanwhile(world, monkeypatch, lambda: device.check_in("CheckOut", **user))

        answer = await device.report("NotNow", CommandUUID="any", **user)
        await refused(world, answer, "unknown-channel")

    @staticmethod
    async def renew(world: World, device: Device) -> None:
        renewal = await identities.renew(world.live, device.udid, actor="cli")
        handed = plistlib.loads((await device.report("Idle")).content)
        await device.obey(handed["Command"]["Payload"])
        assert (await device.report("Acknowledged", CommandUUID=renewal.uuid)).status_code == 200

    @staticmethod
    async def revoke(world: World, device: Device) -> None:
        assert device.certificate is not None
        serial = f"{device.certificate.serial_number:x}"
        await identities.revoke(world.installation, serial, reason="stolen", actor="cli")


async def test_the_identities_of_a_device_that_checked_out_are_left_to_be_retired(world: World, device: Device) -> None:
    await device.enroll()
    enrollment = (await devices.show(world.installation, device.udid)).enrollment

    assert (await device.check_in("CheckOut")).status_code == 200

    jobs = await world.installation.store.read(lambda tx: tx.jobs.of_kind("retire-identities"))
    assert [job.args["enrollment_key"] for job in jobs] == [enrollment.key]
