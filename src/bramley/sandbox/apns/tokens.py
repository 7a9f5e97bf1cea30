"""The tokens that were given to devices, and the one push that is kept for each device that is away."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bramley.sandbox.apns.requests import Notification, Refusal
from bramley.sandbox.errors import UnknownToken

Payload = dict[str, Any]


@dataclass(slots=True)
class _Registration:
    topic: str
    dead_since: datetime | None = None
    present: Callable[[Payload], None] | None = field(default=None, repr=False)
    stored: tuple[Payload, datetime] | None = field(default=None, repr=False)


class Tokens:
    """What APNs knows of devices. Each token belongs to one topic; a device is present while it is connected."""

    def __init__(self) -> None:
        self._registrations: dict[bytes, _Registration] = {}
        self.delivered = 0

    def register(self, topic: str) -> bytes:
        """A new token, 32 octets, for one device and topic."""
        token = secrets.token_bytes(32)
        self._registrations[token] = _Registration(topic)
        return token

    def unregister(self, token: bytes, now: datetime) -> None:
        """The token is dead from `now` on, as when a device is wiped or its profile removed."""
        registration = self._find(token)
        if registration.dead_since is None:
            registration.dead_since = now
            registration.stored = registration.present = None

    def connect(self, token: bytes, present: Callable[[Payload], None], now: datetime) -> None:
        """A device is there: `present` is called with each push from now on, at once with the one kept for it."""
        registration = self.require_live(token)
        registration.present = present
        stored, registration.stored = registration.stored, None
        if stored is not None and now < stored[1]:
            self.delivered += 1
            present(stored[0])

    def disconnect(self, token: bytes, present: Callable[[Payload], None]) -> None:
        """The device is away, unless it has connected anew meanwhile."""
        registration = self._registrations.get(token)
        if registration is not None and registration.present == present:
            registration.present = None

    def accept(self, notification: Notification, payload: Payload) -> Refusal | None:
        """Delivers a push or keeps it until its expiration, in place of an earlier one; or the reason why not."""
        registration = self._registrations.get(notification.token)
        if registration is None:
            return Refusal("BadDeviceToken")
        if registration.topic != notification.topic:
            return Refusal("DeviceTokenNotForTopic")
        if registration.dead_since is not None:
            return Refusal("Unregistered", timestamp=registration.dead_since)
        if registration.present is not None:
            self.delivered += 1
            registration.present(payload)
        elif notification.expires is not None:
            registration.stored = (payload, notification.expires)
        return None

    def require_live(self, token: bytes) -> _Registration:
        """Returns for a token that can receive; raises UnknownToken for a dead one or a stranger's."""
        registration = self._find(token)
        if registration.dead_since is not None:
            raise UnknownToken("This push token is dead.", advice="Register again for a new one.")
        return registration

    def _find(self, token: bytes) -> _Registration:
        if (registration := self._registrations.get(token)) is None:
            raise UnknownToken("This push token was never given out here.", advice="Register for one first.")
        return registration
