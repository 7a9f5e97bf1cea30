"""IP addresses as they come over the network, and what of them stands for one sender."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse(text: str) -> IPAddress | None:
    """The address, None where it is none. IPv4 in IPv6 clothes (RFC 4291 2.5.5.2) is IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def origin(text: str) -> str:
    """What stands for one sender: an IPv4 address, or the /64 around an IPv6 address, all of which one host may use."""
    address = parse(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return text if address is None else str(address)
