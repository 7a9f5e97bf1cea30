"""Looking devices up, by name, state or tag."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations.errors import Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx

_TAG: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Listed:
    """A device with its tags, or a user channel, which has none."""

    enrollment: Enrollment
    tags: Sequence[str]


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    """One enrollment with all that hangs on it; identities oldest first, commands newest first.

    `route` is how its identities come, as their lineage has it; empty where that is unknown.
    """

    enrollment: Enrollment
    channels: Sequence[Enrollment]
    identities: Sequence[Version]
    commands: Sequence[Command]
    tags: Sequence[str]
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
    tag: str | None = None,
    limit: int = 100,
    after: EnrollmentKey | None = None,
) -> Sequence[Listed]:
    """Devices and user channels, in order of key. Profiles that were fetched and never used are left out unless asked for.

    With `tag`, the devices that have it. Raises Invalid for a tag that is none.
    """
    if tag is not None:
        require_tag(tag)
    found: list[Listed] = []
    size = min(limit, _PAGE)
    while len(found) < limit:
        page = await installation.store.read(partial(_page, state=state, search=search, tag=tag, limit=size, after=after))
        found += [each for each in page if each.enrollment.id is not None or state is EnrollmentState.PENDING]
        if len(page) < size:
            break
        after = page[-1].enrollment.key
    return found[:limit]


def _page(
    tx: Tx, *, state: EnrollmentState | None, search: str | None, tag: str | None, limit: int, after: EnrollmentKey | None
) -> Sequence[Listed]:
    page = tx.enrollments.find(state=state, search=search, tag=tag, limit=limit, after=after)
    tags = tx.tags.of_each([each.id for each in page if each.id is not None])
    return [Listed(each, tags.get(EnrollmentID(each.id or ""), ())) for each in page]


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
            tx.tags.of(EnrollmentID(enrollment.id or "")),
            lineage.route if lineage else "",
        )

    return await installation.store.read(read)


def require_tag(name: str) -> None:
    """Invalid unless it is 1 to 63 lower-case letters, digits, dots, hyphens and underscores, the first a letter or digit."""
    if not _TAG.fullmatch(name):
        raise Invalid(f"Expected a tag of lower-case letters, digits, dots, hyphens and underscores, 63 at most; {name!r} came.")
