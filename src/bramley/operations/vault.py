"""Private keys in the database, sealed."""

from __future__ import annotations

from datetime import datetime

from bramley.model import ids
from bramley.model.events import Event, EventKind
from bramley.model.lineages import KeyID, SealedKey
from bramley.operations.errors import NotFound
from bramley.pki import keys
from bramley.pki.keystore import PrivateKeys, Sealer
from bramley.storage.protocols import Tx


def keep(tx: Tx, sealer: Sealer, key: keys.PrivateKey, purpose: str, *, now: datetime, actor: str) -> KeyID:
    """Seals and stores a private key for one purpose."""
    key_id = KeyID(ids.fresh(now))
    algorithm = keys.algorithm_of(key.public_key())
    tx.keys.add(SealedKey(key_id, purpose, algorithm, PrivateKeys(sealer).seal_key(key, key_id, purpose), now))
    tx.events.append(Event(now, EventKind.KEY_CREATED, actor, detail={"key": key_id, "purpose": purpose, "algorithm": algorithm}))
    return key_id


def take(tx: Tx, sealer: Sealer, key_id: KeyID) -> keys.PrivateKey:
    """Opens a stored key. SealError where this installation's key is not the one that sealed it."""
    sealed = tx.keys.get(key_id)
    if sealed is None:
        raise NotFound(f"The database holds no private key {key_id}.", advice="Restore a backup that does.")
    return PrivateKeys(sealer).open_key(sealed.sealed, key_id, sealed.purpose)
