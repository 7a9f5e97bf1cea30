"""`bramley rehearse`: years of an installation on this machine, in minutes."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from bramley.cli.session import Session
from bramley.cli.verbs import Invocation, Verb, noun
from bramley.errors import BramleyError, OutsideTrouble
from bramley.model.push import Route
from bramley.settings import Log

if TYPE_CHECKING:
    from bramley.cli.output import Output
    from bramley.rehearsal.identity_years.outcome import Outcome as YearsOutcome
    from bramley.rehearsal.identity_years.plan import Plan as YearsPlan
    from bramley.rehearsal.push_cycle.doors import Opener
    from bramley.rehearsal.push_cycle.outcome import FleetOutcome, Outcome
    from bramley.rehearsal.push_cycle.parts import Said
    from bramley.rehearsal.push_cycle.performance import Plan

_LONGEST = 8
"""Years. After more of them devices renew their identities as well: another rehearsal."""

app = noun("Years on this machine, in minutes.")


@app.command("push-cycle", cls=Verb)
def push_cycle(
    ctx: typer.Context,
    years: Annotated[int, typer.Option(min=1, max=_LONGEST, help="How many renewals each fleet lives through.")] = 3,
    devices: Annotated[int, typer.Option(min=1, max=1000, help="How many devices each fleet has.")] = 50,
    route: Annotated[list[Route] | None, typer.Option(help="A way to the push certificate; repeat it. By default all.")] = None,
    seed: Annotated[int, typer.Option(help="Another order of mistakes, and other devices.")] = 1,
) -> None:
    """Renew push certificates year after year, with all the mistakes that lose fleets; then the same without Bramley's checks.

    One fleet for each way to a certificate. Nothing leaves this machine and nothing of an installation is touched. Exits 1 if a
    mistake got through, a device was lost, or the server without checks lost none.
    """
    from bramley.cli import logs
    from bramley.rehearsal.push_cycle.performance import Plan

    output = Session(ctx).output
    logs.configure(Log(level="critical"))  # certificates expire and are refused here on purpose, and that is reported
    plan = Plan(years, devices, tuple(dict.fromkeys(route or Route)), seed)
    with tempfile.TemporaryDirectory(prefix="bramley-rehearsal-") as folder:
        outcome = asyncio.run(_perform(Path(folder), plan, output))
    show(outcome, output)
    if not outcome.passed:
        raise typer.Exit(1)


async def _perform(folder: Path, plan: Plan, output: Output) -> Outcome:
    from bramley.cli.demo_report import Report
    from bramley.rehearsal.push_cycle.performance import perform

    return await perform(folder, plan, Report(output), CommandLineDoor)


@app.command("identity-years", cls=Verb)
def identity_years(
    ctx: typer.Context,
    years: Annotated[int, typer.Option(min=2, max=_LONGEST, help="How many years the fleet lives through.")] = 3,
    devices: Annotated[int, typer.Option(min=5, max=1000, help="How many devices it has.")] = 200,
    seed: Annotated[int, typer.Option(help="Other devices, and other days for what happens to them.")] = 1,
) -> None:
    """Renew device identities year after year, under a CA that is replaced; then the same with a server that renews none.

    Some devices answer NotNow, are silent for 400 days, are wiped in mid-renewal or stolen, and every clock is off. Copies of old
    identities are tried all the time. Nothing leaves this machine and nothing of an installation is touched. Exits 1 if a device
    was lost, something was accepted that must not be, or the server that renews none lost nobody.
    """
    from bramley.cli import logs
    from bramley.cli.years_report import show
    from bramley.rehearsal.identity_years.plan import Plan

    output = Session(ctx).output
    logs.configure(Log(level="critical"))  # as above
    with tempfile.TemporaryDirectory(prefix="bramley-rehearsal-") as folder:
        outcome = asyncio.run(_live(Path(folder), Plan(years, devices, seed), output))
    show(outcome, output)
    if not outcome.passed:
        raise typer.Exit(1)


async def _live(folder: Path, plan: YearsPlan, output: Output) -> YearsOutcome:
    from bramley.cli.years_report import YearsReport
    from bramley.rehearsal.identity_years.performance import perform

    return await perform(folder, plan, YearsReport(output))


@dataclass(frozen=True, slots=True)
class CommandLineDoor:
    """`bramley push import`, with an installation that is not the one of this machine's settings."""

    opener: Opener

    async def __call__(self, files: Sequence[bytes], password: str | None) -> Said:
        return await asyncio.to_thread(self._import, files, password)

    def _import(self, files: Sequence[bytes], password: str | None) -> Said:
        from bramley.cli.program import PROGRAM, app
        from bramley.rehearsal.push_cycle.doors import OutOfOrder
        from bramley.rehearsal.push_cycle.parts import Said
        from bramley.storage.errors import StorageError

        with tempfile.TemporaryDirectory(prefix="bramley-rehearsal-") as name:
            paths = [Path(name, str(number)) for number in range(len(files))]
            for path, content in zip(paths, files, strict=True):
                path.write_bytes(content)
            arguments = ["push", "import", *map(str, paths)]
            if password is not None:
                secret = Path(name, "password")
                secret.write_text(f"{password}\n", encoding="utf-8")
                arguments += ["--password-file", str(secret)]
            try:
                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    invocation = Invocation(opener=self.opener)
                    code = get_command(app).main(arguments, prog_name=PROGRAM, standalone_mode=False, obj=invocation)
            except (OutsideTrouble, StorageError):
                raise
            except BramleyError as error:
                return Said(False, error.message)
        if code:
            raise OutOfOrder(f"`bramley push import` ended with the exit code {code}.")
        return Said(True)


def show(outcome: Outcome, output: Output) -> None:
    """For people every fleet, every kind of mistake, and the sum; for machines one JSON object."""
    from bramley.rehearsal.push_cycle.outcome import Blunder, tally

    if output.as_json:
        output.json(outcome.as_json())
        return
    output.line("")
    rows = [("Bramley", fleet) for fleet in outcome.fleets] + [("no checks", control) for control in outcome.controls]
    output.table(
        ("server", "route", "renewals", "mistakes stopped", "devices lost"),
        [(server, fleet.route, fleet.renewals, _stopped(fleet), _lost(fleet)) for server, fleet in rows],
        empty="No fleets.",
    )
    output.line("")
    without = [mistake for control in outcome.controls for mistake in control.mistakes]
    tallies = [(blunder, tally(outcome.mistakes, blunder), tally(without, blunder)) for blunder in Blunder]
    output.table(
        ("mistake", "stopped by Bramley", "without checks"),
        [
            (blunder, *(f"{each['stopped']} of {each['injected']}" for each in (ours, theirs)))
            for blunder, ours, theirs in tallies
        ],
        empty="No mistakes.",
    )
    output.line("")
    for failure in [failure for _server, fleet in rows for failure in fleet.failures]:
        output.marked("✗", "bold red", failure)
    for mistake in outcome.mistakes:
        if not mistake.stopped:
            output.marked("✗", "bold red", f"{mistake} got through")
    verdict = ("All went as it must:", "bold green") if outcome.passed else ("Not all went as it must:", "bold red")
    told = outcome.as_json()
    output.marked(
        *verdict,
        f"{told['renewals']} renewals, {told['mistakes_stopped']} of {told['mistakes_injected']} mistakes stopped, "
        f"{told['devices_lost']} devices lost; without checks {told['control_devices_lost']}.",
    )


def _stopped(fleet: FleetOutcome) -> str:
    return f"{sum(mistake.stopped for mistake in fleet.mistakes)} of {len(fleet.mistakes)}"


def _lost(fleet: FleetOutcome) -> str:
    return f"{len(fleet.lost)} of {fleet.devices}"
