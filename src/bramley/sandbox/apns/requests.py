"""Which notification requests APNs takes, and its words for the others (Apple, "Sending notification requests to APNs")."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

PAYLOAD_LIMIT: Final = 4096
"""Octets of a payload; one more is PayloadTooLarge."""

LONGEST_STORAGE: Final = timedelta(days=30)

STATUSES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "BadDeviceToken": 400,
        "BadExpirationDate": 400,
        "BadMessageId": 400,
        "BadPayload": 400,  # ours: Apple publishes no word for a body that is no MDM push
        "BadPriority": 400,
        "BadTopic": 400,
        "DeviceTokenNotForTopic": 400,
        "DuplicateHeaders": 400,
        "IdleTimeout": 400,
        "InvalidPushType": 400,
        "MissingDeviceToken": 400,
        "MissingTopic": 400,
        "PayloadEmpty": 400,
        "TopicDisallowed": 400,
        "BadCertificate": 403,
        "BadCertificateEnvironment": 403,
        "Forbidden": 403,
        "BadPath": 404,
        "MethodNotAllowed": 405,
        "ExpiredToken": 410,
        "Unregistered": 410,
        "PayloadTooLarge": 413,
        "TooManyRequests": 429,
        "InternalServerError": 500,
        "ServiceUnavailable": 503,
        "Shutdown": 503,
    }
)
"""APNs' reasons and the HTTP status that goes with each."""

_PATH: Final = re.compile(r"/3/device/([^/?]*)")
_TOPIC: Final = re.compile(r"com\.apple\.mgmt\.[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer other than 200. `timestamp` goes with 410, `retry_after` (seconds) with 429 and 503."""

    reason: str
    timestamp: datetime | None = None
    retry_after: int | None = None

    @property
    def status(self) -> int:
        return STATUSES[self.reason]

    @property
    def body(self) -> bytes:
        """Apple's JSON; the timestamp counts milliseconds since 1970."""
        said: dict[str, Any] = {"reason": self.reason}
        if self.timestamp is not None:
            said["timestamp"] = int(self.timestamp.timestamp() * 1000)
        return json.dumps(said, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Notification:
    """The headers of a request that APNs would take. `expires` None: deliver now or never."""

    token: bytes = field(repr=False)
    topic: str
    apns_id: str
    expires: datetime | None


def read_headers(
    headers: Sequence[tuple[bytes, bytes]], *, certificate_topic: str | None, now: datetime
) -> Notification | Refusal:
    """What a request asks for, or why it is refused.

    `certificate_topic` is the subject UID of the client certificate. Whether the token exists is not decided here.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1").lower()
        if key in found and key.startswith(("apns-", ":")):
            return Refusal("DuplicateHeaders")
        found[key] = value.decode("latin-1")
    if found.get(":method") != "POST":
        return Refusal("MethodNotAllowed")
    if (path := _PATH.fullmatch(found.get(":path", ""))) is None:
        return Refusal("BadPath")
    if not path[1]:
        return Refusal("MissingDeviceToken")
    if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", path[1]) is None:
        return Refusal("BadDeviceToken")
    return _read_values(found, bytes.fromhex(path[1]), certificate_topic, now)


def _read_values(found: Mapping[str, str], token: bytes, certificate_topic: str | None, now: datetime) -> Notification | Refusal:
    topic = found.get("apns-topic", "")
    if not topic:
        return Refusal("MissingTopic")
    if _TOPIC.fullmatch(topic) is None:
        return Refusal("BadTopic")
    if topic != certificate_topic:
        return Refusal("TopicDisallowed")
    if found.get("apns-push-type") != "mdm":
        return Refusal("InvalidPushType")
    if found.get("apns-priority", "10") not in ("1", "5", "10"):
        return Refusal("BadPriority")
    expiration = found.get("apns-expiration", "0")
    # eleven digits reach the year 5138: more is a count of milliseconds, a mistake worth refusing
    if re.fullmatch(r"[0-9]{1,11}", expiration) is None:
        return Refusal("BadExpirationDate")
    apns_id = found.get("apns-id") or str(uuid.uuid4()).upper()
    try:
        uuid.UUID(apns_id)
    except ValueError:
        return Refusal("BadMessageId")
    expires = datetime.fromtimestamp(int(expiration), UTC)
    return Notification(token, topic, apns_id, min(expires, now + LONGEST_STORAGE) if expires > now else None)


def read_payload(body: bytes) -> dict[str, Any] | Refusal:
    """The payload of an MDM push: exactly one key, `mdm`, with a string. An `aps` key makes another kind of push of it."""
    if not body:
        return Refusal("PayloadEmpty")
    if len(body) > PAYLOAD_LIMIT:
        return Refusal("PayloadTooLarge")
    try:
        payload = json.loads(body)
    except ValueError:
        return Refusal("BadPayload")
    if not isinstance(payload, dict) or payload.keys() != {"mdm"} or not isinstance(payload["mdm"], str):
        return Refusal("BadPayload")
    return payload
