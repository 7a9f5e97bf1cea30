"""`bramley demo`: a whole fleet on this machine."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bramley.cli.session import Session
from bramley.cli.verbs import Verb, sole
from bramley.settings import Log

if TYPE_CHECKING:
    from bramley.cli.demo_report import Report
    from bramley.rehearsal.outcome import Outcome
    from bramley.rehearsal.stage import Stage

app = sole("A whole fleet on this machine, in seconds.")


@app.command("demo", cls=Verb)
def demo(
    ctx: typer.Context,
    devices: Annotated[int, typer.Option(min=2, max=1000, help="How many devices.")] = 5,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it all running until Ctrl-C, and its data after that.")] = False,
) -> None:
    """Start a server, a stand-in for Apple's push service and simulated devices; enroll, command and renew; attack.

    Nothing leaves this machine and nothing of an installation is touched. Exits 1 if something went otherwise than it must.
    With --json every step is a line of JSON, and the last one sums up.
    """
    from bramley.cli import logs
    from bramley.cli.demo_report import Report

    output = Session(ctx).output
    logs.configure(Log(level="error"))  # what is refused here is refused on purpose, and reported
    folder = Path(tempfile.mkdtemp(prefix="bramley-demo-"))
    with ExitStack() as leftovers:
        leftovers.callback(shutil.rmtree, folder)
        outcome = asyncio.run(_play(folder, devices, keep, Report(output)))
        if keep:
            leftovers.pop_all()
            output.remark(f"What it left is in {folder}.")
    if not outcome.passed:
        raise typer.Exit(1)


async def _play(folder: Path, count: int, keep: bool, report: Report) -> Outcome:
    from bramley.cli.signals import stop_event
    from bramley.clock import SystemClock
    from bramley.rehearsal.cast import awake, cast
    from bramley.rehearsal.demo import play
    from bramley.rehearsal.stage import open_stage

    with report.step("a server and a stand-in for Apple start, on free ports of this machine", ()):
        stage = await open_stage(folder, SystemClock())
    try:
        async with cast(stage, count) as players:
            outcome = await play(stage, players, report)
            report.show(outcome, kept=stage.first.folder if keep else None)
            if keep:
                stop = stop_event()
                _invite(report, stage)
                async with awake(*players.fleet):
                    await stop.wait()
    finally:
        await stage.close()
    return outcome


def _invite(report: Report, stage: Stage) -> None:
    for line in (
        f"\nThe server goes on at {stage.installation.url}, and the devices with it, until Ctrl-C. In another terminal:",
        f"  export BRAMLEY_DATA={stage.first.folder}",
        "  bramley device list",
        "  bramley device command UDID DeviceInformation --wait 30",
        f"The API token is {stage.first.admin_token}",
    ):
        report.output.remark(line)
