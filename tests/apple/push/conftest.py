"""The stand-in for APNs and a client of it. The clock starts at real time, the only one that TLS libraries know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bramley.apple.push import PushTarget
from bramley.apple.push.client import CurlPushClient
from bramley.pki import keys
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture(scope="session")
def ca() -> SandboxAppleCA:
    return SandboxAppleCA.make(datetime.now(UTC))


@pytest.fixture(scope="session")
def push_key() -> PrivateKey:
    return keys.generate(KeyAlgorithm.RSA_2048)


@pytest.fixture(scope="session")
def topic() -> str:
    return new_topic()


@pytest.fixture(scope="session")
def push_pem(ca: SandboxAppleCA, push_key: PrivateKey, topic: str) -> bytes:
    return ca.chain_pem(ca.issue_push_certificate(push_key.public_key(), topic=topic, now=datetime.now(UTC)))


@pytest.fixture
async def apns(ca: SandboxAppleCA, clock: ShiftedClock) -> AsyncIterator[APNs]:
    service = APNs(ca, clock)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
def client_for(ca: SandboxAppleCA, clock: ShiftedClock, push_key: PrivateKey, push_pem: bytes, topic: str) -> Callable[..., Any]:
    """A client of whatever listens on a port, closed at the end."""

    @asynccontextmanager
    async def make(port: int, **changes: Any) -> AsyncIterator[CurlPushClient]:
        values: dict[str, Any] = {
            "certificate_pem": push_pem,
            "key": push_key,
            "topic": topic,
            "target": PushTarget("127.0.0.1", port, ca.root_pem),
            "expiration": timedelta(days=7),
            "clock": clock,
            **changes,
        }
        client = CurlPushClient(**values)
        try:
            yield client
        finally:
            await client.close()

    return make


@pytest.fixture
async def client(apns: APNs, client_for: Callable[..., Any]) -> AsyncIterator[CurlPushClient]:
    async with client_for(apns.port) as made:
        yield made
