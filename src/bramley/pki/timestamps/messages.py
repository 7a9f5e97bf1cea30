"""What is said to a timestamp authority, and the outside of what it says (RFC 3161 sections 2.4.1 and 2.4.2)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from bramley.pki.cms import Limits, algorithms, ber, der, values
from bramley.pki.cms.algorithms import DIGESTS
from bramley.pki.cms.ber import Node
from bramley.pki.timestamps.errors import BadTimestamp, Declined

QUERY_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
"""The media types of both messages over HTTP (RFC 3161 section 3.4)."""

DIGEST: Final = DIGESTS["sha256"]
"""The digest that a timestamp is asked for."""

LARGEST_ANSWER: Final = 64 * 1024
"""Most octets of an answer that are read."""

LIMITS: Final = Limits(size=LARGEST_ANSWER, depth=16, elements=2_000)

_NONCE_BITS: Final = 64
_TRUE: Final = der.element(0x01, b"\xff")
_STATUSES: Final = MappingProxyType(
    {
        0: "granted",
        1: "grantedWithMods",
        2: "rejection",
        3: "waiting",
        4: "revocationWarning",
        5: "revocationNotification",
    }
)
_GRANTED: Final = ("granted", "grantedWithMods")
_BIT_STRING: Final = 0x03
_UTF8_STRING: Final = 0x0C
_LONGEST_REASON: Final = 200
_FAILURES: Final = MappingProxyType(
    {
        0: "badAlg",
        2: "badRequest",
        5: "badDataFormat",
        14: "timeNotAvailable",
        15: "unacceptedPolicy",
        16: "unacceptedExtension",
        17: "addInfoNotAvailable",
        25: "systemFailure",
    }
)
"""PKIFailureInfo, by its bits."""


@dataclass(frozen=True, slots=True)
class TimeStampReq:
    """A request for a timestamp over a message, with what its answer is judged by. `der` is what is sent."""

    message: bytes = field(repr=False)
    nonce: int
    der: bytes = field(repr=False)


def request(message: bytes) -> TimeStampReq:
    """A request for a timestamp over the SHA-256 of a message, with a fresh nonce, and for the authority's certificates."""
    nonce = secrets.randbits(_NONCE_BITS)
    imprint = der.sequence(algorithms.identifier(DIGEST.oid, der.null()), der.octet_string(DIGEST.new(message).digest()))
    return TimeStampReq(message, nonce, der.sequence(der.integer(1), imprint, der.integer(nonce), _TRUE))


def token_of(answer: bytes) -> bytes:
    """The token in a TimeStampResp, as it stands and unjudged.

    Raises Declined where the authority gives none, with its reason; `cms.Malformed` or BadTimestamp for what is no such answer.
    """
    parts = ber.sequence(ber.parse(answer, LIMITS), "a TimeStampResp")
    if not 1 <= len(parts) <= 2:
        raise BadTimestamp(f"Expected a status and at most a token in a TimeStampResp; it has {len(parts)} parts.")
    status = ber.sequence(parts[0], "a PKIStatusInfo")
    if not status:
        raise BadTimestamp("Expected a status in a PKIStatusInfo; it is empty.")
    number = values.integer(status[0])
    if number not in _STATUSES:
        raise BadTimestamp(f"Expected a status from 0 to {max(_STATUSES)} in a PKIStatusInfo; there is another.")
    if _STATUSES[number] not in _GRANTED:
        raise Declined(f"The authority gives no timestamp: {_STATUSES[number]}{_reason(status[1:])}.")
    if len(parts) == 1:
        raise BadTimestamp("Expected a token with the status that grants one; there is none.")
    return parts[1].raw


def _reason(told: list[Node]) -> str:
    """The reasons in a PKIStatusInfo, as far as they can be told: the authority's words, and the names of its failures."""
    reasons: list[str] = []
    for node in told:
        if node.tag == ber.SEQUENCE:
            reasons += [values.text(text) for text in node.children if text.tag == _UTF8_STRING]
        elif node.tag == _BIT_STRING:
            bits = "".join(f"{octet:08b}" for octet in node.content[1:])
            reasons += [name for bit, name in _FAILURES.items() if bits[bit : bit + 1] == "1"]
    words = "".join(each if each.isprintable() else " " for each in ", ".join(reasons))
    return f" ({words[:_LONGEST_REASON]})" if words else ""
