"""A device that enrolls, step by step."""

from __future__ import annotations

import plistlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.pki import certificates
from bramley.pki.keys import PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import Patience, SignatureStyle, SimulatedDevice, UserAccount
from bramley.sandbox.errors import BadProfile, IdentityRefused, ServerRefused, ServerUnreachable, Unenrolled, UnknownToken
from tests.sandbox import tiny_server
from tests.sandbox.tiny_server import TinyServer

JO = UserAccount("11111111-2222-4333-8444-555555555555", "jo", "Jo Appleseed")


@pytest.mark.parametrize("style", [SignatureStyle.APPLE, SignatureStyle.DER])
async def test_enrolling(style: SignatureStyle, device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for(style=style, users=(JO,))
    await device.enroll(f"{server.url}/enroll")
    assert server.messages == ["Authenticate", "TokenUpdate", "TokenUpdate"]
    assert device.identity is not None
    for request in server.seen:
        if request.method == "PUT":
            assert request.signer == certificates.der(device.identity.certificate)
            assert request.headers["content-type"] == "application/x-apple-aspen-mdm-checkin"
    mine, joes = (request.plist for request in server.seen[-2:])
    assert mine["Token"] != joes["Token"]
    assert "UserID" not in mine
    assert (joes["UserID"], joes["UserShortName"], joes["UDID"]) == (JO.user_id, "jo", device.device.udid)


@pytest.mark.parametrize("mac", [True, False])
@pytest.mark.parametrize("user_enrollment", [True, False])
async def test_check_ins_are_as_apples_schema_says(
    mac: bool, user_enrollment: bool, device_for: Callable[..., SimulatedDevice], server: TinyServer, schema: Any
) -> None:
    device = device_for(mac=mac, user_enrollment=user_enrollment, users=(JO,) if mac and not user_enrollment else ())
    await device.enroll(f"{server.url}/enroll")
    await device.set_bootstrap_token(b"b")
    await device.get_bootstrap_token()
    await device.check_out()
    checker = schema("macOS" if mac else "iOS", user_enrollment)
    for request in server.seen:
        if request.method == "PUT":
            problems = [problem for problem in checker.checkin(request.plist) if problem.startswith("error")]
            # the schema asks for the keys of every channel at once, on the device's too
            wanted = ("NotOnConsole", "UserLongName", "EnrollmentUserID", "EnrollmentID", "UDID")
            assert [problem for problem in problems if not problem.endswith(tuple(f"{key} is missing" for key in wanted))] == []
            assert ("UDID" in request.plist) != ("EnrollmentID" in request.plist)


async def test_a_device_that_trusts_nothing_of_the_servers(
    device_for: Callable[..., SimulatedDevice], server: TinyServer, keyring: list[PrivateKey], clock: ShiftedClock
) -> None:
    stranger = tiny_server.make([keyring[2], *keyring[1:]], clock.now)
    device = device_for(anchors=(stranger.root.certificate,))
    with pytest.raises(BadProfile, match="not to be trusted"):
        await device.fetch_profile(f"{server.url}/enroll")
    assert not device.enrolled


async def test_an_unsigned_profile_is_refused_unless_allowed(
    device_for: Callable[..., SimulatedDevice], server: TinyServer
) -> None:
    server.signed = False
    with pytest.raises(BadProfile, match="not signed"):
        await device_for().fetch_profile(f"{server.url}/enroll")
    profile = await device_for(allow_unsigned=True).fetch_profile(f"{server.url}/enroll")
    assert profile.signers == ()


async def test_a_profile_whose_signer_has_expired(
    device_for: Callable[..., SimulatedDevice], server: TinyServer, clock: ShiftedClock
) -> None:
    clock.shift = timedelta(days=3 * 365)
    with pytest.raises(BadProfile, match="not to be trusted"):
        await device_for().fetch_profile(f"{server.url}/enroll")


async def test_a_wrong_challenge_ends_at_scep(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for()
    await device.fetch_profile(f"{server.url}/enroll")
    server.challenges.clear()
    with pytest.raises(IdentityRefused, match="badRequest"):
        await device.obtain_identity()


async def test_a_spent_challenge_is_not_spent_twice(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for()
    await device.fetch_profile(f"{server.url}/enroll")
    assert await device.obtain_identity() is await device.obtain_identity()


async def test_the_steps_need_their_order(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for()
    with pytest.raises(Unenrolled):
        await device.obtain_identity()
    await device.fetch_profile(f"{server.url}/enroll")
    with pytest.raises(Unenrolled):
        await device.authenticate()


async def test_the_same_body_is_sent_until_it_is_taken(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for()
    server.answers.extend([(503, b""), (500, b""), (0, b""), (400, b"")])
    await device.enroll(f"{server.url}/enroll")
    sent = [request.body for request in server.seen if request.method == "PUT"]
    assert server.messages == ["Authenticate"] * 5 + ["TokenUpdate"]
    assert len(set(sent[:5])) == 1


async def test_patience_ends(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for()
    await device.fetch_profile(f"{server.url}/enroll")
    await device.obtain_identity()
    server.refuse = lambda _request: 400
    with pytest.raises(ServerRefused) as caught:
        await device.authenticate()
    assert caught.value.status == 400
    assert server.messages == ["Authenticate"] * 2
    await server.stop()
    with pytest.raises(ServerUnreachable):
        await device.authenticate()


@pytest.mark.parametrize(("status", "body"), [(401, b""), (403, b'{"code":"com.apple.unrecognized.device"}')])
async def test_a_device_sent_away_forgets_everything(
    status: int, body: bytes, device_for: Callable[..., SimulatedDevice], server: TinyServer, apns: APNs
) -> None:
    device = device_for(courier=apns.courier)
    await device.enroll(f"{server.url}/enroll")
    token = device.channels[None].token
    server.answers.append((status, body))
    with pytest.raises(Unenrolled):
        await device.connect()
    assert not device.enrolled
    assert device.identity is None
    assert str(status) in str(device.unenrolled_because)
    await token_is_dead(apns, token)


async def test_another_403_is_only_a_refusal(device: SimulatedDevice, server: TinyServer) -> None:
    server.answers.extend([(403, b"not now"), (403, b"[]")])
    with pytest.raises(ServerRefused):
        await device.connect()
    assert device.enrolled


async def test_checking_out(device_for: Callable[..., SimulatedDevice], server: TinyServer, apns: APNs) -> None:
    device = device_for(courier=apns.courier)
    await device.enroll(f"{server.url}/enroll")
    token = device.channels[None].token
    await device.check_out()
    assert server.messages[-1] == "CheckOut"
    assert device.unenrolled_because == "checked out"
    assert device.transport.anchors == (server.root.certificate,)
    await token_is_dead(apns, token)


async def test_the_bootstrap_token_comes_back(device: SimulatedDevice, server: TinyServer) -> None:
    assert await device.get_bootstrap_token() is None
    await device.set_bootstrap_token(b"secret")
    assert await device.get_bootstrap_token() == b"secret"
    await device.set_bootstrap_token(None)
    assert "BootstrapToken" not in plistlib.loads(server.seen[-1].body)
    assert await device.get_bootstrap_token() is None


async def token_is_dead(apns: APNs, token: bytes) -> None:
    with pytest.raises(UnknownToken, match="dead"):
        await apns.courier.wait(token)


async def test_identification_by_tls(
    device_for: Callable[..., SimulatedDevice], server: TinyServer, keyring: list[PrivateKey]
) -> None:
    listener = replace(server, seen=[], answers=deque(), commands=deque())
    await listener.start_tls(keyring[0])
    device = device_for(style=SignatureStyle.TLS, tls_base=listener.url)
    await device.enroll(f"{server.url}/enroll")
    await device.connect()
    await listener.stop()
    assert device.identity is not None
    assert listener.messages == ["Authenticate", "TokenUpdate", "Idle"]
    assert {request.tls_certificate for request in listener.seen} == {certificates.der(device.identity.certificate)}
    assert not any("mdm-signature" in request.headers for request in listener.seen)


async def test_the_devices_own_clock_can_judge_server_certificates(
    device_for: Callable[..., SimulatedDevice], server: TinyServer, keyring: list[PrivateKey], clock: ShiftedClock
) -> None:
    clock.shift = timedelta(days=500)  # the certificate will be from the future for the machine, not for the clock
    await server.stop()
    await server.start_tls(keyring[0])
    with pytest.raises(ServerUnreachable, match="not yet valid"):
        await device_for(patience=Patience(whole=0)).fetch_profile(f"{server.url}/enroll")
    own = device_for(patience=Patience(whole=0), own_time=True)
    await own.fetch_profile(f"{server.url}/enroll")
    clock.shift += timedelta(days=400)
    with pytest.raises(ServerUnreachable, match="valid to"):
        await own.fetch_profile(f"{server.url}/enroll")
