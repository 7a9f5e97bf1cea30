"""Admin tokens: made once, shown once, kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from typing import TYPE_CHECKING

from bramley.model import ids
from bramley.model.admins import AdminToken
from bramley.model.events import Event, EventKind
from bramley.storage.protocols import Tx

if TYPE_CHECKING:
    from bramley.operations.installation import Installation

_PREFIX = "bramley_"  # lets secret scanners and people recognise one


def create(tx: Tx, name: str, *, now: datetime, actor: str) -> str:
    """Makes a token of 256 random bits and returns it; only its SHA-256 is stored."""
    token = _PREFIX + secrets.token_urlsafe(32)
    tx.admins.add(AdminToken(ids.fresh(now), name, _digest(token), now))
    tx.events.append(Event(now, EventKind.ADMIN_TOKEN_CREATED, actor, detail={"name": name}))
    return token


async def authorize(installation: Installation, token: str) -> AdminToken | None:
    """Whose token it is; None for a wrong one. A hash is looked up, so timing tells nothing about the token."""
    digest = _digest(token)
    return await installation.store.read(lambda tx: tx.admins.by_hash(digest))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
