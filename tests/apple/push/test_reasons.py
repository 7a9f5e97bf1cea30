"""What APNs' answers mean: the device, the topic, Apple, or us."""

from __future__ import annotations

import pytest

from bramley.apple.push import Action, PushResult, judge
from bramley.apple.push.reasons import REASONS
from bramley.sandbox.apns import STATUSES


@pytest.mark.parametrize(
    ("status", "reason", "action"),
    [
        (200, None, Action.DELIVERED),
        (400, "BadDeviceToken", Action.WRONG_TOPIC),
        (400, "DeviceTokenNotForTopic", Action.WRONG_TOPIC),
        (400, "TopicDisallowed", Action.OUR_FAULT),
        (400, "IdleTimeout", Action.RETRY),
        (403, "BadCertificate", Action.PAUSE_TOPIC),
        (410, "Unregistered", Action.STOP_TOKEN),
        (410, "ExpiredToken", Action.STOP_TOKEN),
        (429, "TooManyRequests", Action.BACK_OFF_TOKEN),
        (500, "InternalServerError", Action.RETRY),
        (503, "Shutdown", Action.RETRY),
        (0, None, Action.RETRY),
        # words that Apple has not published, or none at all
        (400, "BadWeather", Action.OUR_FAULT),
        (403, None, Action.PAUSE_TOPIC),
        (410, None, Action.STOP_TOKEN),
        (429, None, Action.BACK_OFF_TOKEN),
        (502, None, Action.RETRY),
        (301, None, Action.OUR_FAULT),
        (404, None, Action.OUR_FAULT),
    ],
)
def test_judge(status: int, reason: str | None, action: Action) -> None:
    assert judge(PushResult(status, reason=reason)) is action


def test_every_word_of_apples_that_the_stand_in_knows_has_a_meaning() -> None:
    assert STATUSES.keys() - {"BadPayload"} <= REASONS.keys()


def test_only_a_410_ever_ends_a_token() -> None:
    assert {reason for reason, action in REASONS.items() if action is Action.STOP_TOKEN} == {
        reason for reason, status in STATUSES.items() if status == 410
    }
