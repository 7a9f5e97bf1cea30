"""A push, what became of it, and what any client promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from bramley.apple.push.stages import Stage

APPLE_HOST: Final = "api.push.apple.com"
"""Apple's production service; MDM has no other."""

APPLE_PORT: Final = 443
"""The usual port. Apple answers on 2197 as well, for networks that hold 443 for something else."""


@dataclass(frozen=True, slots=True)
class Push:
    """One device or user channel to wake. Both values come from its TokenUpdate and are secrets of its enrollment."""

    token: bytes = field(repr=False)
    push_magic: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of one push.

    `status` is APNs' HTTP status, 0 where no answer came; then `error` says why, and `failed_at` how far the connection
    came where there was an attempt at one. `reason` is APNs' word for a refusal;
    `timestamp` accompanies 410: since when the token has been dead. `retry_after` is in seconds. `apns_id` names the push
    to Apple's support.
    """

    status: int
    reason: str | None = None
    timestamp: datetime | None = None
    retry_after: float | None = None
    apns_id: str | None = None
    error: str | None = None
    failed_at: Stage | None = None


@dataclass(frozen=True, slots=True)
class PushTarget:
    """Where to push. `ca_pem` replaces the machine's roots (a private stand-in); `proxy` is a URL, None for none.

    The URL may hold a password, in which case it is a secret.
    """

    host: str = APPLE_HOST
    port: int = APPLE_PORT
    ca_pem: bytes | None = None
    proxy: str | None = field(default=None, repr=False)


class PushClient(Protocol):
    """Sends pushes for one topic."""

    async def push(self, pushes: Sequence[Push]) -> Sequence[PushResult]:
        """One result per push, in the order given. Raises PushError only where nothing could be sent at all."""
        ...

    async def close(self) -> None:
        """Ends the connection. Pushes without an answer get a result that says so."""
        ...
