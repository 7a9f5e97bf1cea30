"""What the sandbox's tests share: keys are made once, and time is the machine's unless a test moves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from bramley.pki import keys
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.clock import ShiftedClock


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
