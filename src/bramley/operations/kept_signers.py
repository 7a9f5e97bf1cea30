"""Identities that a person brings along to sign with: kept with their key and chain, until the next one is brought."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509

from bramley.lifecycle.next_step import IMPORTED
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.operations import outside_chains, records, vault
from bramley.operations.errors import Invalid
from bramley.operations.installation import Installation
from bramley.pki import certificates
from bramley.pki.keystore import Sealer
from bramley.pki.pkcs12 import Bundle
from bramley.storage.protocols import Tx

_POLICY: Final = Policy(renew_at=0.9)
"""Late, since a person has to do it: half a year before the end of five, as Apple's Developer ID certificates have."""


def keep(
    tx: Tx,
    installation: Installation,
    kind: Kind,
    name: str,
    bundle: Bundle,
    above: Sequence[x509.Certificate],
    *,
    now: datetime,
    actor: str,
) -> Version:
    """Keeps an identity that was judged fit, with the CAs above it, nearest first. It takes the place of the former.

    Running servers have it within a second. Invalid where its certificate is here already, for whatever use.
    """
    known = tx.lineages.by_sha256(certificates.sha256(bundle.certificate))
    if known is not None:
        raise Invalid(
            f"This certificate is here already: {known.id}, {known.state}.",
            advice=f"`bramley certs show {known.id}` tells of it.",
        )
    issuer = outside_chains.record(tx, above, now=now, actor=actor)
    lineage = records.lineage(tx, kind, name, _POLICY, now=now, route=IMPORTED)
    version = records.record(
        tx,
        lineage,
        bundle.certificate,
        state=VersionState.ISSUED,
        now=now,
        actor=actor,
        event=EventKind.CERTIFICATE_IMPORTED,
        key_id=vault.keep(tx, installation.sealer, bundle.key, kind, now=now, actor=actor),
        issuer=issuer,
    )
    version = records.promote(tx, version, now=now, actor=actor)
    records.touch(tx)
    return version


def take(tx: Tx, sealer: Sealer, kind: Kind, name: str) -> Bundle | None:
    """The identity in force, its chain in `others`, nearest CA first; None where there is none. SealError for its key."""
    version = records.active(tx, kind, name)
    if version is None or version.certificate is None or version.key_id is None:
        return None
    key = vault.take(tx, sealer, version.key_id)
    return Bundle(key, certificates.load(version.certificate), outside_chains.above(tx, version))
