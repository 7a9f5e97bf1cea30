"""Opening any message that a client may send: a request, or a question about one (RFC 8894 sections 3.3.3 and 3.3.4)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from bramley.pki import cms
from bramley.pki.cms import ber
from bramley.pki.scep.messages import MessageType, Poll, Query, Request
from bramley.pki.scep.requests import (
    ENROLLING,
    Envelope,
    Responder,
    SignedMessage,
    bad_contents,
    open_envelope,
    request_in,
    require_in_force,
    require_strong_key,
)

ASKING: Final = frozenset({MessageType.CertPoll, MessageType.GetCert, MessageType.GetCRL})
SERVED: Final = ENROLLING | ASKING

_LIMITS: Final = ber.Limits(size=16 * 1024, depth=16, elements=1_000)


def open_message(
    message: SignedMessage, responder: Responder, *, now: datetime, allow_legacy: bool = False
) -> Request | Poll | Query:
    """What a client asks, whichever type of message it is. Raises as `requests.open_request` does."""
    require_in_force(responder, now)
    opened = open_envelope(message, responder, SERVED, allow_legacy=allow_legacy)
    if opened.kind in ENROLLING:
        return require_strong_key(request_in(opened))
    issuer, named = _pair(opened)
    if opened.kind is MessageType.CertPoll:
        return Poll(**opened.common(), issuer=issuer.raw, subject=named.raw)
    serial = int.from_bytes(named.content, "big", signed=True)
    return Query(**opened.common(), message_type=opened.kind, issuer=issuer.raw, serial=serial)


def _pair(opened: Envelope) -> tuple[ber.Node, ber.Node]:
    """An IssuerAndSubject (RFC 8894 section 3.3.3), or an IssuerAndSerialNumber (RFC 5652 section 10.2.4)."""
    second = ber.SEQUENCE if opened.kind is MessageType.CertPoll else ber.INTEGER
    try:
        parts = ber.sequence(ber.parse(opened.content, _LIMITS), "an issuer and a name")
    except cms.Malformed as error:
        raise bad_contents(opened.transaction) from error
    if [part.tag for part in parts] != [ber.SEQUENCE, second] or not parts[1].content:
        raise bad_contents(opened.transaction)
    return parts[0], parts[1]
