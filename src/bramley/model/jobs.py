"""Work left for later, written in the transaction that causes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType

JobID = NewType("JobID", int)


class JobState(StrEnum):
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work. Among `ready` jobs a `dedup_key` is unique: adding it again changes nothing."""

    kind: str
    run_at: datetime
    created_at: datetime
    args: Mapping[str, str] = field(default_factory=dict)
    dedup_key: str | None = None
    state: JobState = JobState.READY
    attempts: int = 0
    last_error: str = ""
    owner: str | None = None
    lease_until: datetime | None = None
    id: JobID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: done; to be tried again after a while; or, with an error and no wait, given up."""

    retry_after: timedelta | None = None
    error: str = ""


DONE: Final = Outcome()


def pause_after(attempts: int, longest: timedelta) -> timedelta:
    """How long to wait after so many failed attempts: ten seconds after the first, and twice as long after each further one."""
    return min(timedelta(seconds=5 * 2 ** min(attempts, 10)), longest)
