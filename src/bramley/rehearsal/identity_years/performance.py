"""The whole rehearsal: the years with Bramley, and the same years with a server that renews no identities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bramley.rehearsal.identity_years.fleet import opened_fleet
from bramley.rehearsal.identity_years.outcome import FleetOutcome, Outcome
from bramley.rehearsal.identity_years.plan import Plan
from bramley.rehearsal.identity_years.story import Audience, Told, play


async def perform(folder: Path, plan: Plan, audience: Audience) -> Outcome:
    """Everything, one fleet after the other. `folder` is there, and is filled."""
    return Outcome(plan, await with_bramley(folder, plan, audience), await _without(folder, plan, audience))


async def with_bramley(folder: Path, plan: Plan, audience: Audience) -> FleetOutcome:
    """The years of a fleet whose server renews identities."""
    return await _lived(folder, plan, audience, renews=True)


async def _without(folder: Path, plan: Plan, audience: Audience) -> FleetOutcome:
    harmless: list[str] = []
    text = "the same years with a server that renews no identities, which locks devices out"
    with audience.step(text, harmless) as told:
        outcome = await _lived(folder, plan, _Quiet(told, plan.years + 2), renews=False)
        if not outcome.locked_out:
            harmless.append("nobody was locked out")
    return outcome


async def _lived(folder: Path, plan: Plan, audience: Audience, *, renews: bool) -> FleetOutcome:
    async with opened_fleet(folder, plan, renews=renews) as fleet:
        return await play(fleet, plan, audience)


class _Quiet:
    """An audience for a story within a step: all it passes on is how much of its `steps` is done."""

    def __init__(self, told: Told, steps: int) -> None:
        self._told, self._steps, self._done = told, steps, 0

    @contextmanager
    def step(self, text: str, failures: Sequence[str]) -> Iterator[Told]:
        yield lambda share: self._told((self._done + share) / self._steps)
        self._done += 1
