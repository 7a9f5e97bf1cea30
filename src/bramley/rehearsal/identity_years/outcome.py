"""What came about in the years of device identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bramley.rehearsal.identity_years.plan import Plan, Role
from bramley.rehearsal.identity_years.thief import Why


@dataclass(frozen=True, slots=True)
class FleetOutcome:
    """The years of one fleet.

    `renewed` counts identities that were replaced by their device without enrolling again, `rescued` those of them that had
    ended before. `expired_reachable` are devices that were there after their identity had ended, even if it was replaced on the
    day on which that was found; `locked_out` those that did not answer at the end. `wrongly_accepted` and `inherited` say in
    words what got through of what was tried with old identities (`attempts`, by kind), and which commands reached a device that
    were meant for the life before it was `wiped`. `rolled_over` says that the CA was replaced, and the old one withdrawn.
    `refusals` are answers that devices got and should not, `failures` what went otherwise than it must with any server.
    """

    roles: Mapping[Role, int]
    renewed: int
    rescued: int
    wiped: int
    expired_reachable: Sequence[str]
    locked_out: Sequence[str]
    wrongly_accepted: Sequence[str]
    attempts: Mapping[Why, int]
    inherited: Sequence[str]
    rolled_over: bool
    refusals: Sequence[str]
    failures: Sequence[str]

    @property
    def devices(self) -> int:
        return sum(self.roles.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the fleet with Bramley, and of the same one with a server that renews no identities."""

    plan: Plan
    fleet: FleetOutcome
    control: FleetOutcome

    @property
    def missed(self) -> Sequence[str]:
        """What is not as it must be, in words: nobody lost, nothing accepted that must not be, and all of it put to the test."""
        fleet, roles = self.fleet, self.fleet.roles
        told = {
            f"{fleet.renewed} identities were renewed, expected {self.plan.least_renewals} at least": (
                fleet.renewed < self.plan.least_renewals
            ),
            f"{fleet.rescued} of {roles[Role.SILENT]} silent devices were rescued": fleet.rescued < roles[Role.SILENT],
            f"{fleet.wiped} of {roles[Role.WIPED]} devices were wiped in mid-renewal": fleet.wiped < roles[Role.WIPED],
            f"{len(fleet.expired_reachable)} devices were there with an identity that had ended": bool(fleet.expired_reachable),
            f"{len(fleet.locked_out)} devices are locked out": bool(fleet.locked_out),
            f"{len(fleet.wrongly_accepted)} requests were accepted that must not be": bool(fleet.wrongly_accepted),
            f"{len(fleet.inherited)} commands were meant for a life before": bool(fleet.inherited),
            "the CA was not rolled over": not fleet.rolled_over,
            "not every kind of attempt was made": not all(fleet.attempts.get(why) for why in Why),
            "without renewal nobody was locked out, which proves nothing": not self.control.locked_out,
        }
        return [*(words for words, amiss in told.items() if amiss), *fleet.refusals, *fleet.failures, *self.control.failures]

    @property
    def passed(self) -> bool:
        return not self.missed

    def as_json(self) -> dict[str, Any]:
        """The last line of `bramley rehearse identity-years --json`."""
        fleet, control = self.fleet, self.control
        return {
            "renewed": fleet.renewed,
            "rescued": fleet.rescued,
            "expired_reachable": len(fleet.expired_reachable),
            "locked_out": len(fleet.locked_out),
            "wrongly_accepted": len(fleet.wrongly_accepted),
            "stale_commands_inherited": len(fleet.inherited),
            "control_locked_out": len(control.locked_out),
            "passed": self.passed,
            "years": self.plan.years,
            "devices": fleet.devices,
            "roles": dict(fleet.roles),
            "least_renewals": self.plan.least_renewals,
            "wiped_in_mid_renewal": fleet.wiped,
            "ca_rolled_over": fleet.rolled_over,
            "attempts": dict(fleet.attempts),
            "control": {
                "devices": control.devices,
                "renewed": control.renewed,
                "expired_reachable": len(control.expired_reachable),
                "locked_out": len(control.locked_out),
            },
            "missed": list(self.missed),
        }
