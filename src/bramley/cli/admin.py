"""`bramley admin`: who may call the API."""

from __future__ import annotations

from typing import Annotated

import typer

from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.errors import BadInput
from bramley.operations import admins
from bramley.operations.installation import Installation

app = noun("Who may call the API.")


@app.command("token", cls=Verb)
def token(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Whose token it is; events name it so.")],
    dry_run: DryRunOption = False,
) -> None:
    """Make another API token. It is shown this once: only its hash is kept."""
    session = Session(ctx)
    if not name.strip() or not name.isprintable():
        raise BadInput(f"A token's name must be printable text; found {name!r}.")

    async def create(installation: Installation) -> str:
        now = installation.clock.now()
        return await installation.store.run(lambda tx: admins.create(tx, name, now=now, actor=ACTOR))

    made = session.run(create, dry_run=dry_run)
    if dry_run:
        session.output.remark(f"A token for {name} could be made; nothing was changed.")
    elif session.output.as_json:
        session.output.json({"name": name, "token": made})
    else:
        session.output.line(made)
        session.output.remark("Shown once. Send it as `Authorization: Bearer …`.")
