"""Who plays which part, and when: decided before the curtain rises, by chance out of a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

DAY: Final = timedelta(days=1)
YEAR: Final = 365 * DAY
SILENCE: Final = 400 * DAY
"""Longer than an identity lives, so that it lapses whenever the silence begins."""

ROLLOVER_AFTER: Final = YEAR + 30 * DAY
"""From the beginning: in the second year, while most identities are in their second life."""

SKEW: Final = timedelta(seconds=90)
"""So far each device's clock is off, in turn ahead and behind."""

NOT_NOW_RATE: Final = 0.4
LONGEST_INTERVAL: Final = 300 * DAY
"""An identity that somebody is there to renew lives no longer: two thirds of a year, what they are spread by, and a month."""

_SLACK: Final = 50 * DAY


class Role(StrEnum):
    """The part of a device."""

    STEADY = "steady"
    """There every day."""
    NOT_NOW = "not-now"
    """There every day, and often not in the mood."""
    SILENT = "silent"
    """Away for `SILENCE`, once."""
    WIPED = "wiped"
    """Wiped and enrolled again, once, while it is being renewed."""
    STOLEN = "stolen"
    """Stolen, once, and revoked."""


SHARES: Final = {Role.SILENT: 0.05, Role.NOT_NOW: 0.05, Role.WIPED: 0.02, Role.STOLEN: 0.01}
"""Of the fleet; of each at least one. The others are steady."""


@dataclass(frozen=True, slots=True)
class Part:
    """One device's: its role, and, from the beginning of the story, the day on which what makes it special begins."""

    number: int
    role: Role
    skew: timedelta
    begins: timedelta


@dataclass(frozen=True, slots=True)
class Plan:
    """What is rehearsed; at least two years, as long as a silence and what goes before and after it, and one device of each role.

    The years pass in steps. `patience`, in seconds of the machine, is for a server that should come to rest.
    """

    years: int = 3
    devices: int = 200
    seed: int = 1
    step: timedelta = 10 * DAY
    patience: float = 60.0

    @property
    def length(self) -> timedelta:
        return self.years * YEAR

    @property
    def parts(self) -> Sequence[Part]:
        """The same for the same plan."""
        chance = random.Random(f"{self.seed} parts")  # noqa: S311 - chance for a simulation
        roles = [role for role, share in SHARES.items() for _ in range(max(1, round(self.devices * share)))]
        roles += [Role.STEADY] * (self.devices - len(roles))
        return [
            Part(number, role, SKEW if number % 2 else -SKEW, chance.uniform(*self._window(role)) * DAY)
            for number, role in enumerate(roles)
        ]

    @property
    def least_renewals(self) -> int:
        """What a server comes to that renews in time the identities of everybody who stays, and of the silent once."""
        there = sum(part.role in (Role.STEADY, Role.NOT_NOW) for part in self.parts)
        silent = sum(part.role is Role.SILENT for part in self.parts)
        return there * (self.length // LONGEST_INTERVAL) + silent

    def _window(self, role: Role) -> tuple[float, float]:
        """Days between which the special thing begins, so that it has ended, and shown its consequences, before the story has."""
        end = self.length - _SLACK
        latest = {Role.SILENT: end - SILENCE, Role.WIPED: end - LONGEST_INTERVAL, Role.STOLEN: end - YEAR / 2}
        return _SLACK / 2 / DAY, latest.get(role, end) / DAY
