"""That a CRL no longer says what is so: left in the transaction that changed it, for whoever publishes the next."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from bramley.model import ids
from bramley.model.jobs import Job
from bramley.model.lineages import Version, VersionID, VersionState
from bramley.operations import issuers
from bramley.storage.protocols import Tx

PUBLISH_CRLS: Final = "publish-crls"

_TOLD: Final = frozenset({VersionState.REVOKED, VersionState.SUSPENDED})
"""States that a CRL tells of."""


def note_name(issuer: VersionID) -> str:
    """The note that holds the number of an issuer's CRL for as long as that CRL is right, and another mark after a change."""
    return f"crl:{issuer}"


def leave(tx: Tx, before: Version, after: Version, now: datetime) -> None:
    """Leaves what a change of state makes of the CRL; nothing where that tells the same as before."""
    if before.state not in _TOLD and after.state not in _TOLD:
        return
    issuer = issuers.of_version(tx, after.issuer_version) if after.issuer_version else None
    if issuer is not None:
        tx.notes.set(note_name(issuer.id), f"changed {ids.fresh(now)}")
        tx.jobs.add(Job(PUBLISH_CRLS, run_at=now, created_at=now, dedup_key=PUBLISH_CRLS))
