"""Self-signed identities that were brought in: each is trusted for itself, and for nothing else.

A CA vouches for many; these have none. Their certificates stand on record as any identity does, and here is written down which
those are, so that a running server can believe them without looking through every identity.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from cryptography import x509

from bramley.model.lineages import Version, VersionID, VersionState
from bramley.operations import records
from bramley.pki import certificates
from bramley.storage.protocols import Tx

_NOTE = "self-signed-identities"
_OVER = frozenset({VersionState.RETIRED, VersionState.REVOKED, VersionState.FAILED})


def add(tx: Tx, versions: Iterable[VersionID]) -> None:
    """From now on these are believed, by running servers within a second. Those that are over for good are forgotten."""
    standing = [version.id for version in _read(tx)]
    tx.notes.set(_NOTE, json.dumps([*standing, *versions]))
    records.touch(tx)


def believed(tx: Tx) -> Sequence[tuple[VersionID, x509.Certificate]]:
    """Those that stand, in the order they came."""
    return [(version.id, certificates.load(version.certificate)) for version in _read(tx) if version.certificate]


def _read(tx: Tx) -> list[Version]:
    named = json.loads(tx.notes.get(_NOTE) or "[]")
    found = (tx.lineages.version(VersionID(each)) for each in named)
    return [version for version in found if version is not None and version.state not in _OVER]
