"""`bramley device tag`: the words by which profiles find their devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.operations.installation import Installation
from bramley.operations.profiles import assigning


def register(app: typer.Typer) -> None:
    """Adds the verb to `bramley device`."""
    app.command("tag", cls=Verb)(tag)


def tag(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="UDID, EnrollmentID or our key.")],
    add: Annotated[list[str] | None, typer.Option("--add", metavar="TAG", help="Give it this tag; repeatable.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="TAG", help="Take it away; repeatable.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Give a device tags, or take them away; without either, show them. Profiles that are assigned to a tag follow it."""
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[str]:
        return await assigning.tag(installation, device, add=add or (), remove=remove or (), actor=ACTOR)

    tags = session.run(act, dry_run=dry_run)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "device": device, "tags": list(tags)})
        return
    session.output.line(f"{device}: {', '.join(tags) or 'no tags'}")
