"""`bramley network`: certificates for Wi-Fi, VPN and S/MIME on devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bramley.cli import network_template
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption, noun
from bramley.model.commands import Command
from bramley.model.lineages import RevocationReason, Version
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.network import ending, sending
from bramley.operations.network import standing as standings
from bramley.operations.network.ending import Taken
from bramley.operations.network.sending import Sent
from bramley.operations.network.standing import Standing

app = noun("Certificates for Wi-Fi, VPN and S/MIME: templates, who shall have one, renewal.")
template_app = noun("Templates: what such a certificate holds, and who issues it.")
network_template.register(template_app)
app.add_typer(template_app, name="template")

TemplateArgument = Annotated[str, typer.Argument(metavar="TEMPLATE", help="Its name, as `bramley network template list` shows.")]
DevicesArgument = Annotated[list[str], typer.Argument(metavar="DEVICE…", help="UDID, EnrollmentID or our key; several.")]


@app.command("assign", cls=Verb)
def assign(ctx: typer.Context, template: TemplateArgument, device: DevicesArgument, dry_run: DryRunOption = False) -> None:
    """Have devices fetch a certificate after a template, all of them or none, and renew it from then on."""
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Sent]:
        return await sending.assign(await Live.start(installation), template, device, actor=ACTOR)

    _sent(session, session.run(act, dry_run=dry_run), dry_run)


@app.command("renew", cls=Verb)
def renew(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="UDID, EnrollmentID or our key.")],
    template: Annotated[str | None, typer.Argument(metavar="[TEMPLATE]", help="Only this one; else all it shall have.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Send a device its certificates anew, before they are due, or since it has lost one."""
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Sent]:
        return await sending.renew(await Live.start(installation), device, template, actor=ACTOR)

    _sent(session, session.run(act, dry_run=dry_run), dry_run)


@app.command("unassign", cls=Verb)
def unassign(
    ctx: typer.Context,
    template: TemplateArgument,
    device: DevicesArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Take a certificate away from devices: its profile is removed, and what Bramley issued is revoked at once."""
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Taken]:
        return await ending.unassign(installation, template, device, actor=ACTOR)

    taken = session.run(act, dry_run=True)
    if not dry_run:
        session.confirm(f"Take {template} away from {len(taken)} device(s), and end its certificates for good?", yes=yes)
        taken = session.run(act)
    if session.output.as_json:
        rows = [
            {
                "device_key": each.enrollment.key,
                "device_id": each.enrollment.id,
                "ended": [version.serial for version in each.ended],
                "command_uuid": _uuid(each.command, dry_run),
            }
            for each in taken
        ]
        session.output.json({"dry_run": dry_run, "devices": rows})
        return
    for each in taken:
        told = "told to remove the profile" if each.command else "cannot be told to remove the profile"
        name = each.enrollment.id or each.enrollment.key
        session.output.line(f"{name}: {len(each.ended)} certificate(s) ended; {told}{_unchanged(dry_run)}")


@app.command("list", cls=Verb)
def list_(
    ctx: typer.Context,
    device: Annotated[str | None, typer.Option("--device", metavar="DEVICE", help="Only of this device.")] = None,
    template: Annotated[str | None, typer.Option("--template", metavar="TEMPLATE", help="Only after this template.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1000,
) -> None:
    """List who shall have which certificate: the one in force, when it ends and is renewed, and what went wrong."""
    session = Session(ctx)

    async def read(installation: Installation) -> Sequence[Standing]:
        return await standings.listing(installation, device=device, template=template, limit=limit)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([_as_json(each) for each in found])
        return
    session.output.table(
        ("device", "name", "template", "state", "serial", "certificate", "ends (UTC)", "renewed from (UTC)", "problem"),
        [
            (
                each.enrollment.id or each.enrollment.key,
                each.enrollment.device_name,
                each.assignment.template,
                each.assignment.state,
                each.version and each.version.serial,
                each.version and each.version.state,
                each.version and each.version.not_after,
                each.due_at,
                each.assignment.problem,
            )
            for each in found
        ],
        empty="No device shall have one. `bramley network assign TEMPLATE DEVICE` has it get one.",
        spare=("name", "serial", "renewed from (UTC)"),
    )
    session.output.cut(found, limit)


@app.command("revoke", cls=Verb)
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SERIAL|DEVICE", help="A certificate's serial number or SHA-256, or a device.")],
    reason: Annotated[str, typer.Option(help="Why, in your words; kept with the certificate and in the events.")],
    template: Annotated[str | None, typer.Argument(metavar="[TEMPLATE]", help="Of a device, only this one.")] = None,
    because: Annotated[
        RevocationReason | None,
        typer.Option(help="What CRL and OCSP tell others. By default unspecified, or cessationOfOperation for what was retired."),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Revoke certificates that Bramley issued. Nothing is sent in their place until `bramley network renew`."""
    session = Session(ctx)

    async def act(installation: Installation) -> Sequence[Version]:
        return await ending.revoke(installation, name, template, reason=reason, because=because, actor=ACTOR)

    revoked = session.run(act, dry_run=True)
    if not dry_run:
        session.confirm(f"Revoke {len(revoked)} network certificate(s) of {name} for good?", yes=yes)
        revoked = session.run(act)
    if session.output.as_json:
        rows = [{"serial": each.serial, "sha256": each.sha256, "state": each.state} for each in revoked]
        session.output.json({"dry_run": dry_run, "revoked": rows})
        return
    for each in revoked:
        session.output.line(f"{each.serial} revoked{_unchanged(dry_run)}")


def _sent(session: Session, sent: Sequence[Sent], dry_run: bool) -> None:
    if session.output.as_json:
        rows = [
            {
                "device_key": each.enrollment.key,
                "device_id": each.enrollment.id,
                "template": each.assignment.template,
                "state": each.assignment.state,
                "command_uuid": _uuid(each.command, dry_run),
            }
            for each in sent
        ]
        session.output.json({"dry_run": dry_run, "sent": rows})
        return
    for each in sent:
        queued = "InstallProfile would be queued" if dry_run else f"InstallProfile {_uuid(each.command, dry_run)} is queued"
        what = queued if each.command else "has it already, or will have it"
        name = each.enrollment.id or each.enrollment.key
        session.output.line(f"{name}: {each.assignment.template}: {what}{_unchanged(dry_run)}")


def _uuid(command: Command | None, dry_run: bool) -> str | None:
    """What names the command; nothing for one that would have been queued, and is not there."""
    return None if command is None or dry_run else command.uuid


def _unchanged(dry_run: bool) -> str:
    return " (nothing was changed)" if dry_run else ""


def _as_json(standing: Standing) -> dict[str, object]:
    assignment, enrollment, version = standing.assignment, standing.enrollment, standing.version
    return {
        "device_key": enrollment.key,
        "device_id": enrollment.id,
        "device_name": enrollment.device_name,
        "serial_number": enrollment.serial_number,
        "device_state": enrollment.state,
        "template": assignment.template,
        "state": assignment.state,
        "created_at": assignment.created_at,
        "created_by": assignment.created_by,
        "sent_at": assignment.sent_at,
        "attempts": assignment.attempts,
        "problem": assignment.problem,
        "certificate": version
        and {
            "serial": version.serial,
            "sha256": version.sha256,
            "subject": version.subject,
            "state": version.state,
            "not_before": version.not_before,
            "not_after": version.not_after,
        },
        "due_at": standing.due_at,
    }
