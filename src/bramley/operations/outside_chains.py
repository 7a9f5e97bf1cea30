"""The CAs above a certificate, on record: ours, or those that came with what somebody else made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionID, VersionState
from bramley.operations import records
from bramley.operations.errors import NotReady
from bramley.pki import certificates, names
from bramley.pki.chains import LONGEST
from bramley.storage.protocols import Tx


def record(tx: Tx, chain: Sequence[x509.Certificate], *, now: datetime, actor: str) -> VersionID | None:
    """Puts the CAs of a chain, nearest first, on record where they are not, each with its issuer; the nearest of them.

    That they are here makes nobody believe them.
    """
    issuer: VersionID | None = None
    for ca in reversed(chain):
        sha256 = certificates.sha256(ca)
        known = tx.lineages.by_sha256(sha256)
        if known is None:
            name = f"{names.text(ca.subject)} {sha256[:8]}"
            lineage = records.lineage(tx, Kind.TRUST_ANCHOR, name, Policy(), now=now)
            event = EventKind.CERTIFICATE_IMPORTED
            known = records.record(tx, lineage, ca, state=VersionState.ACTIVE, now=now, actor=actor, event=event, issuer=issuer)
        elif known.issuer_version is None and issuer is not None:
            known = replace(known, issuer_version=issuer)  # it came without what is above it
            tx.lineages.update_version(known)
        issuer = known.id
    return issuer


def above(tx: Tx, version: Version) -> tuple[x509.Certificate, ...]:
    """The CAs above a version, nearest first, as far as they are on record. NotReady where one that was is missing."""
    found: list[x509.Certificate] = []
    while version.issuer_version is not None and len(found) < LONGEST:
        issuer = tx.lineages.version(version.issuer_version)
        if issuer is None or issuer.certificate is None:
            raise NotReady(f"The CA above {version.id} is missing.", advice="Restore a backup.")
        found.append(certificates.load(issuer.certificate))
        version = issuer
    return tuple(found)
