"""Pushing: the ways to a push certificate, and waves, which wake many devices one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from bramley.model.enrollments import EnrollmentKey

WaveID = NewType("WaveID", str)


class Route(StrEnum):
    """How a push certificate comes to be; the values stand in the database and in JSON."""

    VENDOR = "vendor"
    """With the organization's own MDM vendor certificate (Apple Developer Enterprise Program)."""
    PROFILE_MANAGER = "profile-manager"
    """Exported from a Mac with Server.app, which alone can renew it."""
    MDMCERT = "mdmcert.download"
    """Signed by the service of that name, for organizations."""


class WaveState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Wave:
    """One push to each of many enrollments, `per_second` of them in a second, 0 as fast as APNs takes them.

    `total` is how many it is for. `problem` is what keeps it from going on at the moment, empty where nothing does.
    """

    id: WaveID
    created_at: datetime
    created_by: str
    label: str
    per_second: float
    total: int
    state: WaveState
    changed_at: datetime
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WaveTarget:
    """One enrollment of a wave, in its place. `outcome` is None until it was tried: then what became of it, in a word."""

    wave_id: WaveID
    position: int
    enrollment_key: EnrollmentKey
    outcome: str | None = None
