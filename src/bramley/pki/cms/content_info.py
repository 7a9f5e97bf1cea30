"""ContentInfo, the outermost element of every CMS message (RFC 5652 section 3)."""

from __future__ import annotations

from typing import Final

from bramley.pki.cms import ber, der, values
from bramley.pki.cms.ber import Source
from bramley.pki.cms.errors import Malformed

_TAGS: Final = (ber.SEQUENCE, ber.OBJECT_IDENTIFIER, 0xA0, ber.SEQUENCE)


def enter(source: Source, content_type: str) -> tuple[int, int]:
    """Start and end of what is in the content, a SEQUENCE, of a ContentInfo that must be of `content_type` (dotted)."""
    size = len(source.data)
    outer, position, limit, end = ber.element(source, 0, size)
    kind, kind_body, kind_stop, position = ber.element(source, position, limit)
    explicit, inner, inner_limit, inner_end = ber.element(source, position, limit)
    content, body, stop, content_end = ber.element(source, inner, inner_limit)
    tags = outer, kind, explicit, content
    if tags != _TAGS or (end, inner_end, content_end) != (size, limit, inner_limit):
        raise Malformed("A ContentInfo should hold a content type and [0] one SEQUENCE, and nothing should follow.")
    found = values.dotted(source.data[kind_body:kind_stop])
    if found != content_type:
        raise Malformed(f"Expected a message of content type {content_type}; found {found}.")
    return body, stop


def wrap(content_type: str, content: bytes) -> bytes:
    """A ContentInfo around `content`, one whole element."""
    return der.sequence(der.oid(content_type), der.context(0, content))
