"""A page of 100 out of 1,000,000 issued certificates: `python -m tests.bench.million [CERTIFICATES]`.

Fills a SQLite database by plain inserts (device identities with enrollments and bindings, a kilobyte of certificate each),
then times pages of `certificates.listing` at the beginning, in the middle and at the end, and what each CA has issued.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from bramley.clock import SystemClock
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionID, VersionState
from bramley.operations import authority_status, certificates, issuers
from bramley.operations.installation import Installation, Paths, initialize
from bramley.settings import Settings

PAGE = 100
NOW = SystemClock().now()


def micros(days: int) -> int:
    return int((NOW + timedelta(days=days)).timestamp() * 1_000_000)


def rows(issuer: str) -> dict[str, dict[str, str]]:
    """For each table what its columns hold, as SQL of `i`, which counts from 0: dates and states are spread by large primes."""
    state = "i * 7919 % 100 >= {}".format
    return {
        "lineages": {
            "id": "printf('lineage-%07d', i)",
            "name": "printf('device-%07d', i)",
            "kind": f"'{Kind.DEVICE_IDENTITY}'",
            "renew_at": "0.67",
        },
        "versions": {
            "id": "printf('version-%07d', i)",
            "lineage_id": "printf('lineage-%07d', i)",
            "number": "1",
            "state": f"iif({state(99)}, 'revoked', iif({state(98)}, 'suspended', iif({state(90)}, 'superseded', 'active')))",
            "issuer_version": f"'{issuer}'",
            "subject": "printf('CN=device-%07d', i)",
            "serial": "printf('5%031x', i)",
            "sha256": "printf('%064x', i)",
            "not_before": str(micros(-100)),
            "not_after": f"{micros(0)} + i * 104729 % {265 * 86400} * 1000000",
            "certificate": "zeroblob(1000)",
        },
        "enrollments": {
            "key": "printf('enrollment-%07d', i)",
            "id": "printf('UDID-%07d', i)",
            "state": "'active'",
        },
        "bindings": {
            "certificate_sha256": "printf('%064x', i)",
            "enrollment_key": "printf('enrollment-%07d', i)",
            "version_id": "printf('version-%07d', i)",
            "purpose": "'enroll'",
        },
    }


def insert(file: Path, count: int, issuer: str) -> None:
    """Rows as the store writes them, without the durability that each has there."""
    database = sqlite3.connect(file)
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA cache_size = -500000")
    with database:
        for table, given in rows(issuer).items():
            values = required(database, table) | given
            database.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1}) "
                f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM n"
            )
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def required(database: sqlite3.Connection, table: str) -> dict[str, str]:
    """What stands in columns that may not be missing and are not what this is about."""
    found = database.execute(f"PRAGMA table_info({table})").fetchall()
    return {name: ("''" if kind == "TEXT" else str(micros(0))) for _at, name, kind, needed, _default, _key in found if needed}


async def pages(installation: Installation, count: int, **wanted: Any) -> float:
    """Milliseconds for one page, from five places all over; each has to be full."""
    times = []
    for number in (0, count // 4, count // 2, count * 3 // 4, count - 3 * PAGE):
        after = VersionID(f"version-{number:07}")
        started = time.perf_counter()
        found = await certificates.listing(installation, limit=PAGE, after=after, **wanted)
        times.append((time.perf_counter() - started) * 1e3)
        if len(found) != PAGE:
            raise RuntimeError(f"a page of {PAGE} has {len(found)}")
    return statistics.median(times)


async def measure(folder: Path, count: int) -> None:
    installation, _first = await initialize(Settings(data=folder / "data", url="https://bench.example"), SystemClock(), {})
    try:
        read = await installation.store.read(issuers.read)
        ca = next(each for each in read if each.kind is Kind.IDENTITY_CA)
        started = time.perf_counter()
        insert(Paths(folder / "data").database, count, ca.id)
        print(f"{count:,} certificates inserted in {time.perf_counter() - started:.0f} s")
        questions: dict[str, dict[str, Any]] = {
            "all": {},
            "device identities": {"kind": Kind.DEVICE_IDENTITY},
            "active ones": {"kind": Kind.DEVICE_IDENTITY, "states": (VersionState.ACTIVE,)},
            "ending within 180 days": {"kind": Kind.DEVICE_IDENTITY, "expires_before": NOW + timedelta(days=180)},
        }
        for what, wanted in questions.items():
            print(f"a page of {PAGE}, {what}: {await pages(installation, count, **wanted):.2f} ms", flush=True)
        started = time.perf_counter()
        found = await authority_status.statuses(installation)
        print(f"what each CA has issued: {(time.perf_counter() - started) * 1e3:.0f} ms")
        if sum(each.tally.issued for each in found if each.issuer.id == ca.id) != count:
            raise RuntimeError("not all were counted")
    finally:
        await installation.store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(measure(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
