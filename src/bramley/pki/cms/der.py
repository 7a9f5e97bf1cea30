"""Writing DER (X.690 section 10): what we send.

Each function returns one whole element as octets; elements nest by concatenation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

from bramley.pki.cms.errors import Refused


def element(tag: int, content: bytes) -> bytes:
    """An element under any low tag, given with class and constructed bit as its one identifier octet."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE of the parts, in their order."""
    return element(0x30, b"".join(parts))


def set_of(parts: Iterable[bytes]) -> bytes:
    """A SET OF, sorted as DER demands (X.690 section 11.6)."""
    return element(0x31, b"".join(sorted(parts)))


def set_in_order(parts: Iterable[bytes], *, tag: int = 0x31) -> bytes:
    """A SET OF in the caller's order, against X.690 section 11.6: for certificates.

    Apple's SCEP client takes the first certificate of a CertRep for its own (error 22008 when the CA sorts before the leaf).
    """
    return element(tag, b"".join(parts))


def context(number: int, content: bytes, *, constructed: bool = True) -> bytes:
    """A context-specific tag `[number]`: explicit around a whole element, or implicit in place of a tag on its contents."""
    return element((0xA0 if constructed else 0x80) | number, content)


def integer(value: int) -> bytes:
    """An INTEGER in its shortest two's complement."""
    # a positive number whose top bit is set needs an octet more; of a negative one ~value decides
    bits = (value if value >= 0 else ~value).bit_length() + 1
    return element(0x02, value.to_bytes((bits + 7) // 8, "big", signed=True))


# A pure memo: our own code writes the same few dozen identifiers all the time.
@lru_cache(maxsize=256)
def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER from its dotted text."""
    root, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for arc in (40 * root + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | arc & 0x7F)
        content += bytes(reversed(septets))
    return element(0x06, bytes(content))


def octet_string(content: bytes) -> bytes:
    """An OCTET STRING in one piece."""
    return element(0x04, content)


def null() -> bytes:
    """NULL."""
    return b"\x05\x00"


def printable_string(text: str) -> bytes:
    """A PrintableString; `Refused` for a character outside its alphabet (X.680 section 41.4)."""
    if not all(c.isascii() and (c.isalnum() or c in " '()+,-./:=?") for c in text):
        raise Refused("A PrintableString holds letters, digits, space and '()+,-./:=? only; the text given has others.")
    return element(0x13, text.encode("ascii"))


def utf8_string(text: str) -> bytes:
    """A UTF8String."""
    return element(0x0C, text.encode("utf-8"))


def utc_time(moment: datetime) -> bytes:
    """A UTCTime: an aware moment from 1950 to 2049, whole seconds in UTC."""
    return element(0x17, f"{moment.astimezone(UTC):%y%m%d%H%M%SZ}".encode())


def generalized_time(moment: datetime) -> bytes:
    """A GeneralizedTime: an aware moment, whole seconds in UTC."""
    return element(0x18, f"{moment.astimezone(UTC):%Y%m%d%H%M%SZ}".encode())


def time(moment: datetime) -> bytes:
    """A Time: UTCTime from 1950 to 2049, GeneralizedTime else (RFC 5652 section 11.3, RFC 5280 section 4.1.2.5)."""
    return utc_time(moment) if 1950 <= moment.astimezone(UTC).year <= 2049 else generalized_time(moment)
