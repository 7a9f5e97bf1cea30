"""What each of APNs' answers means for whoever sent the push.

Apple, "Handling notification responses from APNs". APNs speaks of the token, of the topic, or of the request; mixing them
up costs either a device (stopped for a fault of ours) or a fleet (pushing on with a dead certificate).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bramley.apple.push.notification import PushResult


class Action(StrEnum):
    """What to do next."""

    DELIVERED = "delivered"
    """APNs took it. Whether the device did shows when it connects."""
    STOP_TOKEN = "stop-token"  # noqa: S105 (the name of an action)
    """The token is dead: no more pushes until a TokenUpdate later than the result's timestamp."""
    PAUSE_TOPIC = "pause-topic"
    """The push certificate is refused: nothing for this topic gets through until it is replaced."""
    BACK_OFF_TOKEN = "back-off-token"  # noqa: S105 (the name of an action)
    """Too many pushes for this token: wait, for this token only."""
    RETRY = "retry"
    """Apple's or the network's trouble: try again later, increasingly late, not before `retry_after`."""
    WRONG_TOPIC = "wrong-topic"
    """Token and certificate do not belong together: a human must look; the device is not dead."""
    OUR_FAULT = "our-fault"
    """A request that APNs cannot take: alert, stop the batch, do not repeat it unchanged."""


REASONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "BadDeviceToken": Action.WRONG_TOPIC,
        "DeviceTokenNotForTopic": Action.WRONG_TOPIC,
        "BadTopic": Action.OUR_FAULT,
        "TopicDisallowed": Action.OUR_FAULT,
        "MissingTopic": Action.OUR_FAULT,
        "MissingDeviceToken": Action.OUR_FAULT,
        "PayloadEmpty": Action.OUR_FAULT,
        "PayloadTooLarge": Action.OUR_FAULT,
        "BadPriority": Action.OUR_FAULT,
        "BadExpirationDate": Action.OUR_FAULT,
        "BadCollapseId": Action.OUR_FAULT,
        "BadMessageId": Action.OUR_FAULT,
        "InvalidPushType": Action.OUR_FAULT,
        "DuplicateHeaders": Action.OUR_FAULT,
        "BadPath": Action.OUR_FAULT,
        "MethodNotAllowed": Action.OUR_FAULT,
        "IdleTimeout": Action.RETRY,
        "BadCertificate": Action.PAUSE_TOPIC,
        "BadCertificateEnvironment": Action.PAUSE_TOPIC,
        "Forbidden": Action.PAUSE_TOPIC,
        "MissingProviderToken": Action.PAUSE_TOPIC,
        "Unregistered": Action.STOP_TOKEN,
        "ExpiredToken": Action.STOP_TOKEN,
        "TooManyRequests": Action.BACK_OFF_TOKEN,
        "InternalServerError": Action.RETRY,
        "ServiceUnavailable": Action.RETRY,
        "Shutdown": Action.RETRY,
    }
)
"""APNs' published reasons. MissingProviderToken is what a certificate-less connection hears: the certificate did not count."""

_STATUSES: Final[Mapping[int, Action]] = MappingProxyType(
    {0: Action.RETRY, 200: Action.DELIVERED, 403: Action.PAUSE_TOPIC, 410: Action.STOP_TOKEN, 429: Action.BACK_OFF_TOKEN}
)


def judge(result: PushResult) -> Action:
    """What to do about a result.

    A reason decides, since one status covers several. Without a known reason the status does: Apple adds reasons, and a
    proxy in between has none. Any other 5xx is worth a retry; any other status is a request we should not have made.
    """
    if result.status == 200:
        return Action.DELIVERED
    known = REASONS.get(result.reason or "")
    if known is not None:
        return known
    if result.status >= 500:
        return Action.RETRY
    return _STATUSES.get(result.status, Action.OUR_FAULT)
