"""The outbound proxy: its URL without the password, which libcurl would repeat in an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url` names scheme, host and port and may be shown; the credentials are empty where there are none."""

    url: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def read_proxy(url: str) -> Proxy:
    """Takes user and password, percent-encoded where need be, out of a proxy's URL. What is left is libcurl's to judge."""
    scheme, mark, rest = url.rpartition("://") if "://" in url else ("", "", url)
    credentials, _at, address = rest.rpartition("@")
    username, _colon, password = credentials.partition(":")
    return Proxy(scheme + mark + address, unquote(username), unquote(password))
