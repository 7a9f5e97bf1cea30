"""Signed attributes (RFC 5652 sections 5.3 and 11): what a signer says besides the content."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bramley.pki.cms import ber, canonical, values
from bramley.pki.cms.ber import Source
from bramley.pki.cms.errors import Malformed, TooLarge

Attributes = Mapping[str, tuple[bytes, ...]]
"""Dotted type to its values, each one whole DER element as it stands."""

NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})

_OCTETS: Final = 64 * 1024


def read(source: Source, position: int, limit: int) -> Attributes:
    """The signed attributes between two offsets: DER (RFC 5652 section 5.3), in any order, each type once.

    At most 64 KiB of them: a SCEP request has less than one.
    """
    if limit - position > _OCTETS:
        raise TooLarge(f"The signed attributes should have at most {_OCTETS} octets; they have {limit - position}.")
    data, element = source.data, canonical.element
    found: dict[str, tuple[bytes, ...]] = {}
    while position < limit:
        outer, kind_at, end = element(data, position, limit)
        kind_tag, kind_body, set_at = element(data, kind_at, end)
        set_tag, body, stop = element(data, set_at, end)
        if stop != end or outer != ber.SEQUENCE or kind_tag != ber.OBJECT_IDENTIFIER or set_tag != ber.SET:
            raise Malformed(f"The Attribute at octet {position} should hold a type and a SET of values.")
        kind = values.dotted(data[kind_body:set_at])
        if kind in found:
            raise Malformed(f"The signed attribute {kind} should occur once; it occurs again at octet {position}.")
        tag, _, value_end = element(data, body, stop)
        # nearly always one value, a string or a number
        single = value_end == stop and not tag & ber.CONSTRUCTED
        found[kind] = (data[body:stop],) if single else _values(source, body, stop)
        position = end
    return MappingProxyType(found)


def _values(source: Source, position: int, limit: int) -> tuple[bytes, ...]:
    data = source.data
    canonical.require_canonical(data, position, limit, source.depth)
    found = []
    while position < limit:
        _, _, stop = canonical.element(data, position, limit)
        found.append(data[position:stop])
        position = stop
    return tuple(found)
