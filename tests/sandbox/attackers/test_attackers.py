"""The attackers themselves: that they notice when they get in, and when a refusal is none."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable

import pytest

from bramley.pki import certificates
from bramley.pki.errors import PKIError
from bramley.pki.keys import PrivateKey
from bramley.sandbox.attackers import Attempt, look_alike_ca, replaced_body, revoked_identity, someone_elses_udid
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import DeviceIdentity, SimulatedDevice, UserAccount
from tests.sandbox.tiny_server import Request, TinyServer

VICTIM = DeviceIdentity.make(random.Random("victim"))
JO = UserAccount("11111111-2222-4333-8444-555555555555", "jo", "Jo Appleseed")

Attack = Callable[[], AsyncIterator[Attempt]]


@pytest.fixture(params=["someone else's UDID", "a revoked identity", "a replaced body", "a look-alike CA"])
def attack(request: pytest.FixtureRequest, device: SimulatedDevice, server: TinyServer, clock: ShiftedClock) -> Attack:
    attacks: dict[str, Attack] = {
        "someone else's UDID": lambda: someone_elses_udid(device, VICTIM, clock, victim_user=JO),
        "a revoked identity": lambda: revoked_identity(device, clock),
        "a replaced body": lambda: replaced_body(device, clock),
        "a look-alike CA": lambda: look_alike_ca(device, VICTIM, clock, genuine_ca=server.identity_ca.certificate),
    }
    return attacks[str(request.param)]


async def verdicts(attack: Attack, *, mdm: bool = True) -> set[bool]:
    attempts = [attempt async for attempt in attack()]
    assert len(attempts) > 20
    assert len({attempt.description for attempt in attempts}) == len(attempts)
    return {attempt.refused for attempt in attempts if attempt.answered.startswith("HTTP") is mdm}


async def test_a_server_that_refuses_everything(attack: Attack, server: TinyServer) -> None:
    server.refuse = lambda _request: 400
    assert await verdicts(attack) == {True}


async def test_a_server_that_lets_everybody_in(attack: Attack) -> None:
    assert await verdicts(attack) == {False}


async def test_a_401_is_a_defeat(attack: Attack, server: TinyServer) -> None:
    server.refuse = lambda _request: 401
    assert await verdicts(attack) == {False}


async def test_a_server_that_is_gone_has_refused_nothing(
    device: SimulatedDevice, server: TinyServer, clock: ShiftedClock
) -> None:
    await server.stop()
    assert {attempt.refused async for attempt in replaced_body(device, clock)} == {False}


async def test_an_identity_got_with_the_victims_name_is_put_to_use(
    device: SimulatedDevice, server: TinyServer, clock: ShiftedClock
) -> None:
    attack = someone_elses_udid(device, VICTIM, clock, victim_user=JO, link=f"{server.url}/enroll")
    attempts = [attempt async for attempt in attack]
    gained = [attempt for attempt in attempts if attempt.description.startswith("an identity got by that request")]
    assert len(gained) == 16
    last = server.seen[-1]
    assert last.plist["UDID"] == VICTIM.udid
    assert device.identity is not None
    assert server.seen[-1].signer != server.seen[len(server.seen) // 2].signer


async def test_a_renewal_for_a_revoked_identity_is_noticed(
    device: SimulatedDevice, server: TinyServer, clock: ShiftedClock
) -> None:
    scep = [attempt async for attempt in revoked_identity(device, clock) if "signed with a revoked" in attempt.description]
    assert {attempt.refused for attempt in scep} == {True}
    assert {attempt.answered[:12] for attempt in scep} == {"SCEP FAILURE"}
    server.challenges.update({"challenge-0"})
    careless = [attempt async for attempt in revoked_identity(device, clock) if not attempt.refused]
    assert any(attempt.answered == "SCEP SUCCESS" for attempt in careless)


async def test_a_handshake_that_the_server_ends_is_a_refusal(
    device: SimulatedDevice, server: TinyServer, clock: ShiftedClock, keyring: list[PrivateKey]
) -> None:
    server.refuse = lambda _request: 400
    listener = TinyServer(server.root, server.identity_ca, server.signer, server.now)
    await listener.start_tls(keyring[0])
    genuine = server.identity_ca.certificate
    attempts = [attempt async for attempt in look_alike_ca(device, VICTIM, clock, genuine_ca=genuine, tls_base=listener.url)]
    await listener.stop()
    by_tls = [attempt for attempt in attempts if "(tls)" in attempt.description]
    assert len(by_tls) == 32
    assert {(attempt.refused, attempt.answered) for attempt in by_tls} == {(True, "TLS handshake ended")}
    assert listener.seen == []


async def test_the_tamperer_changes_what_it_says(device: SimulatedDevice, server: TinyServer, clock: ShiftedClock) -> None:
    """Every request is one that a good server must refuse: no body comes with the device's signature of it."""
    start = len(server.seen)
    attempts = [attempt async for attempt in replaced_body(device, clock)]
    assert len(attempts) == len(server.seen) - start
    assert device.identity is not None
    genuine = certificates.der(device.identity.certificate)
    assert [request for request in server.seen[start:] if signer_of(request) == genuine] == []


def signer_of(request: Request) -> bytes | None:
    try:
        return request.signer
    except (KeyError, ValueError, PKIError):
        return None
