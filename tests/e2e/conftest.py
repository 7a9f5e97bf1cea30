"""A server with stand-ins, over real TLS on loopback, for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.enrollments import Enrollment, EnrollmentID
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox.device import SimulatedDevice
from bramley.storage.protocols import Tx


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The setting `database`: on each a whole server must do."""
    if request.param == "sqlite":
        return ""
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def stage(tmp_path: Path, database: str) -> AsyncGenerator[Stage]:
    opened = await open_stage(tmp_path, SystemClock(), database)
    yield opened
    await opened.close()


def enrollment(tx: Tx, device: SimulatedDevice) -> Enrollment | None:
    return tx.enrollments.by_id(EnrollmentID(device.device.udid))
