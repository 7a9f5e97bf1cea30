"""Reading BER (X.690 section 8): what devices send, kept as it stands.

Devices send definite and indefinite lengths, strings in pieces and unsorted SETs, and signatures cover the octets as sent;
so a `Node` is a window on the original octets, and nothing is re-encoded. One level is read at a time: a certificate in the
middle of a message costs one header, however large it is.

    root = parse(data)                     one element and nothing after it
    root.tag                               its identifier octets as a number: 0x30 SEQUENCE, 0xA0 [0] constructed
    root.raw, root.content                 the whole element, and what is in it, as they stand
    root.children                          the elements inside; read `Node.children` once and keep the list
    sequence(node, "what")                 children of what must be a SEQUENCE

On the hot path, `element` reads one element of a `Source` to bare offsets, without a `Node`.
Values (OBJECT IDENTIFIER, INTEGER, OCTET STRING…) are read by `bramley.pki.cms.values`; `bramley.pki.cms.canonical` refuses
what DER would not write.

Every error is a `Malformed`. No function recurses, so no input can exhaust the stack; `Limits` bounds octets, elements and depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from bramley.pki.cms.errors import Malformed, TooDeep, TooLarge

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31

CONSTRUCTED: Final = 0x20
HIGH_TAG: Final = 0x1F
INDEFINITE: Final = -1
_LENGTH_OCTETS: Final = 8
_TAG_OCTETS: Final = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may cost: octets, elements looked at, and levels that have to be open at the same time."""

    size: int = 16 * 1024 * 1024
    depth: int = 64
    elements: int = 100_000


DEFAULT_LIMITS: Final = Limits()


class Source:
    """One message: its octets, what may still be spent on it, and where its indefinite lengths were found to end."""

    __slots__ = ("data", "depth", "ends", "left")

    def __init__(self, data: bytes, limits: Limits) -> None:
        if len(data) > limits.size:
            raise TooLarge(f"The message has {len(data)} octets; at most {limits.size} are accepted.")
        self.data = data
        self.depth = limits.depth
        self.left = limits.elements
        self.ends: dict[int, int] = {}


class Node(NamedTuple):
    """One element of a message; the numbers are offsets into the whole message.

    `tag` holds the identifier octets as they stand, class and constructed bit included, so that 0xA0 is [0] constructed and
    0x9F1F is [31] primitive. `body:stop` are the contents; `end` lies after the end-of-contents octets, where there are any.
    """

    source: Source
    tag: int
    start: int
    body: int
    stop: int
    end: int

    @property
    def raw(self) -> bytes:
        """The whole element as it stands."""
        return self.source.data[self.start : self.end]

    @property
    def content(self) -> bytes:
        """The contents octets as they stand, without header and end-of-contents."""
        return self.source.data[self.body : self.stop]

    @property
    def children(self) -> list[Node]:
        """The elements inside, read afresh at each call."""
        if not self.source.data[self.start] & CONSTRUCTED:
            raise Malformed(f"The element 0x{self.tag:02x} at octet {self.start} should hold elements; it is primitive.")
        return elements(self.source, self.body, self.stop)


_new: Final = tuple.__new__


def parse(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Node:
    """The one element that `data` consists of.

    Raises `TooLarge` before reading anything of a message over the limit, `Malformed` for octets after the element.
    """
    source = Source(data, limits)
    tag, body, stop, end = element(source, 0, len(data))
    if end != len(data):
        raise Malformed(f"Expected one element; after its {end} octets there are {len(data) - end} more.")
    return Node(source, tag, 0, body, stop, end)


def sequence(node: Node, what: str) -> list[Node]:
    """The children of what must be a SEQUENCE; `what` names it in the error."""
    if node.tag != SEQUENCE:
        raise unexpected(node, f"{what}, a SEQUENCE,")
    return elements(node.source, node.body, node.stop)


def elements(source: Source, position: int, limit: int) -> list[Node]:
    """Every element between two offsets."""
    found: list[Node] = []
    while position < limit:
        if len(found) >= source.left:
            raise too_many()
        tag, body, stop, end = element(source, position, limit)
        # as Node(…), without the cost of a Python-level constructor
        found.append(_new(Node, (source, tag, position, body, stop, end)))
        position = end
    source.left -= len(found)
    return found


def element(source: Source, position: int, limit: int) -> tuple[int, int, int, int]:
    """The element at `position`: tag, start and end of its contents, and its own end, which is not beyond `limit`.

    The hot path of the reader: what has a short tag and a length in one or three octets is read in line.
    """
    data = source.data
    try:
        tag, length = data[position], data[position + 1]
        if length < 0x80 and tag & HIGH_TAG != HIGH_TAG:
            body = position + 2
            stop = end = body + length
        elif length == 0x82 and tag & HIGH_TAG != HIGH_TAG:
            body = position + 4
            stop = end = body + (data[position + 2] << 8 | data[position + 3])
        else:
            tag, body, length = header(data, position)
            if length == INDEFINITE:
                stop = _end_of_contents(source, body, limit)
                end = stop + 2
            else:
                stop = end = body + length
    except IndexError:
        raise cut_short(position) from None
    if end > limit:
        raise Malformed(f"The element at octet {position} should end by octet {limit}; it claims to end at {end}.")
    if not tag:
        raise Malformed(f"Expected an element at octet {position}; found end-of-contents octets.")
    return tag, body, stop, end


def header(data: bytes, position: int) -> tuple[int, int, int]:
    """Tag, offset of the contents and their length (or `INDEFINITE`) of any element; IndexError at the end of the data."""
    start = position
    tag = data[position]
    position += 1
    if tag & HIGH_TAG == HIGH_TAG:
        octet = data[position]
        if octet == 0x80 or octet < HIGH_TAG:
            raise Malformed(f"The tag at octet {start} should be in its shortest form.")
        while True:
            tag = tag << 8 | octet
            position += 1
            if not octet & 0x80:
                break
            if position - start > _TAG_OCTETS:
                raise Malformed(f"The tag at octet {start} should have at most {_TAG_OCTETS} octets after its first.")
            octet = data[position]
    length = data[position]
    position += 1
    if length == 0x80:
        if not data[start] & CONSTRUCTED:
            raise Malformed(f"The element at octet {start} is primitive; its length should be definite.")
        return tag, position, INDEFINITE
    if length > 0x80:
        body = position + (length & 0x7F)
        if body - position > _LENGTH_OCTETS:
            raise Malformed(f"The length at octet {position} should have at most {_LENGTH_OCTETS} octets.")
        return tag, body, int.from_bytes(data[position:body], "big")
    return tag, position, length


def _end_of_contents(source: Source, body: int, limit: int) -> int:
    """Where an indefinite length ends. Inner ones are remembered, so that each octet of a message is scanned once only."""
    data, ends, left = source.data, source.ends, source.left
    if body in ends:
        return ends[body]
    opened = [body]
    position = body
    while opened:
        left -= 1
        if left < 0:
            raise too_many()
        tag = data[position]
        length = data[position + 1]
        if tag and length < 0x80 and tag & HIGH_TAG != HIGH_TAG:
            position += 2 + length
        elif tag == 0:
            if length:
                raise Malformed(f"The end-of-contents at octet {position} should be two zero octets.")
            ends[opened.pop()] = position
            position += 2
        else:
            _, position, length = header(data, position)
            if length != INDEFINITE:
                position += length
            elif len(opened) >= source.depth:
                raise too_deep(source, position)
            else:
                opened.append(position)
        if position > limit:
            raise Malformed(f"The indefinite length at octet {body} should end by octet {limit}; it does not.")
    source.left = left
    return ends[body]


def unexpected(node: Node, expected: str) -> Malformed:
    """The error for an element other than `expected`."""
    return Malformed(
        f"Expected {expected} at octet {node.start}; found tag 0x{node.tag:02x} with {node.stop - node.body} octets."
    )


def too_deep(source: Source, position: int) -> TooDeep:
    """The error for an element nested below the limit."""
    return TooDeep(f"Elements at octet {position} are nested deeper than the {source.depth} levels accepted.")


def too_many() -> TooLarge:
    """The error for a message of too many elements."""
    return TooLarge("The message has more elements than are accepted.")


def cut_short(position: int) -> Malformed:
    """The error for a message that ends inside a header."""
    return Malformed(f"The element at octet {position} should have a whole header; the message ends in it.")
