"""What the sandbox's tests share: keys are made once, and time is the machine's unless a test moves it."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bramley.pki import keys
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.sandbox.apns import APNs, Courier
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import Behaviour, DeviceIdentity, Patience, SimulatedDevice
from tests.sandbox import tiny_server
from tests.sandbox.tiny_server import TinyServer


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture(scope="session")
def apple_ca() -> SandboxAppleCA:
    return SandboxAppleCA.make(datetime.now(UTC))


@pytest.fixture(scope="session")
def push_key() -> PrivateKey:
    return keys.generate(KeyAlgorithm.RSA_2048)


@pytest.fixture
async def apns(apple_ca: SandboxAppleCA, clock: ShiftedClock) -> AsyncIterator[APNs]:
    service = APNs(apple_ca, clock)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture(scope="session")
def keyring() -> list[PrivateKey]:
    """Root, identity CA, profile signer, and one to spare."""
    kinds = (KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048, KeyAlgorithm.P_256, KeyAlgorithm.RSA_2048)
    return [keys.generate(kind) for kind in kinds]


@pytest.fixture
async def server(keyring: list[PrivateKey], clock: ShiftedClock) -> AsyncIterator[TinyServer]:
    made = tiny_server.make(keyring, clock.now)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def device_for(server: TinyServer, clock: ShiftedClock) -> AsyncIterator[Callable[..., SimulatedDevice]]:
    """Devices that trust the server's root and are not patient."""
    made: list[SimulatedDevice] = []

    def make(*, courier: Courier | None = None, mac: bool = True, **changes: Any) -> SimulatedDevice:
        behaviour = Behaviour(
            **{
                "anchors": (server.root.certificate,),
                "patience": Patience(whole=2, pause=0.02),
                "recheck_seconds": 0.05,
                **changes,
            }
        )
        identity = DeviceIdentity.make(random.Random(len(made)), mac=mac)
        made.append(SimulatedDevice(identity, clock, behaviour=behaviour, courier=courier))
        return made[-1]

    yield make
    for device in made:
        await device.close()


@pytest.fixture
async def device(device_for: Callable[..., SimulatedDevice], server: TinyServer) -> SimulatedDevice:
    """An enrolled device."""
    made = device_for()
    await made.enroll(f"{server.url}/enroll")
    return made


@pytest.fixture(scope="session")
def schema(apple_schema: Callable[..., Any]) -> Callable[..., Any]:
    """Apple's own schema, for a system and an enrollment mode."""
    return apple_schema
