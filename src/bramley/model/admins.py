"""Who may call the operators' API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AdminToken:
    """A bearer token of the API: shown once, kept as SHA-256 (it is 256 random bits, so a slow hash would add nothing)."""

    id: str
    name: str
    token_sha256: str
    created_at: datetime
