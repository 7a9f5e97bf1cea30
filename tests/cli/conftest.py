"""The command as people call it: in this process for most tests, as a process of its own where that is the point."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from bramley.cli import logs, main
from bramley.clock import SystemClock
from bramley.model.enrollments import Binding, Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.operations import authorities, records
from bramley.operations.installation import initialize, open_installation
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.settings import Log, Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import UDID, URL, Result, Run, Running, Start


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine leaks in, and no default folder is touched."""
    for name in [name for name in os.environ if name.startswith("BRAMLEY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a verb sets up in this process, no later test finds: loggers of modules would keep it for good."""
    configure, handlers, level = logs.configure, list(logging.getLogger().handlers), logging.getLogger().level

    def configure_for_now(settings: Log) -> None:
        configure(settings)
        structlog.configure(cache_logger_on_first_use=False)

    monkeypatch.setattr(logs, "configure", configure_for_now)
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process."""

    def call(*arguments: object) -> Result:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capfd.readouterr())

    return call


@pytest.fixture
def process() -> Run:
    """Runs the command as a process of its own."""

    def call(*arguments: object, environment: Mapping[str, str] | None = None, **options: Any) -> Result:
        ended = subprocess.run(
            [sys.executable, "-m", "bramley", *map(str, arguments)],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )
        return Result(ended.returncode, ended.stdout, ended.stderr)

    return call


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs the command in the background; what still runs at the end is stopped."""
    started: list[Running] = []

    def begin(*arguments: object, **environment: str) -> Running:
        started.append(Running(arguments, environment))
        return started[-1]

    yield begin
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation with one enrolled device, made once for all tests and never used itself."""
    folder = tmp_path_factory.mktemp("made") / "data"
    asyncio.run(_make(folder))
    return folder


@pytest.fixture
def data(made_once: Path, tmp_path: Path) -> Path:
    """A data folder of its own for the test."""
    folder = tmp_path / "data"
    shutil.copytree(made_once, folder)
    return folder


async def _make(folder: Path) -> None:
    installation, _first = await initialize(Settings(url=URL, data=folder), SystemClock(), {})
    now = installation.clock.now()
    key = EnrollmentKey("0123456789abcdef")

    def enroll(tx: Tx) -> None:
        tx.enrollments.add(
            Enrollment(
                key,
                EnrollmentState.ACTIVE,
                now,
                now,
                id=EnrollmentID(UDID),
                udid=UDID,
                serial_number="C02BRAMLEY",
                device_name="Jo's \x1b[31mMac",
                topic="com.apple.mgmt.External.tests",
                push_token=b"push-token-secret",
                push_magic="push-magic-secret",
                enrolled_at=now,
            )
        )
        held = authorities.load(tx, installation.sealer).identity
        public = keys.generate(keys.KeyAlgorithm.RSA_2048).public_key()
        certificate = issue(held.authority, profiles.DEVICE_IDENTITY, public, subject=names.make(key), now=now)
        lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, key, Policy(timedelta(days=365)), now=now)
        version = records.record(
            tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor="device:", issuer=held.version, enrollment=key
        )
        records.promote(tx, version, now=now, actor="device:", enrollment=key)
        tx.enrollments.bind(Binding(certificates.sha256(certificate), key, Purpose.ENROLL, version.id, now))

    await installation.store.run(enroll)
    await installation.store.close()


@pytest.fixture
def snapshot(data: Path) -> Callable[[], list[int]]:
    """Counts rows of every kind that verbs write: equal counts before and after mean that nothing was changed."""

    async def count() -> list[int]:
        installation = await open_installation(Settings(data=data), SystemClock(), {})
        try:
            return await installation.store.read(
                lambda tx: [
                    len(tx.events.find(limit=100_000)),
                    len(tx.lineages.certificates(limit=100_000)),
                    len(tx.commands.history(EnrollmentKey("0123456789abcdef"))),
                    len(tx.jobs.of_kind("push")),
                    tx.admins.count(),
                ]
            )
        finally:
            await installation.store.close()

    return lambda: asyncio.run(count())


@pytest.fixture
def device_gone(data: Path) -> None:
    """The device has checked out."""

    async def leave() -> None:
        installation = await open_installation(Settings(data=data), SystemClock(), {})

        def change(tx: Tx) -> None:
            found = tx.enrollments.get(EnrollmentKey("0123456789abcdef"))
            assert found is not None
            tx.enrollments.update(replace(found, state=EnrollmentState.CHECKED_OUT))

        await installation.store.run(change)
        await installation.store.close()

    asyncio.run(leave())
