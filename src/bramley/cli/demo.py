"""`bramley demo`: a whole fleet on this machine."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bramley.cli.session import Session
from bramley.cli.verbs import Verb, sole
from bramley.settings import Log

WIDE = 160
"""Columns where no terminal sets a limit."""

app = sole("A whole fleet on this machine, in a minute.")


@app.command("demo", cls=Verb)
def demo(
    ctx: typer.Context,
    devices: Annotated[int, typer.Option(min=2, max=1000, help="How many devices.")] = 5,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, with its data, until Ctrl-C.")] = False,
) -> None:
    """Start a server, a stand-in for Apple's push service and simulated devices; enroll, command and renew; attack.

    Nothing leaves this machine and nothing of an installation is touched. Exits 1 if something went otherwise than it must.
    """
    from rich.console import Console

    from bramley.cli import logs
    from bramley.rehearsal import demo as rehearsal

    as_json = Session(ctx).output.as_json
    logs.configure(Log(level="error"))  # what is refused here is refused on purpose, and reported
    console = Console(stderr=as_json, width=None if sys.stdout.isatty() else WIDE)
    raise typer.Exit(rehearsal.run(devices, keep, as_json, console))
