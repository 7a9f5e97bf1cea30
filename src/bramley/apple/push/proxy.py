"""The outbound proxy: its URL without the password, which libcurl would repeat in an error."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Proxy:
    """`url` names scheme, host and port and may be shown; the credentials are empty where there are none."""

    url: str
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def read_proxy(url: str) -> Proxy:
    """Takes user and password, percent-encoded where need be, out of a proxy's URL. What is left is libcurl's to judge."""
    scheme = found[0] if (found := _SCHEME.match(url)) else ""
    # the last @ ends them: one in a password that was not encoded must not put the rest of it on show
    credentials, _at, address = url[len(scheme) :].rpartition("@")
    username, _colon, password = credentials.partition(":")
    # credentials alone must fail as the URL of a proxy rather than pass for none
    shown = scheme + address or ("http://" if url else "")
    return Proxy(shown, unquote(username), unquote(password))
