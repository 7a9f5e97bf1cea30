"""A device that is managed: commands, renewals, removals, and a life of its own."""

from __future__ import annotations

import asyncio
import plistlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from bramley.pki import certificates
from bramley.sandbox.apns import APNs
from bramley.sandbox.apns.requests import Notification
from bramley.sandbox.device import SimulatedDevice, UserAccount
from bramley.sandbox.errors import BadCommand, ServerUnreachable
from tests.sandbox.tiny_server import TinyServer

JO = UserAccount("11111111-2222-4333-8444-555555555555", "jo", "Jo Appleseed")
QUERIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("DeviceInformation", {"Queries": ["UDID", "OSVersion", "SerialNumber", "NoSuchThing"]}),
    ("SecurityInfo", {}),
    ("CertificateList", {}),
    ("ProfileList", {}),
)


def wake(apns: APNs, token: bytes, magic: str, now: datetime) -> None:
    topic = "com.apple.mgmt.External.orchard"
    assert apns.tokens.accept(Notification(token, topic, "id", now + timedelta(days=1)), {"mdm": magic}) is None


@pytest.mark.parametrize("mac", [True, False])
async def test_answers_are_as_apples_schema_says(
    mac: bool, device_for: Callable[..., SimulatedDevice], server: TinyServer, schema: Any
) -> None:
    device = device_for(mac=mac)
    await device.enroll(f"{server.url}/enroll")
    for request_type, values in QUERIES:
        server.send(request_type, **values)
    assert await device.connect() == len(QUERIES)
    assert server.messages[2:] == ["Idle"] + ["Acknowledged"] * len(QUERIES)
    checker = schema("macOS" if mac else "iOS")
    for (request_type, _), request in zip(QUERIES, server.seen[-len(QUERIES) :], strict=True):
        assert [line for line in checker.result(request_type, request.plist) if line.startswith("error")] == []


async def test_what_it_tells_is_true(device: SimulatedDevice, server: TinyServer) -> None:
    for request_type, values in QUERIES:
        server.send(request_type, **values)
    await device.connect()
    information, _, listed, profiles = (request.plist for request in server.seen[-4:])
    assert information["QueryResponses"] == {
        "UDID": device.device.udid,
        "OSVersion": device.device.os_version,
        "SerialNumber": device.device.serial_number,
    }
    assert device.identity is not None
    assert [(item["Data"], item["IsIdentity"]) for item in listed["CertificateList"]] == [
        (certificates.der(device.identity.certificate), True),
        (certificates.der(server.root.certificate), False),
    ]
    (profile,) = profiles["ProfileList"]
    assert profile["PayloadIdentifier"] == "o.enrollment"
    assert profile["SignerCertificates"][0] == certificates.der(server.signer[0])


async def test_an_unknown_command_and_malformed_ones(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("ShutdownDevice")
    server.send("InstallProfile", Payload="text")
    server.commands.append({"NoRequestType": True})
    await device.connect()
    unknown, *malformed = (request.plist for request in server.seen[-3:])
    assert unknown["Status"] == "Error"
    assert (unknown["ErrorChain"][0]["ErrorCode"], unknown["ErrorChain"][0]["ErrorDomain"]) == (12021, "MCMDMErrorDomain")
    assert [report["Status"] for report in malformed] == ["CommandFormatError"] * 2


async def test_something_that_is_no_command(device: SimulatedDevice, server: TinyServer) -> None:
    for body in (b"<html>", plistlib.dumps([]), plistlib.dumps({"CommandUUID": 1, "Command": {}})):
        server.answers.append((200, body))
        with pytest.raises(BadCommand):
            await device.connect()


async def test_an_answer_is_kept_until_the_server_takes_it(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("SecurityInfo")
    server.refuse = lambda request: 0 if request.name == "Acknowledged" else None
    with pytest.raises(ServerUnreachable):
        await device.connect()
    server.refuse = lambda _request: None
    before = server.seen[-1].body
    assert await device.connect() == 0
    assert server.seen[-1].body == before, "the answer owed takes the place of Idle"
    assert [answered.request_type for answered in device.history] == ["SecurityInfo"], "and is not made twice"


async def test_a_server_that_comes_back_in_time(device: SimulatedDevice, server: TinyServer) -> None:
    port = server.port
    await server.stop()
    session = asyncio.create_task(device.connect())
    await asyncio.sleep(0.3)
    await server.start(port)
    assert await session == 0


async def test_a_plain_profile_comes_and_goes(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("InstallProfile", Payload=server.profile("o.wifi", [], signed=False))
    server.send("InstallProfile", Payload=server.profile("o.vpn", []))
    await device.connect()
    assert set(device.holdings.profiles) == {"o.enrollment", "o.wifi", "o.vpn"}
    server.send("RemoveProfile", Identifier="o.wifi")
    server.send("RemoveProfile", Identifier="o.wifi")
    await device.connect()
    assert set(device.holdings.profiles) == {"o.enrollment", "o.vpn"}
    assert [request.plist["Status"] for request in server.seen[-2:]] == ["Acknowledged", "Error"]


async def test_a_profile_that_was_changed_after_signing(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("InstallProfile", Payload=server.profile("o.wifi", []).replace(b"o.wifi", b"o.wofo"))
    await device.connect()
    report = server.seen[-1].plist
    assert (report["Status"], report["ErrorChain"][0]["ErrorDomain"]) == ("Error", "MCInstallationErrorDomain")
    assert set(device.holdings.profiles) == {"o.enrollment"}


async def test_a_renewal(device: SimulatedDevice, server: TinyServer) -> None:
    old, channel = device.identity, device.channels[None]
    server.send("InstallProfile", Payload=server.enrollment_profile("renewal"))
    await device.connect()
    assert server.messages[2:] == ["Idle", "Authenticate", "TokenUpdate", "Acknowledged"]
    assert device.identity is not None
    assert old is not None
    assert device.identity.key.public_key() != old.key.public_key()
    idle, *later = (request for request in server.seen[-7:] if request.method == "PUT")
    assert idle.signer == certificates.der(old.certificate)
    assert {request.signer for request in later} == {certificates.der(device.identity.certificate)}
    assert later[1].plist["Token"] == channel.token


async def test_a_renewal_that_is_interrupted_goes_on_with_the_same_identity(device: SimulatedDevice, server: TinyServer) -> None:
    old, renewal = device.identity, server.enrollment_profile("renewal")
    server.send("InstallProfile", Payload=renewal)
    server.refuse = lambda request: 0 if request.name == "Authenticate" else None
    with pytest.raises(ServerUnreachable):
        await device.connect()
    assert device.identity is old
    server.refuse = lambda _request: None
    server.send("InstallProfile", Payload=renewal)
    await device.connect()
    assert device.identity is not old
    assert device.history[-1].status == "Acknowledged"


async def test_a_renewal_that_fails_leaves_everything_as_it_was(device: SimulatedDevice, server: TinyServer) -> None:
    old = device.identity
    spent = server.enrollment_profile("spent")
    server.challenges.clear()
    server.send("InstallProfile", Payload=spent)
    server.send("InstallProfile", Payload=server.enrollment_profile("moved", Topic="com.apple.mgmt.External.other"))
    await device.connect()
    scep, moved = (request.plist for request in server.seen if request.method == "PUT" and request.name == "Error")
    assert (scep["ErrorChain"][0]["ErrorCode"], scep["ErrorChain"][0]["ErrorDomain"]) == (15002, "MDM-SCEP")
    assert "topic" in moved["ErrorChain"][0]["LocalizedDescription"]
    assert device.identity is old


async def test_a_second_management_is_refused(device: SimulatedDevice, server: TinyServer) -> None:
    server.signed = False
    second = plistlib.loads(server.enrollment_profile("second"))
    server.send("InstallProfile", Payload=plistlib.dumps({**second, "PayloadIdentifier": "o.second"}))
    await device.connect()
    assert server.seen[-1].plist["Status"] == "Error"
    assert set(device.holdings.profiles) == {"o.enrollment"}


async def test_erasing(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("DeviceLock")
    server.send("EraseDevice")
    server.send("SecurityInfo")
    await device.connect()
    assert server.messages[2:] == ["Idle", "Acknowledged", "Acknowledged"]
    assert device.locked
    assert device.wiped
    assert not device.enrolled
    assert device.channels == {}


async def test_an_erasure_waits_until_its_answer_is_taken(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("EraseDevice")
    server.refuse = lambda request: 0 if request.name == "Acknowledged" else None
    with pytest.raises(ServerUnreachable):
        await device.connect()
    assert device.enrolled
    server.refuse = lambda _request: None
    await device.connect()
    assert device.wiped


@pytest.mark.parametrize("taken", [True, False])
async def test_the_server_removes_the_enrollment(taken: bool, device: SimulatedDevice, server: TinyServer) -> None:
    server.refuse = lambda request: None if taken or request.name != "CheckOut" else 400
    server.send("RemoveProfile", Identifier="o.enrollment")
    await device.connect()
    assert server.messages[-1] == "CheckOut"
    assert not device.enrolled


async def test_not_now_and_then_later(device_for: Callable[..., SimulatedDevice], server: TinyServer, apns: APNs) -> None:
    device = device_for(courier=apns.courier, not_now_rate=1.0)
    await device.enroll(f"{server.url}/enroll")
    server.send("SecurityInfo")
    server.send("DeviceLock")
    await device.connect()
    assert server.messages[2:] == ["Idle", "NotNow", "Acknowledged"]
    assert device.channels[None].come_back
    life = asyncio.create_task(device.run())
    await until(lambda: server.messages[-1] == "Idle")
    life.cancel()


async def test_a_device_lives_by_pushes(device_for: Callable[..., SimulatedDevice], server: TinyServer, apns: APNs) -> None:
    device = device_for(courier=apns.courier, users=(JO,))
    await device.enroll(f"{server.url}/enroll")
    life = asyncio.create_task(device.run())
    await asyncio.sleep(0.05)
    mine, joes = device.channels[None], device.channels[JO]
    moment = server.now()
    wake(apns, mine.token, "another magic", moment)
    await asyncio.sleep(0.1)
    assert server.messages.count("Idle") == 0
    server.send("SecurityInfo")
    wake(apns, mine.token, mine.push_magic, moment)
    # the next command is for the next session
    await until(lambda: len(device.history) == 1 and mine.owed is None)
    server.send("ProfileList")
    wake(apns, joes.token, joes.push_magic, moment)
    await until(lambda: len(device.history) == 2 and joes.owed is None)
    assert server.seen[-1].plist["UserID"] == JO.user_id
    server.send("EraseDevice")
    wake(apns, mine.token, mine.push_magic, moment)
    await asyncio.wait_for(life, 5)
    assert device.wiped


async def test_a_device_that_lives_on_outlives_the_server(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
    device = device_for(poll_seconds=0.05)
    await device.enroll(f"{server.url}/enroll")
    life = asyncio.create_task(device.run())
    server.send("SecurityInfo")
    await until(lambda: len(device.history) == 1)
    port = server.port
    await server.stop()
    await asyncio.sleep(2.5)
    assert not life.done()
    server.send("ProfileList")
    await server.start(port)
    await until(lambda: len(device.history) == 2)
    life.cancel()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)
