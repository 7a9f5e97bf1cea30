"""`bramley identity`: the certificates by which devices show who they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bramley.cli import (
    identity_ca,
    identity_ca_rollover,
    identity_ca_root,
    identity_ca_trust,
    identity_import,
    identity_list,
    identity_reconcile,
)
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption, noun
from bramley.model.commands import Command
from bramley.model.lineages import RevocationReason, Version
from bramley.operations import identities, suspension
from bramley.operations.installation import Installation
from bramley.operations.live import Live

app = noun("Device identities: list, renew, suspend, revoke, rescue; and the CA that issues them.")
identity_list.register(app)
identity_import.register(app)
identity_reconcile.register(app)
ca = noun("The CA that issues device identities.")
identity_ca.register(ca)
identity_ca_root.register(ca)
identity_ca_trust.register(ca)
identity_ca_rollover.register(ca)
app.add_typer(ca, name="ca")

_NAME = typer.Argument(metavar="DEVICE|SERIAL", help="A device, or a certificate's serial number or SHA-256.")


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
    name: Annotated[str, _NAME],
    reason: Annotated[str, typer.Option(help="Why, in your words; kept with the certificate and in the events.")],
    because: Annotated[
        RevocationReason | None,
        typer.Option(
            help="What CRL and OCSP tell others. By default unspecified, or cessationOfOperation for what was out of use."
        ),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Revoke every identity of a device, or one of them. Effective at its next request, and for good.

    A device without an identity cannot be locked or erased any more. If it was stolen, `bramley device quarantine --erase`
    erases it first and revokes once it has answered.
    """
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Version]:
        return await identities.revoke(installation, name, reason=reason, because=because, actor=ACTOR)

    doomed = session.run(act, dry_run=True)
    if not dry_run:
        session.output.remark("A device without an identity cannot be locked or erased any more: do that first if it was stolen.")
        session.confirm(f"Revoke {len(doomed)} identity certificate(s) of {name} for good?", yes=yes)
    revoked = doomed if dry_run else session.run(act)
    _tell(session, "revoked", revoked, dry_run=dry_run)


@app.command("suspend", cls=Verb)
def suspend(
    ctx: typer.Context,
    name: Annotated[str, _NAME],
    reason: Annotated[str, typer.Option(help="Why, in your words; kept with the certificate and in the events.")],
    dry_run: DryRunOption = False,
) -> None:
    """Suspend the identity in force of a device, or one of them, until `resume`. Effective at its next request.

    By the device's name nothing else speaks for it either: what it had besides is retired. Its queue stays. While it is
    suspended it cannot be locked or erased; `bramley device quarantine` leaves that possible.
    """
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Version]:
        return await suspension.suspend(installation, name, reason=reason, actor=ACTOR)

    _tell(session, "suspended", session.run(act, dry_run=dry_run), dry_run=dry_run)


@app.command("resume", cls=Verb)
def resume(
    ctx: typer.Context,
    name: Annotated[str, _NAME],
    reason: Annotated[str, typer.Option(help="Why, in your words; kept with the certificate and in the events.")] = "",
    dry_run: DryRunOption = False,
) -> None:
    """Take a suspended identity back into force. Not if it expired meanwhile, or a newer one is in force."""
    session = Session(ctx)

    async def act(installation: Installation) -> Version:
        return await suspension.resume(installation, name, reason=reason, actor=ACTOR)

    _tell(session, "resumed", [session.run(act, dry_run=dry_run)], dry_run=dry_run)


def _tell(session: Session, what: str, versions: Sequence[Version], *, dry_run: bool) -> None:
    """Which identities this was done to."""
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, what: [{"serial": v.serial, "sha256": v.sha256} for v in versions]})
        return
    for version in versions:
        done = f"would be {what}" if dry_run else what
        session.output.line(f"{done}: serial {version.serial}, SHA-256 {version.sha256}")
