"""RC2 decryption (RFC 2268), which keeps no secret today: what old exports hide their certificates under, with 40-bit keys.

Here because `cryptography` has RC2 with 128-bit keys only, and OpenSSL in a legacy module that may be missing. Nothing is
ever encrypted with it. About 20 µs a block of eight octets.
"""

from __future__ import annotations

import struct
from typing import Final

BLOCK: Final = 8

_PITABLE: Final = bytes.fromhex(
    "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2179a59f587b34f1361456d8d09817d32"
    "bd8f40eb86b77b0bf09521225c6b4e8254d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626"
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed708e8eade8052eef784aa72ac354d6a2a"
    "961ad2715a1549744b9fd05e0418a4ecc2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731"
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a90d38341bab33ffb0bb480c5fb9b1cd2e"
    "c5f3db47e5a59c770aa62068fe7fc1ad"
)
# after which of the sixteen mixing rounds, counted backwards, a mashing round comes (section 3.4)
_MASHED: Final = frozenset({11, 5})
_ROTATIONS: Final = (1, 2, 3, 5)


def decrypt_cbc(key: bytes, iv: bytes, encrypted: bytes) -> bytes:
    """Whole blocks in CBC mode, padding left on; all bits of the key are effective (section 6)."""
    expanded = _expand(key)
    before, plain = iv, bytearray()
    for position in range(0, len(encrypted), BLOCK):
        block = encrypted[position : position + BLOCK]
        plain += bytes(a ^ b for a, b in zip(_decrypt(block, expanded), before, strict=True))
        before = block
    return bytes(plain)


def _expand(key: bytes) -> tuple[int, ...]:
    """Key expansion (section 2), the effective length being that of the key."""
    table = bytearray(key)
    while len(table) < 128:
        table.append(_PITABLE[(table[-1] + table[-len(key)]) & 0xFF])
    table[-len(key)] = _PITABLE[table[-len(key)]]
    for i in range(127 - len(key), -1, -1):
        table[i] = _PITABLE[table[i + 1] ^ table[i + len(key)]]
    return struct.unpack("<64H", table)


def _decrypt(block: bytes, key: tuple[int, ...]) -> bytes:
    """One block (section 4): sixteen mixing rounds and two mashing rounds, each backwards."""
    r = list(struct.unpack("<4H", block))
    for step in range(15, -1, -1):
        for i in (3, 2, 1, 0):
            one, two, three = r[i - 1], r[i - 2], r[i - 3]
            turned = (r[i] >> _ROTATIONS[i]) | (r[i] << (16 - _ROTATIONS[i]))
            r[i] = (turned - key[4 * step + i] - (one & two) - (~one & three)) & 0xFFFF
        if step in _MASHED:
            for i in (3, 2, 1, 0):
                r[i] = (r[i] - key[r[i - 1] & 63]) & 0xFFFF
    return struct.pack("<4H", *r)
