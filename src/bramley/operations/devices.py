"""Looking devices up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations.errors import NotFound
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    """One enrollment with all that hangs on it; identities oldest first, commands newest first.

    `route` is how its identities come, as their lineage has it; empty where that is unknown.
    """

    enrollment: Enrollment
    channels: Sequence[Enrollment]
    identities: Sequence[Version]
    commands: Sequence[Command]
    route: str = ""


def resolve(tx: Tx, device: str) -> Enrollment:
    """The enrollment by our key, UDID, EnrollmentID or `parent:user`; NotFound otherwise.

    Our key first: what a device calls itself is its own choice, and could be the key of another.
    """
    found = tx.enrollments.get(EnrollmentKey(device)) or tx.enrollments.latest_by_id(EnrollmentID(device))
    if found is None:
        raise NotFound(f"There is no device {device!r}.", advice="`bramley device list` shows what there is.")
    return found


def each(tx: Tx, state: EnrollmentState, *, topic: str | None = None) -> Iterator[Enrollment]:
    """Every device and user channel in a state, and of a push topic where one is named, a page at a time."""
    after: EnrollmentKey | None = None
    while page := tx.enrollments.find(state=state, topic=topic, limit=1000, after=after):
        yield from page
        after = page[-1].key


async def listing(
    installation: Installation,
    *,
    state: EnrollmentState | None = None,
    search: str | None = None,
    limit: int = 100,
    after: EnrollmentKey | None = None,
) -> Sequence[Enrollment]:
    """Devices and user channels, in order of key. Profiles that were fetched and never used are left out unless asked for."""
    found: list[Enrollment] = []
    while len(found) < limit:
        page = await installation.store.read(partial(_page, state=state, search=search, limit=limit, after=after))
        found += [e for e in page if e.id is not None or state is EnrollmentState.PENDING]
        if len(page) < limit:
            break
        after = page[-1].key
    return found[:limit]


def _page(
    tx: Tx, *, state: EnrollmentState | None, search: str | None, limit: int, after: EnrollmentKey | None
) -> Sequence[Enrollment]:
    return tx.enrollments.find(state=state, search=search, limit=limit, after=after)


async def show(installation: Installation, device: str) -> DeviceDetail:
    """One device; NotFound where there is none of this name."""

    def read(tx: Tx) -> DeviceDetail:
        enrollment = resolve(tx, device)
        owner = enrollment.parent or enrollment.key
        versions = [tx.lineages.version(binding.version_id) for binding in tx.enrollments.bindings(owner)]
        lineage = tx.lineages.find(Kind.DEVICE_IDENTITY, owner)
        return DeviceDetail(
            enrollment,
            tx.enrollments.channels(enrollment.key),
            [version for version in versions if version is not None],
            tx.commands.history(enrollment.key),
            lineage.route if lineage else "",
        )

    return await installation.store.read(read)
