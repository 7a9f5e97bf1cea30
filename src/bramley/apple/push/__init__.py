"""Waking devices through the Apple Push Notification service (APNs).

A push is a wake-up and carries no data: APNs keeps at most one undelivered push per device and topic.
"""

from __future__ import annotations

from bramley.apple.push.errors import BadPushCertificate, CannotConnect, ClientClosed, PushError
from bramley.apple.push.notification import Push, PushClient, PushResult, PushTarget
from bramley.apple.push.reasons import Action, judge
from bramley.apple.push.topic import topic_of

__all__ = [
    "Action",
    "BadPushCertificate",
    "CannotConnect",
    "ClientClosed",
    "Push",
    "PushClient",
    "PushError",
    "PushResult",
    "PushTarget",
    "judge",
    "topic_of",
]
