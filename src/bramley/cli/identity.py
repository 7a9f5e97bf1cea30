"""`bramley identity`: the certificates by which devices show who they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption, noun
from bramley.model.commands import Command
from bramley.model.lineages import Version
from bramley.operations import identities
from bramley.operations.installation import Installation
from bramley.operations.live import Live

app = noun("Device identities: renew, revoke.")


@app.command("renew", cls=Verb)
def renew(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(help="UDID, EnrollmentID or our key.")],
    dry_run: DryRunOption = False,
) -> None:
    """Have a device renew its identity now, before it is due. The present one stays good until the new one was used."""
    session = Session(ctx)

    async def start(installation: Installation) -> Command:
        return await identities.renew(await Live.start(installation), device, actor=ACTOR)

    command = session.run(start, dry_run=dry_run)
    if dry_run:
        session.output.remark(f"The identity of {device} could be renewed; nothing was changed.")
    elif session.output.as_json:
        session.output.json({"command_uuid": command.uuid, "request_type": command.request_type, "state": command.state})
    else:
        session.output.line(command.uuid)
        session.output.remark(f"Queued for {device}: its enrollment profile with a fresh challenge.")


@app.command("revoke", cls=Verb)
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="DEVICE|SERIAL", help="A device, or a certificate's serial number or SHA-256.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the certificate and in the events.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Revoke every live identity of a device, or one of them. Effective at its next request, and for good.

    A device without an identity cannot be locked or erased any more. If it was stolen, send EraseDevice first and revoke
    once it has answered.
    """
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Version]:
        return await identities.revoke(installation, name, reason=reason, actor=ACTOR)

    doomed = session.run(act, dry_run=True)
    if not dry_run:
        session.output.remark("A device without an identity cannot be locked or erased any more: do that first if it was stolen.")
        session.confirm(f"Revoke {len(doomed)} identity certificate(s) of {name} for good?", yes=yes)
    revoked = doomed if dry_run else session.run(act)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "revoked": [{"serial": v.serial, "sha256": v.sha256} for v in revoked]})
        return
    for version in revoked:
        session.output.line(f"{'would be revoked' if dry_run else 'revoked'}: serial {version.serial}, SHA-256 {version.sha256}")
