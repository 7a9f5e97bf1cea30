"""How fast the store is here: `python tests/bench/storage_hotpath.py [ENROLLMENTS]`.

Prints what one `presented()` costs, and how many durable `run()` transactions a second one caller and sixteen get.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Binding, Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Version, VersionID, VersionState
from bramley.storage.protocols import Tx
from bramley.storage.sqlite import SQLiteStore, open_store

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FINISHED_COMMANDS = 5


def note(name: str, value: str, tx: Tx) -> None:
    tx.notes.set(name, value)


def fill(first: int, last: int, tx: Tx) -> None:
    """Enrollments with an identity each, finished commands, and one in ten with a queued command."""
    for number in range(first, last):
        key, sha256 = EnrollmentKey(f"enrollment-{number:06}"), f"{number:064x}"
        lineage_id, version_id = LineageID(f"lineage-{number:06}"), VersionID(f"version-{number:06}")
        tx.lineages.add(Lineage(lineage_id, Kind.DEVICE_IDENTITY, f"device {number}", Policy(), NOW))
        version = Version(version_id, lineage_id, 1, VersionState.ACTIVE, NOW, NOW, sha256=sha256)
        tx.lineages.add_version(replace(version, not_before=NOW, not_after=NOW + timedelta(days=365)))
        tx.enrollments.add(Enrollment(key, EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(f"UDID-{number:06}")))
        tx.enrollments.bind(Binding(sha256, key, Purpose.ENROLL, version_id, NOW))
        states = [CommandState.ACKNOWLEDGED] * FINISHED_COMMANDS + [CommandState.QUEUED] * (number % 10 == 0)
        for index, state in enumerate(states):
            uuid = CommandUUID(f"{number:06}-{index}")
            tx.commands.add(Command(uuid, key, "DeviceInformation", b"x" * 600, state, NOW, "admin:bench"))


async def measure_presented(store: SQLiteStore, enrollments: int, *, reads: int = 20_000) -> float:
    """Microseconds for one, over random enrollments."""
    chosen = [f"{number:064x}" for number in random.Random(1).choices(range(enrollments), k=reads)]
    started = time.perf_counter()
    for sha256 in chosen:
        if await store.presented(sha256, None) is None:
            raise RuntimeError(f"{sha256} was stored and is not found")
    return (time.perf_counter() - started) / reads * 1e6


async def measure_run(store: SQLiteStore, callers: int, *, transactions: int = 1600) -> float:
    """Durable transactions a second, each one UPDATE by key."""

    async def caller(number: int) -> None:
        for turn in range(transactions // callers):
            await store.run(partial(note, f"caller-{number}", str(turn)))

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return transactions / (time.perf_counter() - started)


async def measure(folder: Path, enrollments: int) -> None:
    store = await open_store(folder / "bench.db")
    try:
        for first in range(0, enrollments, 1000):
            last = min(first + 1000, enrollments)
            await store.run(partial(fill, first, last))
        for _ in range(3):
            print(f"presented()         {await measure_presented(store, enrollments):8.1f} µs")
            for callers in (1, 16):
                print(f"run(), {callers:2} callers   {await measure_run(store, callers):8.0f} txn/s")
    finally:
        await store.close()


def main() -> None:
    enrollments = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        asyncio.run(measure(Path(folder), enrollments))


if __name__ == "__main__":
    main()
