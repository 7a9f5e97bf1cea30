"""The signed attributes of a pkiMessage (RFC 8894 section 3.2.1): how they are read and written, on both sides."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from bramley.pki import oids
from bramley.pki.cms import ber, der, values
from bramley.pki.cms.errors import Malformed
from bramley.pki.scep.errors import MalformedMessage
from bramley.pki.scep.messages import FailInfo, MessageType, PKIStatus

Attributes = Mapping[str, tuple[bytes, ...]]
"""OID to the attribute's values as they stand in the message."""

NONCE_OCTETS = 16

_NONCES = range(1, 64 + 1)
_TEXT_OCTETS = 1024


def new_nonce() -> bytes:
    """A fresh senderNonce: 16 random octets (RFC 8894 section 3.2.1.5)."""
    return secrets.token_bytes(NONCE_OCTETS)


def text(attributes: Attributes, oid: str) -> str | None:
    """The text of an attribute, None if absent. Raises MalformedMessage for several values, or what is no string."""
    node = _single(attributes, oid)
    if node is None:
        return None
    try:
        return values.text(node)
    except Malformed as error:
        raise _unreadable(oid, error.message) from error


def nonce(attributes: Attributes, oid: str) -> bytes | None:
    """The octets of a nonce, None if absent. Raises MalformedMessage.

    RFC 8894 wants 16 octets; recorded Macs sent 8, so that a length from 1 to 64 is taken and echoed.
    """
    node = _single(attributes, oid)
    if node is None:
        return None
    try:
        octets = values.octets(node)
    except Malformed as error:
        raise _unreadable(oid, error.message) from error
    if len(octets) not in _NONCES:
        raise _unreadable(oid, f"it has {len(octets)} octets")
    return octets


def encode(
    *,
    transaction_id: str,
    message_type: MessageType,
    sender_nonce: bytes,
    recipient_nonce: bytes | None = None,
    status: PKIStatus | None = None,
    fail_info: FailInfo | None = None,
    fail_info_text: str | None = None,
) -> list[tuple[str, bytes]]:
    """The attributes as pairs of OID and DER value, for `cms.sign`. What is None is left out."""
    written: list[tuple[str, bytes | None]] = [
        (oids.SCEP_TRANSACTION_ID, printable(transaction_id)),
        (oids.SCEP_MESSAGE_TYPE, _number(message_type)),
        (oids.SCEP_PKI_STATUS, _number(status)),
        (oids.SCEP_FAIL_INFO, _number(fail_info)),
        (oids.SCEP_FAIL_INFO_TEXT, None if fail_info_text is None else der.utf8_string(fail_info_text)),
        (oids.SCEP_SENDER_NONCE, der.octet_string(sender_nonce)),
        (oids.SCEP_RECIPIENT_NONCE, None if recipient_nonce is None else der.octet_string(recipient_nonce)),
    ]
    return [(oid, value) for oid, value in written if value is not None]


def printable(ascii_text: str) -> bytes:
    """A PrintableString of any ASCII text.

    A client that puts an underscore or '@' into its transactionID must find the same octets in the answer, so the alphabet
    of X.680 section 41.4 is not enforced on what we repeat.
    """
    return der.element(0x13, ascii_text.encode("ascii"))


def _number(value: MessageType | PKIStatus | FailInfo | None) -> bytes | None:
    return None if value is None else printable(str(int(value)))


def _single(attributes: Attributes, oid: str) -> ber.Node | None:
    found = attributes.get(oid)
    if found is None:
        return None
    if len(found) != 1:
        raise _unreadable(oid, f"it has {len(found)} values")
    try:
        return ber.parse(found[0], ber.Limits(size=_TEXT_OCTETS))
    except Malformed as error:
        raise _unreadable(oid, error.message) from error


def _unreadable(oid: str, why: str) -> MalformedMessage:
    return MalformedMessage(f"Expected one proper value of the attribute {oid} (RFC 8894 section 3.2.1); {why}.")
