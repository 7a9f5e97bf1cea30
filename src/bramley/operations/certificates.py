"""What certificates there are, when they end, and who depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from bramley.lifecycle import schedule
from bramley.model.events import Event
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Version, VersionID, VersionState
from bramley.model.networks import FROM_TEMPLATES, owner_of
from bramley.operations.errors import NotFound
from bramley.operations.installation import Installation
from bramley.storage.protocols import CertificateRow, Tx


@dataclass(frozen=True, slots=True)
class CertificateDetail:
    """A version with its lineage, its siblings, its issuer and its history."""

    row: CertificateRow
    versions: Sequence[Version]
    issuer: Version | None
    events: Sequence[Event]
    due_at: datetime | None


async def listing(
    installation: Installation,
    *,
    kind: Kind | None = None,
    states: Sequence[VersionState] = (),
    expires_before: datetime | None = None,
    limit: int = 100,
    after: VersionID | None = None,
) -> Sequence[CertificateRow]:
    """Certificates in the order they came to be."""

    def read(tx: Tx) -> Sequence[CertificateRow]:
        rows = tx.lineages.certificates(kind=kind, states=states, expires_before=expires_before, limit=limit, after=after)
        return [_owned(tx, row) for row in rows]

    return await installation.store.read(read)


async def show(installation: Installation, name: str) -> CertificateDetail:
    """One certificate by version id, serial number or SHA-256 (hex, colons allowed); NotFound where there is none."""

    def read(tx: Tx) -> CertificateDetail:
        version = find(tx, name)
        lineage = tx.lineages.get(version.lineage_id)
        if lineage is None:
            raise AssertionError("a version has a lineage")
        return CertificateDetail(
            _row(tx, lineage, version),
            tx.lineages.versions(lineage.id),
            tx.lineages.version(version.issuer_version) if version.issuer_version else None,
            tx.events.find(version_id=version.id),
            schedule.due_at(version, lineage.policy),
        )

    return await installation.store.read(read)


def find(tx: Tx, name: str) -> Version:
    """A version by its id, its SHA-256 or its serial number."""
    text = name.replace(":", "").lower()
    found = tx.lineages.version(VersionID(name)) or tx.lineages.by_sha256(text)
    if found is not None:
        return found
    by_serial = tx.lineages.by_serial(text.lstrip("0"))
    if len(by_serial) != 1:
        raise NotFound(f"There is no certificate {name!r}.", advice="`bramley certs list` shows what there is.")
    return by_serial[0]


def _row(tx: Tx, lineage: Lineage, version: Version) -> CertificateRow:
    binding = tx.enrollments.binding(version.sha256) if version.sha256 else None
    enrollment = tx.enrollments.get(binding.enrollment_key) if binding else None
    row = CertificateRow(lineage, version, enrollment.key if enrollment else None, enrollment.id if enrollment else None)
    return _owned(tx, row)


def _owned(tx: Tx, row: CertificateRow) -> CertificateRow:
    """With the device of a certificate after a template, which no binding names."""
    if row.lineage.kind not in FROM_TEMPLATES:
        return row
    enrollment = tx.enrollments.get(owner_of(row.lineage.name))
    return row if enrollment is None else replace(row, enrollment_key=enrollment.key, enrollment_id=enrollment.id)
