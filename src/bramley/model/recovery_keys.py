"""FileVault recovery keys as Macs escrow them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bramley.model.enrollments import EnrollmentID
from bramley.model.lineages import VersionID


@dataclass(frozen=True, slots=True)
class RecoveryKey:
    """One recovery key of a Mac, by what the Mac calls itself, so that it outlives an enrollment.

    `message` is CMS EnvelopedData as it came, to the escrow certificate `version_id`, whose key opens it. `replaced_at` is when a
    later one took its place; the disk of a Mac that was restored since may still want it.
    """

    id: str
    device: EnrollmentID
    version_id: VersionID
    message: bytes = field(repr=False)
    received_at: datetime
    replaced_at: datetime | None = None
