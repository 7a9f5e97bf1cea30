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


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage]:
    opened = await open_stage(tmp_path, SystemClock())
    yield opened
    await opened.close()


def enrollment(tx: Tx, device: SimulatedDevice) -> Enrollment | None:
    return tx.enrollments.by_id(EnrollmentID(device.device.udid))
