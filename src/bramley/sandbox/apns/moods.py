"""The stand-in's bad days, on demand: which valid pushes it refuses all the same, and whose certificates are revoked."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from bramley.sandbox.apns.clients import Client
from bramley.sandbox.apns.requests import STATUSES, Notification, Refusal


class Moods:
    """What was asked of the stand-in beyond Apple's rules."""

    def __init__(self) -> None:
        self._next: deque[Refusal] = deque()
        self._tokens: dict[bytes, Refusal] = {}
        self._topics: dict[str, Refusal] = {}
        self._revoked: set[str | int] = set()

    def refuse_next(self, refusal: Refusal, count: int) -> None:
        self._next.extend([refusal] * count)

    def refuse_token(self, token: bytes, refusal: Refusal | None) -> None:
        """From now on, or with None no longer."""
        self._tokens.pop(token, None)
        if refusal is not None:
            self._tokens[token] = refusal

    def refuse_topic(self, topic: str, refusal: Refusal | None) -> None:
        """Likewise for every token of a topic."""
        self._topics.pop(topic, None)
        if refusal is not None:
            self._topics[topic] = refusal

    def revoke(self, certificate: str | int) -> None:
        self._revoked.add(certificate.lower() if isinstance(certificate, str) else certificate)

    def is_revoked(self, client: Client) -> bool:
        return client.sha256 in self._revoked or client.serial in self._revoked

    def refusal(self, notification: Notification) -> Refusal | None:
        """Why this push is refused, if it is: what was asked for its token comes first, then its topic, then anything."""
        return (
            self._tokens.get(notification.token)
            or self._topics.get(notification.topic)
            or (self._next.popleft() if self._next else None)
        )


def refusal(reason: str, now: datetime, retry_after: int | None = None) -> Refusal:
    """APNs' answer for one of its words; with a 410 it says since when, which is `now`."""
    return Refusal(reason, timestamp=now if STATUSES[reason] == 410 else None, retry_after=retry_after)
