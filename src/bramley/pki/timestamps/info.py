"""What a timestamp says (TSTInfo, RFC 3161 section 2.4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bramley.pki.cms import algorithms, ber, canonical, values
from bramley.pki.cms.ber import Node
from bramley.pki.timestamps.errors import BadTimestamp
from bramley.pki.timestamps.messages import LIMITS

_GENERALIZED_TIME: Final = 0x18
_TIME: Final = re.compile(rb"([0-9]{8})([0-9]{6})(?:\.([0-9]{0,8}[1-9]))?Z")
"""A fraction has no zero at its end; no authority measures less than ten nanoseconds."""

_BOOLEAN: Final = 0x01
_TRUE: Final = b"\xff"
_TSA: Final = 0xA0
_EXTENSIONS: Final = 0xA1
_OPTIONAL: Final = (ber.SEQUENCE, _BOOLEAN, ber.INTEGER, _TSA, _EXTENSIONS)
"""The tags of accuracy, ordering, nonce, tsa and extensions, which each may be left out."""

_ACCURACY: Final = (ber.INTEGER, 0x80, 0x81)
"""The tags of seconds, millis and micros."""


@dataclass(frozen=True, slots=True)
class TSTInfo:
    """What the authority signed: the digest by `algorithm` (dotted), and that it knew it at `time`, give or take `accuracy`.

    `nonce` is that of the request. The time is cut to microseconds; an accuracy that is not told counts as none.
    """

    algorithm: str
    imprint: bytes
    time: datetime
    accuracy: timedelta
    nonce: int | None


def read(data: bytes) -> TSTInfo:
    """The TSTInfo that `data` (DER) is.

    Raises `cms.Malformed` or BadTimestamp for anything else, and for critical extensions, of which none is known here.
    """
    root = ber.parse(data, LIMITS)
    canonical.require_canonical(data, 0, len(data), LIMITS.depth)
    parts = ber.sequence(root, "a TSTInfo")
    if len(parts) < 5:
        raise BadTimestamp(f"Expected at least five parts in a TSTInfo; it has {len(parts)}.")
    version, policy, imprint, serial, time, *rest = parts
    if values.integer(version) != 1:
        raise BadTimestamp("Expected a TSTInfo of version 1; it is of another.")
    values.oid(policy)
    values.integer(serial)
    algorithm, digest = _imprint(imprint)
    found = _in_order(rest, _OPTIONAL, "a TSTInfo")
    if _EXTENSIONS in found:
        _require_no_critical(found[_EXTENSIONS])
    accuracy, nonce = found.get(ber.SEQUENCE), found.get(ber.INTEGER)
    return TSTInfo(
        algorithm=algorithm,
        imprint=digest,
        time=_moment(time),
        accuracy=timedelta() if accuracy is None else _accuracy(accuracy),
        nonce=None if nonce is None else values.integer(nonce),
    )


def _imprint(node: Node) -> tuple[str, bytes]:
    parts = ber.sequence(node, "a MessageImprint")
    if len(parts) != 2:
        raise BadTimestamp("Expected an algorithm and a digest in a MessageImprint; what came is something else.")
    return algorithms.read_plain_identifier(parts[0].raw), values.octets(parts[1])


def _in_order(nodes: list[Node], tags: tuple[int, ...], what: str) -> dict[int, Node]:
    """The optional parts of a SEQUENCE by their tags, each once at most, and in the order that is laid down."""
    found = {node.tag: node for node in nodes}
    if [node.tag for node in nodes] != [tag for tag in tags if tag in found]:
        raise BadTimestamp(f"Expected the parts of {what} once each and in their order; they are not.")
    return found


def _accuracy(node: Node) -> timedelta:
    found = _in_order(node.children, _ACCURACY, "an Accuracy")
    numbers = [int.from_bytes(found[tag].content, "big", signed=True) if tag in found else 0 for tag in _ACCURACY]
    seconds, millis, micros = numbers
    if not (0 <= seconds < 1 << 31 and 0 <= millis < 1000 and 0 <= micros < 1000):
        raise BadTimestamp("Expected an Accuracy in seconds, and in thousandths and millionths below a thousand.")
    return timedelta(seconds=seconds, milliseconds=millis, microseconds=micros)


def _moment(node: Node) -> datetime:
    """A GeneralizedTime with seconds, Z and maybe a fraction, the one form that RFC 3161 allows."""
    match = _TIME.fullmatch(node.content)
    if node.tag == _GENERALIZED_TIME and match is not None:
        day, clock, fraction = (each.decode("ascii") for each in match.groups(b""))
        try:
            return datetime.strptime(f"{day}{clock}.{fraction[:6] or 0}", "%Y%m%d%H%M%S.%f").replace(tzinfo=UTC)
        except ValueError:
            pass  # the 31st of April: refused below, like every other form
    raise BadTimestamp("Expected the time as YYYYMMDDhhmmss, maybe with a fraction, and Z; what came is something else.")


def _require_no_critical(node: Node) -> None:
    for extension in node.children:
        if any(part.tag == _BOOLEAN and part.content == _TRUE for part in extension.children):
            raise BadTimestamp("Expected a timestamp without critical extensions, of which none is known here; it has one.")
