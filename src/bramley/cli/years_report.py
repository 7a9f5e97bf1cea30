"""What people and machines see of the years of device identities."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bramley.cli.output import Output
from bramley.rehearsal.identity_years.outcome import FleetOutcome, Outcome
from bramley.rehearsal.identity_years.story import Told

_SHOWN: Final = 20
"""Of what went wrong, for people: a server that loses its fleet says the same of every device."""


class YearsReport:
    """The audience of the rehearsal."""

    def __init__(self, output: Output) -> None:
        self._output = output

    @contextmanager
    def step(self, text: str, failures: Sequence[str]) -> Iterator[Told]:
        """A line for a step, ticked or crossed; at a terminal, a bar while it goes on."""
        before, well = len(failures), False
        try:
            with _bar(text, shown=not self._output.as_json and sys.stderr.isatty()) as told:
                yield told
            well = len(failures) == before
        finally:
            self._output.marked(*(("✓", "green") if well else ("✗", "bold red")), text)


def show(outcome: Outcome, output: Output) -> None:
    """For people what came about with and without renewal, and the sum; for machines one JSON object."""
    if output.as_json:
        output.json(outcome.as_json())
        return
    fleet, control = outcome.fleet, outcome.control
    output.line("")
    output.table(("", "Bramley", "no renewal"), zip(_WHAT, _figures(fleet), _figures(control), strict=True), empty="")
    output.line("")
    output.table(("role", "devices"), [(role, count) for role, count in fleet.roles.items()], empty="No devices.")
    output.line("")
    output.table(("why an identity must not be of use", "attempts"), sorted(fleet.attempts.items()), empty="No attempts.")
    output.line("")
    for missed in outcome.missed[:_SHOWN]:
        output.marked("✗", "bold red", missed)
    if (more := len(outcome.missed) - _SHOWN) > 0:
        output.marked("✗", "bold red", f"and {more} more, which --json tells")
    verdict = ("All went as it must:", "bold green") if outcome.passed else ("Not all went as it must:", "bold red")
    output.marked(
        *verdict,
        f"{fleet.renewed} identities renewed, {fleet.rescued} of them after their end, {len(fleet.locked_out)} devices locked "
        f"out, {len(fleet.wrongly_accepted)} of {sum(fleet.attempts.values())} attempts accepted; without renewal "
        f"{len(control.locked_out)} locked out.",
    )


_WHAT: Final = (
    "identities renewed",
    "of them after their end",
    "devices there with an identity that had ended",
    "devices locked out",
    "devices wiped in mid-renewal",
    "stale commands inherited",
)


def _figures(fleet: FleetOutcome) -> Sequence[int]:
    """In the order of `_WHAT`."""
    lost = len(fleet.expired_reachable), len(fleet.locked_out)
    return fleet.renewed, fleet.rescued, *lost, fleet.wiped, len(fleet.inherited)


@contextmanager
def _bar(text: str, *, shown: bool) -> Iterator[Told]:
    if not shown:
        yield lambda _share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=1.0)
        yield lambda share: progress.update(task, completed=share)
