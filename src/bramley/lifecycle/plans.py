"""What comes next in a replacement: trust the new one everywhere, use it, withdraw the old one. Each step waits for proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bramley.model.plans import Plan, PlanKind, PlanStage, PlanState


class Act(StrEnum):
    """What a step does."""

    TRUST = "trust"
    USE = "use"
    WITHDRAW = "withdraw"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the steps of a kind of plan wait where time is the only proof.

    `settle` runs from trusting to using: whoever has to trust the new one has heard of it by then. `linger` runs from using to
    withdrawing: whoever was given the old one a moment ago has used it by then.
    """

    settle: timedelta
    linger: timedelta


# A server reads its CAs anew within seconds of a change, and one that cannot read them cannot answer a device either, since
# each answer reads the same database: a minute is many times what it takes. A SCEP client fetches the CA certificate anew for
# each enrollment, but writes to the same one for as long as its request waits for a person, which is a month at most.
PACES: Final[Mapping[PlanKind, Pace]] = MappingProxyType(
    {PlanKind.CA_ROLLOVER: Pace(settle=timedelta(minutes=1), linger=timedelta(days=31))}
)

ROLLOVER_TIME: Final = timedelta(days=90)
"""What people get to decide on a rollover and to have it done."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What can be proved of a replacement at the moment.

    `untrusting` counts those that must trust the new one and have not shown that they do, `needing` those that rely on the old
    one still. `old_ends` is when the old one ends by itself; `use_from` a moment before which the new one is not to be used.
    """

    untrusting: int = 0
    needing: int = 0
    old_ends: datetime | None = None
    use_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """The next step of a plan and the stage that it reaches.

    `due` says that nothing stands in its way. Otherwise `waits_for` says what does, and `at` is the moment from which time
    alone will not; None where that cannot be known.
    """

    act: Act
    reaches: PlanStage
    due: bool
    waits_for: str = ""
    at: datetime | None = None


def next_step(plan: Plan, facts: Facts, now: datetime) -> Step | None:
    """What a plan does next; None for one that has ended.

    An old one that has ended already is of no use to anybody: nothing waits for its sake.
    """
    if plan.state is not PlanState.RUNNING:
        return None
    pace, since = PACES[plan.kind], plan.changed_at
    ended = facts.old_ends is not None and now > facts.old_ends
    match plan.stage:
        case PlanStage.PREPARED:
            return Step(Act.TRUST, PlanStage.TRUSTED, due=True)
        case PlanStage.TRUSTED:
            at = since + pace.settle
            if facts.use_from is not None and not ended:
                at = max(at, facts.use_from)
            return _step(Act.USE, PlanStage.USED, now, at, facts.untrusting, "that do not trust the new one yet")
        case PlanStage.USED if not ended:
            at = since + pace.linger
            return _step(Act.WITHDRAW, PlanStage.WITHDRAWN, now, at, facts.needing, "that rely on the old one", facts.old_ends)
        case PlanStage.USED:
            return Step(Act.WITHDRAW, PlanStage.WITHDRAWN, due=True)
        case PlanStage.WITHDRAWN:
            return None


def rollover_due_at(not_after: datetime, leaf_life: timedelta) -> datetime:
    """When a CA has to be rolled over by: from then on it ends before what it issues would, but for the time a rollover takes."""
    return not_after - leaf_life - ROLLOVER_TIME


def _step(
    act: Act, reaches: PlanStage, now: datetime, at: datetime, holding: int, who: str, at_last: datetime | None = None
) -> Step:
    """A step that waits for a moment and for those that hold it up; `at_last` is when they do so no more."""
    if holding:
        return Step(act, reaches, due=False, waits_for=f"{holding} {who}", at=at_last)
    if now < at:
        return Step(act, reaches, due=False, waits_for=f"{at:%Y-%m-%d %H:%M} UTC", at=at)
    return Step(act, reaches, due=True)
