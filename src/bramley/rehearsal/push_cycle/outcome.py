"""What came about in the years of a push certificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bramley.model.push import Route


class Blunder(StrEnum):
    """A mistake that people make with push certificates."""

    WRONG_TOPIC = "wrong-topic"
    """Create was chosen at Apple, not Renew."""
    WRONG_ACCOUNT = "wrong-account"
    """Somebody was signed in with another Apple Account."""
    SWAPPED_KEY = "swapped-key"
    """The renewed certificate, with the key of another request."""
    REFUSED = "refused-by-apns"
    """The renewed certificate was revoked before it was used."""
    LATE = "late-renewal"
    """The certificate had expired before it was renewed."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One that was made. `door` is the way it came in, `said` what the server said to it.

    It was stopped if it changed nothing: the certificate in force is the one from before, and all devices answer. A late
    renewal was stopped if all devices answer after it.
    """

    year: int
    blunder: Blunder
    door: str
    stopped: bool
    said: str = ""

    def __str__(self) -> str:
        return f"year {self.year}: {self.blunder}{f' by {self.door}' if self.door else ''}"


@dataclass(frozen=True, slots=True)
class FleetOutcome:
    """The years of one fleet. `topic` is what its devices listen to; `lost` are those that did not answer at the end of a
    year, after its renewal; `failures` say in words what went otherwise than it must."""

    route: Route
    topic: str
    devices: int
    renewals: int
    mistakes: Sequence[Mistake]
    lost: Sequence[str]
    failures: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        return {
            "route": self.route,
            "topic": self.topic,
            "devices": self.devices,
            "renewals": self.renewals,
            "devices_lost": len(self.lost),
            "mistakes": {blunder: tally(self.mistakes, blunder) for blunder in Blunder},
            "doors": {door: _sum(each for each in self.mistakes if each.door == door) for door in self._doors},
            "failures": list(self.failures),
        }

    @property
    def _doors(self) -> Sequence[str]:
        return sorted({mistake.door for mistake in self.mistakes if mistake.door})


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of all fleets, and of the same fleets with a server that checks nothing."""

    years: int
    fleets: Sequence[FleetOutcome]
    controls: Sequence[FleetOutcome]

    @property
    def mistakes(self) -> Sequence[Mistake]:
        return [mistake for fleet in self.fleets for mistake in fleet.mistakes]

    @property
    def renewals(self) -> int:
        return sum(fleet.renewals for fleet in self.fleets)

    @property
    def devices_lost(self) -> int:
        return sum(len(fleet.lost) for fleet in self.fleets)

    @property
    def control_devices_lost(self) -> int:
        return sum(len(control.lost) for control in self.controls)

    @property
    def passed(self) -> bool:
        """Whether Bramley stopped every mistake and lost nobody, and the mistakes were such that others lose devices."""
        told = [len(fleet.failures) for fleet in (*self.fleets, *self.controls)]
        made = [{mistake.blunder for mistake in fleet.mistakes} for fleet in self.fleets]
        return (
            not any(told)
            and all(blunders == set(Blunder) for blunders in made)
            and all(mistake.stopped for mistake in self.mistakes)
            and self.renewals == self.years * len(self.fleets) > 0
            and self.devices_lost == 0 < self.control_devices_lost
            and all(control.lost for control in self.controls)
        )

    def as_json(self) -> dict[str, Any]:
        """The last line of `bramley rehearse push-cycle --json`."""
        return {
            "renewals": self.renewals,
            "mistakes_injected": len(self.mistakes),
            "mistakes_stopped": sum(mistake.stopped for mistake in self.mistakes),
            "devices_lost": self.devices_lost,
            "control_devices_lost": self.control_devices_lost,
            "passed": self.passed,
            "fleets": [fleet.as_json() for fleet in self.fleets],
            "controls": [control.as_json() for control in self.controls],
        }


def tally(mistakes: Iterable[Mistake], blunder: Blunder) -> dict[str, int]:
    """How many of a kind were injected and stopped."""
    return _sum(mistake for mistake in mistakes if mistake.blunder is blunder)


def _sum(mistakes: Iterable[Mistake]) -> dict[str, int]:
    stopped = [mistake.stopped for mistake in mistakes]
    return {"injected": len(stopped), "stopped": sum(stopped)}
