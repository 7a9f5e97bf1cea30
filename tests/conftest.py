"""What every test may use: a fixed moment, an installation of Bramley, and the recorded messages of real devices."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bramley.operations.installation import Installation, initialize, open_installation
from bramley.operations.live import Live
from bramley.operations.push import importing
from bramley.pki import keys
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.settings import Settings, load
from tests.postgres import Cluster, cluster, database, programs

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
URL = "https://mdm.example.test:8443"


@dataclass(slots=True)
class SetClock:
    """A clock that stands until a test moves it."""

    moment: datetime = field(default=NOW)

    def now(self) -> datetime:
        return self.moment

    async def sleep_until(self, moment: datetime) -> None:
        while self.moment < moment:
            await asyncio.sleep(0.005)


@pytest.fixture
def now() -> datetime:
    """A fixed moment: tests that need another add to it."""
    return NOW


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(scope="session")
def apple() -> SandboxAppleCA:
    """A stand-in for Apple's certificate authorities."""
    return SandboxAppleCA.make(NOW)


@pytest.fixture(scope="session")
def push_key() -> keys.PrivateKey:
    return keys.generate(keys.KeyAlgorithm.RSA_2048)


@pytest.fixture(scope="session")
def topic() -> str:
    return new_topic()


@pytest.fixture(scope="session")
def device_keys() -> list[keys.PrivateKey]:
    """Keys of devices, made once."""
    return [keys.generate(keys.KeyAlgorithm.RSA_2048) for _ in range(3)]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a fresh installation. Tests work on copies: making its keys takes seconds."""
    folder = tmp_path_factory.mktemp("installed") / "data"

    async def make() -> None:
        installation, _first = await initialize(load(environment={}, data=folder, url=URL), SetClock(), {})
        await installation.store.close()

    asyncio.run(make())
    return folder


@pytest.fixture
def settings(installed: Path, tmp_path: Path) -> Settings:
    """Settings that name a data folder of the test's own, with a fresh installation in it."""
    folder = tmp_path / "data"
    shutil.copytree(installed, folder)
    return load(environment={}, data=folder)


@pytest.fixture
async def installation(settings: Settings, clock: SetClock) -> AsyncGenerator[Installation]:
    """A fresh installation, opened."""
    opened = await open_installation(settings, clock, {})
    yield opened
    await opened.store.close()


@pytest.fixture
async def live(installation: Installation, apple: SandboxAppleCA, push_key: keys.PrivateKey, topic: str) -> Live:
    """A server's view of a fresh installation that can enroll."""
    now = installation.clock.now()
    certificate = apple.issue_push_certificate(push_key.public_key(), topic=topic, now=now)
    await importing.import_pair(installation, certificate, push_key, actor="test")
    return await Live.start(installation)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server, started when the first test asks for it."""
    if programs() is None:
        pytest.skip("no PostgreSQL server on this machine")
    with cluster() as running:
        yield running


@pytest.fixture
def postgres_url(postgres: Cluster) -> Iterator[str]:
    """A fresh database on it."""
    with database(postgres) as name:
        yield postgres.url(name)


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The folder of recorded device messages and Apple's schema, where this machine has it."""
    default = Path(__file__).resolve().parents[2] / "shared" / "vectors"
    folder = Path(os.environ.get("BRAMLEY_VECTORS", default))
    if not folder.is_dir():
        pytest.skip(f"no recorded messages at {folder}; BRAMLEY_VECTORS names another place")
    return folder


@pytest.fixture(scope="session")
def apple_schema(vectors: Path) -> Callable[..., Any]:
    """Checkers of Apple's own schema, by system and enrollment mode; without a system, for what all have in common."""
    path = vectors.parent / "tools" / "apple_schema.py"
    if not path.is_file():
        pytest.skip(f"no schema checker at {path}")
    spec = importlib.util.spec_from_file_location("apple_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def checker(system: str | None = None, user_enrollment: bool = False) -> Any:
        made = module.Checker(vectors / "apple-schema", system, user_enrollment)
        read = made.documents
        made.documents = cache(lambda folder: tuple(read(folder)))  # it would read every file again for every payload
        return made

    return cache(checker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where BRAMLEY_TESTS_MAY_NOT_SKIP is set, as it is in CI, a test that skips has failed: its program should be there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("BRAMLEY_TESTS_MAY_NOT_SKIP"):
        report.outcome = "failed"
    return report
