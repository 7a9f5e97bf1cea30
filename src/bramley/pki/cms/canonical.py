"""Reading DER (X.690 section 10) where a standard demands it and a second way to write a message would be a second meaning.

What is judged: lengths are definite and in their shortest form, strings are in one piece. What is not: the order of a SET
(strongSwan does not sort its signed attributes, and a signature over the octets as sent covers any order), and the inside of
primitive values.
"""

from __future__ import annotations

from typing import Final

from bramley.pki.cms.ber import CONSTRUCTED, HIGH_TAG, INDEFINITE, cut_short, header
from bramley.pki.cms.errors import Malformed, TooDeep

# SEQUENCE, SET, EXTERNAL, EMBEDDED PDV: the universal types that are constructed in DER
_ALWAYS_CONSTRUCTED: Final = frozenset({0x30, 0x31, 0x28, 0x2B})


def element(data: bytes, position: int, limit: int) -> tuple[int, int, int]:
    """Tag, start and end of the contents of the DER element at `position`, which ends by `limit`; the inside is not read."""
    try:
        tag, length = data[position], data[position + 1]
        body = position + 2
        if length == 0x82 and tag & HIGH_TAG != HIGH_TAG and data[body]:
            # the commonest long form, read in line
            length = data[body] << 8 | data[body + 1]
            body += 2
        elif length > 0x7F or tag & HIGH_TAG == HIGH_TAG:
            tag, body, length = header(data, position)
            octets_of_tag = (tag.bit_length() + 7) // 8
            octets_of_length = 1 if length < 0x80 else 1 + (length.bit_length() + 7) // 8
            if length == INDEFINITE or body - position != octets_of_tag + octets_of_length:
                raise Malformed(f"The element at octet {position} should be DER; its length is not in its shortest form.")
    except IndexError:
        raise cut_short(position) from None
    stop = body + length
    if stop > limit or tag == 0:
        raise Malformed(f"The element at octet {position} should be DER and end by octet {limit}; it does not.")
    if CONSTRUCTED < tag < 0x40 and tag not in _ALWAYS_CONSTRUCTED:
        raise Malformed(f"The element at octet {position} should be DER; it is a string in pieces.")
    return tag, body, stop


def require_canonical(data: bytes, position: int, limit: int, depth: int) -> None:
    """Refuse what is not DER among the elements between two offsets, and inside them down to `depth` levels."""
    limits: list[int] = []
    while True:
        while position == limit:
            if not limits:
                return
            limit = limits.pop()
        _, body, stop = element(data, position, limit)
        if not data[position] & CONSTRUCTED:
            position = stop
        elif len(limits) < depth:
            limits.append(limit)
            position, limit = body, stop
        else:
            raise TooDeep(f"Elements at octet {position} are nested deeper than the {depth} levels accepted.")
