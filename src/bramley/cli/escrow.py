"""`bramley escrow`: FileVault recovery keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption, noun
from bramley.model.commands import Command
from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import escrow
from bramley.operations.escrow import Revealed
from bramley.operations.installation import Installation
from bramley.operations.live import Live

app = noun("FileVault recovery keys: have Macs escrow them, read and rotate them.")

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The Mac: its UDID, EnrollmentID or our key.")]


@app.command("enable", cls=Verb)
def enable(ctx: typer.Context, device: DeviceArgument, dry_run: DryRunOption = False) -> None:
    """Send a Mac the certificate that it encrypts its recovery key to: a first one, or one in the place of the one before.

    Keys that were escrowed before stay readable.
    """

    async def act(installation: Installation) -> Command:
        return await escrow.enable(await Live.start(installation), device, actor=ACTOR)

    _tell(ctx, act, device, dry_run, "Once the Mac has installed it, it is asked for its recovery key.")


@app.command("fetch", cls=Verb)
def fetch(ctx: typer.Context, device: DeviceArgument, dry_run: DryRunOption = False) -> None:
    """Ask a Mac for its recovery key. Macs tell one that was made while they had the profile."""

    async def act(installation: Installation) -> Command:
        return await escrow.fetch(installation, device, actor=ACTOR)

    _tell(ctx, act, device, dry_run, "`bramley escrow list` shows when it has come.")


@app.command("rotate", cls=Verb)
def rotate(ctx: typer.Context, device: DeviceArgument, dry_run: DryRunOption = False) -> None:
    """Have a Mac make a new recovery key and tell it. The one before is kept."""

    async def act(installation: Installation) -> Command:
        return await escrow.rotate(installation, device, actor=ACTOR)

    _tell(ctx, act, device, dry_run, "`bramley escrow list` shows when the new one has come.")


@app.command("reveal", cls=Verb)
def reveal(
    ctx: typer.Context,
    device: DeviceArgument,
    reason: Annotated[str, typer.Option(help="Why you need it; kept in the events with your name.")],
    every: Annotated[bool, typer.Option("--all", help="Also those that were replaced.")] = False,
    yes: YesOption = False,
) -> None:
    """Print a Mac's recovery key. That it was read, and why, is written down."""
    session = Session(ctx)
    session.confirm(f"Print the recovery key of {device}? Whoever has it can open its disk.", yes=yes)

    async def act(installation: Installation) -> Sequence[Revealed]:
        return await escrow.reveal(installation, device, reason=reason, every=every, actor=ACTOR)

    found = session.run(act)
    if session.output.as_json:
        session.output.json(
            [{"recovery_key": each.text, "received_at": each.received_at, "replaced_at": each.replaced_at} for each in found]
        )
        return
    for each in found:
        session.output.line(each.text)
        if each.replaced_at is not None:
            session.output.remark(f"replaced on {each.replaced_at:%Y-%m-%d}")


@app.command("list", cls=Verb)
def list_(ctx: typer.Context, limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100) -> None:
    """List the Macs whose recovery key is known, and since when. The keys are not shown."""
    session = Session(ctx)

    async def read(installation: Installation) -> Sequence[RecoveryKey]:
        return await installation.store.read(lambda tx: tx.recovery_keys.current(limit=limit))

    found = session.run(read)
    if session.output.as_json:
        session.output.json([{"device": each.device, "received_at": each.received_at} for each in found])
        return
    session.output.table(
        ("Mac", "known since (UTC)"), [(each.device, each.received_at) for each in found], empty="No recovery key is known."
    )


def _tell(
    ctx: typer.Context, act: Callable[[Installation], Awaitable[Command]], device: str, dry_run: bool, what_then: str
) -> None:
    session = Session(ctx)
    command = session.run(act, dry_run=dry_run)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "device": device, "command_uuid": command.uuid})
        return
    session.output.line(f"{device}: {command.request_type} {'could be queued' if dry_run else 'queued'}")
    if not dry_run:
        session.output.remark(what_then)
