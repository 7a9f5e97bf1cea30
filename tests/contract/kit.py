"""Makers of things to store: everything has a default but what a test is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import (
    Binding,
    Challenge,
    Enrollment,
    EnrollmentID,
    EnrollmentKey,
    EnrollmentLink,
    EnrollmentState,
    Purpose,
)
from bramley.model.events import Event
from bramley.model.jobs import Job, JobID
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, SealedKey, Version, VersionID, VersionState
from bramley.model.push import Wave, WaveID, WaveState
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW

YEAR = timedelta(days=365)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

Open = Callable[[], Awaitable[Store]]
"""Opens the test's database once more, as another process would; the fixture closes it."""

Storable = Lineage | Version | SealedKey | Enrollment | Binding | Challenge | EnrollmentLink | Command | Job | Event


def lineage(name: str = "device 1", kind: Kind = Kind.DEVICE_IDENTITY, **fields: Any) -> Lineage:
    return replace(Lineage(LineageID(f"lineage of {name}"), kind, name, Policy(), NOW), **fields)


def version(of: Lineage, number: int = 1, state: VersionState = VersionState.ACTIVE, **fields: Any) -> Version:
    """Issued, with dates, for a year from now; its sha256 is `sha256 of` its id."""
    version_id = VersionID(f"version {number} of {of.name}")
    made = Version(version_id, of.id, number, state, NOW, NOW, sha256=f"sha256 of {version_id}")
    return replace(made, **({"not_before": NOW, "not_after": NOW + YEAR} | fields))


def enrollment(name: str = "1", state: EnrollmentState = EnrollmentState.ACTIVE, **fields: Any) -> Enrollment:
    made = Enrollment(EnrollmentKey(f"enrollment {name}"), state, NOW, NOW, id=EnrollmentID(f"UDID {name}"))
    return replace(made, **fields)


def channel(of: Enrollment, user: str, **fields: Any) -> Enrollment:
    name = EnrollmentID(f"{of.id}:{user}")
    made = Enrollment(EnrollmentKey(f"{of.key} {user}"), EnrollmentState.ACTIVE, NOW, NOW, name, of.key, user_id=user)
    return replace(made, **fields)


def challenge(of: Enrollment, name: str = "1", purpose: Purpose = Purpose.ENROLL, **fields: Any) -> Challenge:
    made = Challenge(f"challenge {name}", f"sha256 of {name}", of.key, purpose, NOW, NOW + DAY)
    return replace(made, **fields)


def link(name: str = "1", uses_allowed: int = 1, **fields: Any) -> EnrollmentLink:
    made = EnrollmentLink(f"link {name}", f"sha256 of {name}", f"label {name}", NOW, NOW + DAY, uses_allowed)
    return replace(made, **fields)


def command(of: Enrollment, name: str = "1", state: CommandState = CommandState.QUEUED, **fields: Any) -> Command:
    made = Command(CommandUUID(f"uuid {name}"), of.key, "DeviceInformation", b"sealed " + name.encode(), state, NOW, "admin:ann")
    return replace(made, **fields)


def job(kind: str = "push", **fields: Any) -> Job:
    return replace(Job(kind, run_at=NOW, created_at=NOW), **fields)


def wave(name: str = "1", state: WaveState = WaveState.RUNNING, **fields: Any) -> Wave:
    return replace(Wave(WaveID(f"wave {name}"), NOW, "cli", f"label {name}", 50.0, 3, state, NOW), **fields)


def id_of(stored: Job) -> JobID:
    assert stored.id is not None
    return stored.id


async def store_identity(store: Store, of: Enrollment, **fields: Any) -> Version:
    """Stores an enrollment and a device identity bound to it."""
    lineage_of = lineage(f"identity of {of.key}")
    identity = version(lineage_of, **fields)
    assert identity.sha256 is not None
    await store_all(store, lineage_of, identity, of, Binding(identity.sha256, of.key, Purpose.ENROLL, identity.id, NOW))
    return identity


async def store_all(store: Store, *things: Storable) -> None:
    """Adds things of any kind, in order, in one transaction."""

    def add(tx: Tx) -> None:
        for thing in things:
            add_one(tx, thing)

    await store.run(add)


def add_one(tx: Tx, thing: Storable) -> None:
    match thing:
        case Lineage():
            tx.lineages.add(thing)
        case Version():
            tx.lineages.add_version(thing)
        case SealedKey():
            tx.keys.add(thing)
        case Enrollment():
            tx.enrollments.add(thing)
        case Binding():
            tx.enrollments.bind(thing)
        case Challenge():
            tx.challenges.add(thing)
        case EnrollmentLink():
            tx.links.add(thing)
        case Command():
            tx.commands.add(thing)
        case Job():
            tx.jobs.add(thing)
        case Event():
            tx.events.append(thing)
