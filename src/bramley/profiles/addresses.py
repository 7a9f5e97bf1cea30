"""URLs of profiles as they may be shown: names, passwords and queries are where some servers have their secrets."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

_LONGEST: Final = 120


def shown(url: str) -> str:
    """Where it leads, without a name, password or query in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:_LONGEST]
    return f"{place}?…" if parts.query else place
