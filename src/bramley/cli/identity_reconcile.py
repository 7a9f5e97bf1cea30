"""`bramley identity reconcile`: what a device says it holds, beside what is on record."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Final

import typer

from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.model.commands import Command
from bramley.operations import reconcile as operation
from bramley.operations.device_certificates import Finding, What
from bramley.operations.installation import Installation
from bramley.operations.reconcile import Standing

_ADVICE: Final = MappingProxyType(
    {
        What.IDENTITY_MISSING: "it did not list the identity in force: look at its next check-ins, and renew",
        What.NETWORK_IDENTITY_MISSING: "it did not list it: `bramley network renew` sends it again",
        What.EXPIRED: "renew it",
        What.OLD_IDENTITY: "macOS does not always remove it: it is refused here; delete it by hand if it disturbs",
        What.IDENTITY_OF_ANOTHER: "issued to another device: find out how it got there, and revoke it if in doubt",
        What.UNKNOWN_IDENTITY: "not from here: perhaps of another service, or of a former MDM",
    }
)


def register(app: typer.Typer) -> None:
    """Adds the verb to `bramley identity`."""
    app.command("reconcile", cls=Verb)(reconcile)


def reconcile(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(help="UDID, EnrollmentID or our key.")],
    show: Annotated[bool, typer.Option("--show", help="Show what came of the last answer, and ask nothing.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Ask a device which certificates it holds; with --show, what differed from what is on record.

    The running server delivers the question and compares the answer. After each renewal it asks by itself. With --show it exits
    1 where there is a difference other than an identity that is not ours.
    """
    session = Session(ctx)
    if show:
        _show(session, device)
        return

    async def ask(installation: Installation) -> Command:
        return await operation.reconcile(installation, device, actor=ACTOR)

    command = session.run(ask, dry_run=dry_run)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "command_uuid": None if dry_run else command.uuid})
    elif dry_run:
        session.output.remark(f"{device} could be asked; nothing was changed.")
    else:
        session.output.line(command.uuid)
        session.output.remark(f"Queued for {device}; `bramley identity reconcile {device} --show` tells what came of it.")


def _show(session: Session, device: str) -> None:
    async def read(installation: Installation) -> Standing:
        return await operation.standing(installation, device)

    standing = session.run(read)
    last = standing.last
    if session.output.as_json:
        session.output.json(_as_json(standing))
    else:
        if standing.waiting is not None:
            session.output.remark(f"It was asked on {standing.waiting.created_at:%Y-%m-%d %H:%M} UTC and has not answered yet.")
        if last is None:
            session.output.remark(f"{device} has told nothing yet. `bramley identity reconcile {device}` asks.")
            return
        session.output.line(f"{last.certificates} certificates on {last.at:%Y-%m-%d %H:%M} UTC, {last.identities} with their key")
        session.output.table(
            ("found", "name", "serial", "state", "ends (UTC)", "what it means"),
            [(one.what, one.name, one.serial, one.state, one.not_after, _ADVICE[one.what]) for one in last.findings],
            empty="It holds what it should.",
            spare=("serial", "name"),
        )
        if last.left_out:
            session.output.remark(f"{last.left_out} more were left out.")
    if last is not None and any(one.what is not What.UNKNOWN_IDENTITY for one in last.findings):
        raise typer.Exit(1)


def _as_json(standing: Standing) -> dict[str, object]:
    last = standing.last
    return {
        "waiting_for": standing.waiting and standing.waiting.uuid,
        "at": last and last.at,
        "certificates": last and last.certificates,
        "identities": last and last.identities,
        "findings": [_finding_as_json(one) for one in last.findings] if last else [],
        "left_out": last.left_out if last else 0,
    }


def _finding_as_json(one: Finding) -> dict[str, object]:
    return {
        "what": one.what,
        "name": one.name,
        "serial": one.serial,
        "sha256": one.sha256,
        "state": one.state,
        "not_after": one.not_after,
    }
