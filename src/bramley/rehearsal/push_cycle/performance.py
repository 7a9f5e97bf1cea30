"""The whole rehearsal: every fleet through its years with Bramley, and the same with a server that checks nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bramley.model.push import Route
from bramley.rehearsal.push_cycle.control import naive_fleet
from bramley.rehearsal.push_cycle.doors import CommandLine
from bramley.rehearsal.push_cycle.fleet import guarded_fleet
from bramley.rehearsal.push_cycle.outcome import FleetOutcome, Outcome
from bramley.rehearsal.push_cycle.parts import Audience
from bramley.rehearsal.push_cycle.script import play


@dataclass(frozen=True, slots=True)
class Plan:
    """What is rehearsed. The same `seed` makes the same mistakes in the same order, with Bramley and without.

    `patience`, in seconds, is for devices that should answer and do not.
    """

    years: int = 3
    devices: int = 50
    routes: Sequence[Route] = tuple(Route)
    seed: int = 1
    patience: float = 30.0

    def chance(self, route: Route) -> random.Random:
        return random.Random(f"{self.seed} {route}")  # noqa: S311 - chance for a simulation


async def perform(folder: Path, plan: Plan, audience: Audience, command_line: CommandLine | None = None) -> Outcome:
    """Everything, one fleet after the other. `command_line` makes the door of the command line, which is left out without it."""
    fleets = [await _with_bramley(folder, plan, route, audience, command_line) for route in plan.routes]
    controls = [await _without(plan, route, audience) for route in plan.routes]
    return Outcome(plan.years, fleets, controls)


async def _with_bramley(
    folder: Path, plan: Plan, route: Route, audience: Audience, command_line: CommandLine | None
) -> FleetOutcome:
    home = folder / route
    home.mkdir()
    opening = guarded_fleet(home, route, plan.devices, seed=plan.seed, command_line=command_line, patience=plan.patience)
    named = _Named(route, audience)
    async with AsyncExitStack() as opened:
        with named.step(f"{plan.devices} devices enroll, under a first push certificate", ()):
            fleet, way = await opened.enter_async_context(opening)
        return await play(fleet, way, route, years=plan.years, chance=plan.chance(route), audience=named)


async def _without(plan: Plan, route: Route, audience: Audience) -> FleetOutcome:
    harmless: list[str] = []
    with audience.step(f"{route}: the same years with a server that checks nothing, which loses devices", harmless):
        async with naive_fleet(route, plan.devices) as (fleet, way):
            outcome = await play(fleet, way, route, years=plan.years, chance=plan.chance(route), audience=_Nobody())
        if not outcome.lost:
            harmless.append("nobody was lost")
    return outcome


@dataclass(frozen=True, slots=True)
class _Named:
    """An audience that is told whose story it is."""

    route: Route
    audience: Audience

    def step(self, text: str, failures: Sequence[str]) -> AbstractContextManager[None]:
        return self.audience.step(f"{self.route}: {text}", failures)


class _Nobody:
    """An audience that does not listen."""

    def step(self, text: str, failures: Sequence[str]) -> AbstractContextManager[None]:
        return nullcontext()
