"""What came about in a rehearsal, and whether it was what must come about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bramley.rehearsal.profiles import ProfilesOutcome
from bramley.sandbox.attackers import Attempt
from bramley.storage.protocols import CertificateRow

ATTACKERS: Final = 4
"""As many as try something in a whole story."""


@dataclass(frozen=True, slots=True)
class Attack:
    """What one attacker tried."""

    name: str
    attempts: Sequence[Attempt]

    @property
    def refused(self) -> bool:
        """Whether nothing of it got through; an attacker who tried nothing proves nothing."""
        return bool(self.attempts) and all(attempt.refused for attempt in self.attempts)


@dataclass(slots=True)
class Outcome:
    """Filled while the story goes on. `failures` says in words what went otherwise than it must; `names` are by UDID."""

    devices: int
    names: Mapping[str, str] = field(default_factory=dict)
    enrolled: int = 0
    pushed: int = 0
    commands_answered: int = 0
    renewed: int = 0
    revoked: int = 0
    profiles: ProfilesOutcome = field(default_factory=ProfilesOutcome)
    attacks: list[Attack] = field(default_factory=list)
    certificates: Sequence[CertificateRow] = ()
    failures: list[str] = field(default_factory=list)

    @property
    def attacks_refused(self) -> int:
        """Attackers all of whose attempts were refused."""
        return sum(attack.refused for attack in self.attacks)

    @property
    def passed(self) -> bool:
        """Whether everything went as it must."""
        reached = (self.enrolled, self.pushed, self.renewed, self.revoked, self.attacks_refused)
        well = not self.failures and reached == (self.devices, self.devices, 1, 1, ATTACKERS)
        return well and self.profiles == ProfilesOutcome(self.devices, 0, 1)

    def as_json(self) -> dict[str, Any]:
        """The last line of `bramley demo --json`."""
        return {
            "devices": self.devices,
            "enrolled": self.enrolled,
            "pushed": self.pushed,
            "commands_answered": self.commands_answered,
            "renewed": self.renewed,
            "revoked": self.revoked,
            "profiles": self.profiles.as_json(),
            "attacks_refused": self.attacks_refused,
            "attempts": {attack.name: len(attack.attempts) for attack in self.attacks},
            "certificates": len(self.certificates),
            "passed": self.passed,
            "failures": self.failures,
        }
