"""`bramley device quarantine` and `bramley device release`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_password
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.errors import BadInput
from bramley.model.lineages import RevocationReason
from bramley.operations import quarantine as operation
from bramley.operations.installation import Installation
from bramley.operations.quarantine import Measure, Order, Quarantined, Released


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley device`."""
    app.command("quarantine", cls=Verb)(quarantine)
    app.command("release", cls=Verb)(release)


def quarantine(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(help="UDID, EnrollmentID or our key.")],
    reason: Annotated[
        str, typer.Option(help="Why, in your words; kept with the events, and with the identity if it is revoked.")
    ],
    erase: Annotated[bool, typer.Option("--erase", help="Erase it; its identity is revoked once it has acknowledged.")] = False,
    lock: Annotated[bool, typer.Option("--lock", help="Lock it; its identity is revoked once it has acknowledged.")] = False,
    serial: Annotated[
        str | None,
        typer.Option(help="With --erase or --lock: the device's serial number once more (its id if it has told none)."),
    ] = None,
    pin_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the six digits that the erased or locked Mac will ask for.")
    ] = None,
    because: Annotated[
        RevocationReason, typer.Option(help="What CRL and OCSP tell others, once it is revoked.")
    ] = RevocationReason.KEY_COMPROMISE,
    now: Annotated[
        bool, typer.Option("--now", help="Revoke its identity at once: it can never be locked or erased then.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Quarantine a device: from its next request on it can be locked and erased, and gets nothing else.

    The rest of its queue waits for `release`. Without --erase, --lock or --now nothing more happens.
    """
    session = Session(ctx)
    order = _order(erase, lock, serial, pin_file)

    async def act(installation: Installation) -> Quarantined:
        return await operation.quarantine(
            installation, device, reason=reason, because=because, order=order, revoke_now=now, actor=ACTOR
        )

    done = session.run(act, dry_run=True)
    if not dry_run:
        if order is not None or now:
            session.confirm(_question(device, order), yes=yes)
        done = session.run(act)
    if session.output.as_json:
        session.output.json(
            {
                "dry_run": dry_run,
                "device": done.enrollment.id,
                "state": done.enrollment.state,
                "command_uuid": done.command and done.command.uuid,
                "revoked": [{"serial": v.serial, "sha256": v.sha256} for v in done.revoked],
            }
        )
        return
    session.output.line(f"{device}: {'would be ' if dry_run else ''}{'revoked' if done.revoked else 'quarantined'}")
    if done.command is not None:
        session.output.remark(f"{done.command.request_type} is queued. Once it is acknowledged, the identity is revoked.")


def release(
    ctx: typer.Context,
    device: Annotated[str, typer.Argument(help="UDID, EnrollmentID or our key.")],
    reason: Annotated[str, typer.Option(help="Why, in your words; kept with the events.")] = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """End a quarantine: what it ordered is withdrawn if it was not carried out yet, and the rest of the queue is delivered.

    Asks first where that holds another lock or erase.
    """
    session = Session(ctx)

    async def act(installation: Installation) -> Released:
        return await operation.release(installation, device, reason=reason, actor=ACTOR)

    done = session.run(act, dry_run=True)
    waiting = [command.request_type for command in done.waiting]
    dangerous = sorted({measure.value for measure in Measure}.intersection(waiting))
    if not dry_run:
        if dangerous:
            session.confirm(f"{' and '.join(dangerous)} still waits for {device}, and goes out then. Release it?", yes=yes)
        done = session.run(act)
    if session.output.as_json:
        session.output.json(
            {"dry_run": dry_run, "device": done.enrollment.id, "state": done.enrollment.state, "waiting": waiting}
        )
        return
    session.output.line(f"{device}: {'would be ' if dry_run else ''}released; {len(waiting)} command(s) wait for it")


def _order(erase: bool, lock: bool, serial: str | None, pin_file: Path | None) -> Order | None:
    if erase and lock:
        raise BadInput("Expected --erase or --lock, not both.", advice="Erased is locked out too.")
    if not erase and not lock:
        if serial is not None or pin_file is not None:
            raise BadInput("--serial and --pin-file belong to --erase or --lock.")
        return None
    if serial is None:
        raise BadInput("Expected --serial with the device's serial number: what follows cannot be undone.")
    return Order(Measure.ERASE if erase else Measure.LOCK, serial, read_password(pin_file, "PIN file"))


def _question(device: str, order: Order | None) -> str:
    if order is None:
        return f"Revoke the identity of {device} at once? It can never be locked or erased again."
    erased = "erases everything on the device" if order.measure is Measure.ERASE else "locks the device"
    return f"{order.measure} {erased}, and its identity is revoked after that. Send it to {device}?"
