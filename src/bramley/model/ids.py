"""Identifiers that sort by the moment they were made."""

from __future__ import annotations

import secrets
from datetime import datetime


def fresh(now: datetime) -> str:
    """28 hex digits: the milliseconds since 1970, then 64 random bits."""
    return f"{int(now.timestamp() * 1000):012x}{secrets.token_hex(8)}"
