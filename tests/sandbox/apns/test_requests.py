"""Apple's rules for a notification request, one broken at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from bramley.sandbox.apns.requests import Notification, Refusal, read_headers, read_payload

TOPIC = "com.apple.mgmt.External.5d2a"
GOOD = {
    ":method": "POST",
    ":path": "/3/device/" + "ab" * 32,
    "apns-topic": TOPIC,
    "apns-push-type": "mdm",
    "apns-priority": "10",
    "apns-expiration": "1795600000",
}


def read(now: datetime, headers: dict[str, str], certificate_topic: str = TOPIC) -> Notification | Refusal:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return read_headers(pairs, certificate_topic=certificate_topic, now=now)


def test_a_request_by_the_book(now: datetime) -> None:
    read_as = read(now, {**GOOD, "apns-id": "7B0F7A7E-3C4B-4C3B-8F0A-0123456789AB"})
    assert read_as == Notification(
        b"\xab" * 32, TOPIC, "7B0F7A7E-3C4B-4C3B-8F0A-0123456789AB", datetime.fromtimestamp(1795600000, UTC)
    )


@pytest.mark.parametrize(
    ("change", "reason", "status"),
    [
        ({":method": "GET"}, "MethodNotAllowed", 405),
        ({":path": "/3/devices/ab"}, "BadPath", 404),
        ({":path": "/3/device/"}, "MissingDeviceToken", 400),
        ({":path": "/3/device/abc"}, "BadDeviceToken", 400),
        ({":path": "/3/device/zz"}, "BadDeviceToken", 400),
        ({"apns-topic": ""}, "MissingTopic", 400),
        ({"apns-topic": "com.example.app"}, "BadTopic", 400),
        ({"apns-topic": TOPIC + "x"}, "TopicDisallowed", 400),
        ({"apns-push-type": "alert"}, "InvalidPushType", 400),
        ({"apns-push-type": ""}, "InvalidPushType", 400),
        ({"apns-priority": "11"}, "BadPriority", 400),
        ({"apns-expiration": "soon"}, "BadExpirationDate", 400),
        ({"apns-expiration": "1795600000000"}, "BadExpirationDate", 400),
        ({"apns-expiration": "-1"}, "BadExpirationDate", 400),
        ({"apns-id": "mine"}, "BadMessageId", 400),
    ],
)
def test_each_rule_has_its_word(change: dict[str, str], reason: str, status: int, now: datetime) -> None:
    refusal = read(now, {**GOOD, **change})
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.status) == (reason, status)
    assert json.loads(refusal.body) == {"reason": reason}


def test_the_same_header_twice(now: datetime) -> None:
    pairs = [(name.encode(), value.encode()) for name, value in GOOD.items()]
    assert read_headers([*pairs, (b"apns-topic", TOPIC.encode())], certificate_topic=TOPIC, now=now) == Refusal(
        "DuplicateHeaders"
    )


@pytest.mark.parametrize(
    ("expiration", "kept_for"),
    [("0", None), ("1", None), ("1795600000", None), ("99999999999", timedelta(days=30))],
)
def test_how_long_a_push_is_kept(expiration: str, kept_for: timedelta | None) -> None:
    now = datetime.fromtimestamp(1795600000, UTC)
    notification = read(now, {**GOOD, "apns-expiration": expiration})
    assert isinstance(notification, Notification)
    assert notification.expires == (None if kept_for is None else now + kept_for)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "PayloadEmpty"),
        (b'{"mdm":"' + b"x" * 4096 + b'"}', "PayloadTooLarge"),
        (b"mdm", "BadPayload"),
        (b"[]", "BadPayload"),
        (b"{}", "BadPayload"),
        (b'{"mdm":1}', "BadPayload"),
        (b'{"aps":{},"mdm":"m"}', "BadPayload"),
    ],
)
def test_a_body_that_is_no_mdm_push(body: bytes, reason: str) -> None:
    assert read_payload(body) == Refusal(reason)


def test_a_body_that_is_one() -> None:
    longest = {"mdm": "x" * (4096 - len('{"mdm": ""}'))}
    assert read_payload(json.dumps(longest).encode()) == longest


def test_a_timestamp_counts_milliseconds() -> None:
    since = datetime(2026, 11, 24, 12, 0, 0, 250000, tzinfo=UTC)
    assert json.loads(Refusal("Unregistered", timestamp=since).body) == {"reason": "Unregistered", "timestamp": 1795521600250}
