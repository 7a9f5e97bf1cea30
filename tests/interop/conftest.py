"""A service on loopback, with a clock that tells the time until a test moves it, for programs that look at their own."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.clock import SystemClock
from bramley.operations.installation import Installation, initialize, open_installation
from bramley.operations.push import importing
from bramley.pki import keys
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock
from bramley.settings import Settings, load
from bramley.web.service import Service
from tests.interop.kit import Relay, Server


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, push_key: keys.PrivateKey) -> Settings:
    """An installation of today that can enroll. Tests serve copies of it."""
    folder = tmp_path_factory.mktemp("interop") / "data"
    settings = load(environment={}, data=folder, url="https://localhost", listen={"host": "127.0.0.1", "port": 0})

    async def make() -> None:
        clock = SystemClock()
        installation, _first = await initialize(settings, clock, {})
        apple = SandboxAppleCA.make(clock.now())
        certificate = apple.issue_push_certificate(push_key.public_key(), topic=new_topic(), now=clock.now())
        await importing.import_pair(installation, certificate, push_key, actor="test")
        await installation.store.close()

    asyncio.run(make())
    return settings


@asynccontextmanager
async def serving(
    template: Settings, folder: Path, prepare: Callable[[Installation], Awaitable[object]] | None = None, **changed: Any
) -> AsyncGenerator[Server]:
    """A copy of the installation, served on a free port: with changed settings of SCEP, after what `prepare` does to it."""
    data = folder / "data"
    shutil.copytree(template.data, data)
    scep = dataclasses.replace(template.scep, **changed)
    settings = dataclasses.replace(template, data=data, scep=scep)
    clock = ShiftedClock()
    installation = await open_installation(settings, clock, {})
    if prepare is not None:
        await prepare(installation)
    service = await Service.start(installation)
    try:
        yield await Server.start(service, clock, folder)
    finally:
        await service.stop()


@pytest.fixture
async def server(template: Settings, tmp_path: Path) -> AsyncGenerator[Server]:
    async with serving(template, tmp_path) as opened:
        yield opened


@pytest.fixture
async def lenient(template: Settings, tmp_path: Path) -> AsyncGenerator[Server]:
    """A server with `scep.legacy_algorithms`."""
    async with serving(template, tmp_path, legacy_algorithms=True) as opened:
        yield opened


@pytest.fixture
async def relay(server: Server) -> AsyncGenerator[Relay]:
    async with Relay.open(server) as opened:
        yield opened


@pytest.fixture
async def lenient_relay(lenient: Server) -> AsyncGenerator[Relay]:
    async with Relay.open(lenient) as opened:
        yield opened


@pytest.fixture(scope="session")
def keys_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two RSA keys of devices in PEM, made once."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("device.key", "new.key"):
        key = keys.generate(keys.KeyAlgorithm.RSA_2048)
        (folder / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder


@pytest.fixture
def device_key(keys_folder: Path) -> Path:
    return keys_folder / "device.key"


@pytest.fixture
def new_key(keys_folder: Path) -> Path:
    return keys_folder / "new.key"
