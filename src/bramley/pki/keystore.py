"""Secrets at rest: sealed with AES-256-GCM under a key-encryption key, and tied to their place.

A sealed blob is `BS1`, the key id (8 octets), a random nonce (12) and the ciphertext with its tag (16). Header and place
are associated data (SP 800-38D), so a blob moved to another row, or relabelled, does not open. Random 96-bit nonces
are safe for 2^32 seals a key (SP 800-38D 8.3), far above what one server holds.

Nothing here shows a secret: not `repr`, not an error, not a log.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag

from bramley.pki import keys
from bramley.pki.errors import SealError
from bramley.pki.key_encryption import KEY_ID_SIZE, KeyEncryptionKey, create_key_file, read_key_file

__all__ = ["KeyEncryptionKey", "Place", "PrivateKeys", "Sealer", "create_key_file", "read_key_file"]

_MAGIC: Final = b"BS1"
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_HEADER_SIZE: Final = len(_MAGIC) + KEY_ID_SIZE
_NONCE_END: Final = _HEADER_SIZE + _NONCE_SIZE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed blob lives: the table, the row, and what the secret is for. A blob opens nowhere else."""

    table: str
    id: str
    purpose: str

    def associated_data(self) -> bytes:
        """The three fields, each led by its length in four octets: no two places share an encoding."""
        fields = (field.encode() for field in (self.table, self.id, self.purpose))
        return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class Sealer:
    """Seals under the active key; opens what the active key or one of the `others` (earlier ones) sealed."""

    __slots__ = ("_active", "_by_id")

    def __init__(self, active: KeyEncryptionKey, others: Sequence[KeyEncryptionKey] = ()) -> None:
        self._active = active
        self._by_id = {key.key_id: key for key in (active, *others)}

    def __repr__(self) -> str:
        return f"Sealer(active={self._active.key_id!r}, holds={sorted(self._by_id)!r})"

    def seal(self, plaintext: bytes, place: Place) -> bytes:
        """The secret sealed for this place; 39 octets longer than it was."""
        header = _MAGIC + bytes.fromhex(self._active.key_id)
        nonce = os.urandom(_NONCE_SIZE)
        return header + nonce + self._active.encrypt(nonce, plaintext, header + place.associated_data())

    def open(self, sealed: bytes, place: Place) -> bytes:
        """The secret. Raises SealError if it was sealed by a key not held here, for another place, or was changed."""
        if len(sealed) < _NONCE_END + _TAG_SIZE or not sealed.startswith(_MAGIC):
            raise SealError(
                f"Expected a secret sealed by Bramley for {_shown(place)}; {len(sealed)} bytes came that are not one.",
                advice="The row is cut short or was written by something else: restore it from a backup.",
            )
        header, nonce = sealed[:_HEADER_SIZE], sealed[_HEADER_SIZE:_NONCE_END]
        key_id = header[len(_MAGIC) :].hex()
        key = self._by_id.get(key_id)
        if key is None:
            raise SealError(
                f"The secret of {_shown(place)} was sealed under key id {key_id}; "
                f"this server holds {', '.join(sorted(self._by_id))}.",
                advice="Give the server the key file, or the recovery copy, that names this key id.",
            )
        try:
            return key.decrypt(nonce, sealed[_NONCE_END:], header + place.associated_data())
        except InvalidTag:
            raise SealError(
                f"The sealed secret of {_shown(place)} does not open: it was changed, or moved from another place.",
                advice="Restore this row from a backup; never copy a sealed secret between rows.",
            ) from None


class PrivateKeys:
    """Private keys at rest: PKCS#8 under a Sealer, placed in one table by id and purpose."""

    __slots__ = ("_sealer", "_table")

    def __init__(self, sealer: Sealer, *, table: str = "private_key") -> None:
        self._sealer = sealer
        self._table = table

    def seal_key(self, key: keys.PrivateKey, id: str, purpose: str) -> bytes:
        """The key, sealed for its row."""
        return self._sealer.seal(keys.to_pkcs8(key), Place(self._table, id, purpose))

    def open_key(self, sealed: bytes, id: str, purpose: str) -> keys.PrivateKey:
        """The key. Raises SealError as `Sealer.open` does, and BadKey if what was sealed is no key."""
        return keys.from_pkcs8(self._sealer.open(sealed, Place(self._table, id, purpose)))


def _shown(place: Place) -> str:
    return f"{place.table}/{place.id}/{place.purpose}"
