"""The values of BER elements: each function takes a `Node`, checks its tag and raises `Malformed` for anything else."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Final

from bramley.pki.cms import canonical
from bramley.pki.cms.ber import CONSTRUCTED, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Node, too_deep, unexpected
from bramley.pki.cms.errors import Malformed

_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_OID_OCTETS: Final = 64
_TEXT: Final = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}


def oid(node: Node) -> str:
    """The dotted text of an OBJECT IDENTIFIER."""
    if node.tag != OBJECT_IDENTIFIER:
        raise unexpected(node, "an OBJECT IDENTIFIER")
    return dotted(node.source.data[node.body : node.stop])


def integer(node: Node) -> int:
    """The value of an INTEGER, which has no needless octets (X.690 section 8.3.2)."""
    if node.tag != INTEGER:
        raise unexpected(node, "an INTEGER")
    content = node.content
    if not content or (len(content) > 1 and content[0] in (0x00, 0xFF) and content[0] >> 7 == content[1] >> 7):
        raise Malformed(f"The INTEGER at octet {node.start} is empty or has needless octets.")
    return int.from_bytes(content, "big", signed=True)


def octets(node: Node, tag: int = OCTET_STRING) -> bytes:
    """The value of an OCTET STRING, its pieces joined (X.690 section 8.7.3).

    `tag` is the primitive tag expected: [0] IMPLICIT is 0x80. Pieces inside are universal OCTET STRINGs in either case.
    """
    if node.tag == tag:
        return node.source.data[node.body : node.stop]
    if node.tag != tag | CONSTRUCTED:
        raise unexpected(node, "an OCTET STRING")
    pieces: list[bytes] = []
    levels = [iter(node.children)]
    while levels:
        piece = next(levels[-1], None)
        if piece is None:
            levels.pop()
        elif piece.tag == OCTET_STRING:
            pieces.append(piece.content)
        elif piece.tag != OCTET_STRING | CONSTRUCTED:
            raise unexpected(piece, "a piece of an OCTET STRING")
        elif len(levels) >= node.source.depth:
            raise too_deep(node.source, piece.start)
        else:
            levels.append(iter(piece.children))
    return b"".join(pieces)


def text(node: Node) -> str:
    """The value of any of the character string types that a DirectoryString or a SCEP attribute may be."""
    encoding = _TEXT.get(node.tag)
    if encoding is None:
        raise unexpected(node, "a character string")
    try:
        return node.content.decode(encoding)
    except UnicodeDecodeError:
        raise Malformed(f"The character string at octet {node.start} is not {encoding}.") from None


def moment(raw: bytes) -> datetime:
    """The value of a whole DER UTCTime or GeneralizedTime, in the one form that RFC 5652 section 11.3 allows: seconds and Z."""
    tag, body, stop = canonical.element(raw, 0, len(raw))
    digits = raw[body : stop - 1]
    if stop == len(raw) and raw[-1:] == b"Z" and digits.isdigit():
        number = digits.decode("ascii")
        if tag == _UTC_TIME and len(number) == 12:
            number = ("20" if number < "50" else "19") + number
        elif tag != _GENERALIZED_TIME:
            number = ""
        if len(number) == 14:
            try:
                return datetime.fromisoformat(f"{number[:8]}T{number[8:]}+00:00")
            except ValueError:
                pass  # the 31st of April: refused below, like every other form
    raise Malformed("A time should be a UTCTime YYMMDDhhmmssZ or a GeneralizedTime YYYYMMDDhhmmssZ; this one is neither.")


# A pure memo: the same dozen identifiers occur in every message, and decoding one costs more than reading its header.
@lru_cache(maxsize=256)
def dotted(content: bytes) -> str:
    """The dotted text of an OBJECT IDENTIFIER's contents (X.690 section 8.19)."""
    if not content or content[-1] & 0x80 or len(content) > _OID_OCTETS:
        raise Malformed(f"An OBJECT IDENTIFIER should have 1 to {_OID_OCTETS} octets and be complete.")
    arcs: list[int] = []
    value = 0
    first = True
    for octet in content:
        if first and octet == 0x80:
            raise Malformed("An OBJECT IDENTIFIER should have its arcs in their shortest form.")
        value = value << 7 | octet & 0x7F
        first = not octet & 0x80
        if first:
            arcs.append(value)
            value = 0
    root = min(arcs[0] // 40, 2)
    return ".".join(map(str, (root, arcs[0] - 40 * root, *arcs[1:])))
