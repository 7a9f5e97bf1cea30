"""How network identities stand: which certificates an assignment has brought, and when the next is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bramley.lifecycle import schedule
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Policy, Version, VersionState
from bramley.model.networks import NetworkAssignment, NetworkState, kind_of, lineage_name
from bramley.operations import devices
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Standing:
    """An assignment, its device, the certificate in force or on its way, and the moment the next one is due."""

    assignment: NetworkAssignment
    enrollment: Enrollment
    version: Version | None
    due_at: datetime | None


async def listing(
    installation: Installation,
    *,
    device: str | None = None,
    template: str | None = None,
    limit: int = 100,
    after: tuple[EnrollmentKey, str] | None = None,
) -> Sequence[Standing]:
    """Assignments that have not ended, by enrollment and template: all, or those of a device or a template. NotFound."""

    def read(tx: Tx) -> Sequence[Standing]:
        if device is None:
            found = tx.networks.listing(template, limit=limit, after=after)
        else:
            named = devices.resolve(tx, device)
            living = [a for a in tx.networks.of(named.parent or named.key) if a.state is not NetworkState.ENDED]
            found = [a for a in living if template in (None, a.template)]
            found = [a for a in found if after is None or (a.enrollment_key, a.template) > after][:limit]
        return [standing for each in found if (standing := _of(tx, each)) is not None]

    return await installation.store.read(read)


def versions(tx: Tx, key: EnrollmentKey, template: str) -> Sequence[Version]:
    """Every certificate of an enrollment after a template, oldest first."""
    lineage = lineage_of(tx, key, template)
    return tx.lineages.versions(lineage.id) if lineage else ()


def lineage_of(tx: Tx, key: EnrollmentKey, template: str) -> Lineage | None:
    return tx.lineages.find(kind_of(template), lineage_name(key, template))


def in_force(tx: Tx, key: EnrollmentKey, template: str) -> tuple[Version, Policy] | None:
    """The active certificate, and how its lineage is kept alive."""
    lineage = lineage_of(tx, key, template)
    active = (v for v in versions(tx, key, template) if v.state is VersionState.ACTIVE)
    return next(((version, lineage.policy) for version in active if lineage), None)


def every(tx: Tx, key: EnrollmentKey) -> list[tuple[Version, Kind]]:
    """Every certificate after a template that an enrollment has ever had."""
    assignments = tx.networks.of(key)
    return [(version, kind_of(each.template)) for each in assignments for version in versions(tx, key, each.template)]


def _of(tx: Tx, assignment: NetworkAssignment) -> Standing | None:
    enrollment = tx.enrollments.get(assignment.enrollment_key)
    if enrollment is None:
        return None
    key, template = assignment.enrollment_key, assignment.template
    active = in_force(tx, key, template)
    if active is not None:
        return Standing(assignment, enrollment, active[0], schedule.due_at(*active))
    latest = versions(tx, key, template)
    return Standing(assignment, enrollment, latest[-1] if latest else None, None)
