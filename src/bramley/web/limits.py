"""How much may go wrong before 429: token buckets for addresses, links and enrollments.

A failure costs a whole token and a success next to none, so that a fleet behind one address is served for as long as it
does things right. What is charged is charged afterwards, when the outcome is known, and may lead into debt: many failures
at once make the wait longer. Why it is so is in docs/decisions/0013-what-is-limited.md.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bramley.clock import Clock
from bramley.settings import Limits
from bramley.web.errors import TooMany
from bramley.web.metrics import Metrics

FAILURE: Final = 1.0
SUCCESS: Final = 0.01
"""What a success costs where an address is charged for it: its work is bounded by the rights that were given out."""

ENOUGH: Final = 0.5
"""What must be left for a request to be looked at: not a whole token, or one success would take one failure's place."""

REMEMBERED: Final = 10_000
"""Buckets of each kind, about 300 bytes each; beyond them the one unused for longest is forgotten, which fills it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's size, and how fast it fills: tokens, and tokens a second."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens as they were at a moment; fewer than none are a debt, of at most one bucket."""

    tokens: float
    at: datetime

    def level(self, rate: Rate, now: datetime) -> float:
        """The tokens there are by now. A clock that was set back fills nothing."""
        return min(rate.burst, self.tokens + max(0.0, (now - self.at).total_seconds()) * rate.per_second)

    def take(self, rate: Rate, now: datetime, cost: float) -> Bucket:
        """The bucket after a cost."""
        return Bucket(max(-rate.burst, self.level(rate, now) - cost), now)

    def wait(self, rate: Rate, now: datetime) -> float:
        """Seconds until there is enough for one request more; 0.0 where there is."""
        return max(0.0, (ENOUGH - self.level(rate, now)) / rate.per_second)


class Buckets:
    """A bucket for each key, full at first; the memory it takes is bounded."""

    def __init__(self, rate: Rate, *, remembered: int = REMEMBERED) -> None:
        self._rate, self._remembered = rate, remembered
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: datetime, cost: float = FAILURE) -> None:
        bucket = self._buckets.get(key) or Bucket(self._rate.burst, now)
        self._buckets[key] = bucket.take(self._rate, now, cost)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)

    def wait(self, key: str, now: datetime) -> float:
        """As `Bucket.wait`."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(self._rate, now)


class Limit(StrEnum):
    """What is limited; a label of the metric, so each has a line in docs/reference/metrics.md."""

    SCEP_ADDRESS = "scep-address"
    SCEP_ENROLLMENT = "scep-enrollment"
    LINK_ADDRESS = "link-address"
    LINK = "link"
    SIGN_IN_ADDRESS = "sign-in-address"


class Gate:
    """All the buckets of one server."""

    def __init__(self, limits: Limits, clock: Clock, metrics: Metrics) -> None:
        self._clock, self._metrics = clock, metrics
        failures = Rate(limits.failures, limits.failures_per_minute / 60)
        rates = dict.fromkeys(Limit, failures) | {
            Limit.LINK: _hourly(limits.fetches_per_link),
            Limit.SCEP_ENROLLMENT: _hourly(limits.identities_per_enrollment),
        }
        self._buckets: Mapping[Limit, Buckets] = MappingProxyType({limit: Buckets(rate) for limit, rate in rates.items()})

    def require(self, limit: Limit, key: str) -> None:
        """Raises TooMany where nothing is left."""
        wait = self._buckets[limit].wait(key, self._clock.now())
        if wait > 0:
            self._metrics.limited(limit)
            raise TooMany("Expected fewer requests of this kind; this one is not looked at.", retry_after=math.ceil(wait))

    def take(self, limit: Limit, key: str, cost: float = FAILURE) -> None:
        """Charges what came of a request."""
        self._buckets[limit].take(key, self._clock.now(), cost)


def _hourly(count: int) -> Rate:
    return Rate(count, count / 3600)
