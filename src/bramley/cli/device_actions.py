"""`bramley device lock`, `erase`, `clear-passcode`, `restart`, `shut-down` and `pin`: what people have devices do by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bramley.cli.arguments import DeviceArgument, assignment, read_password
from bramley.cli.device_commands import NoPushOption, SetOption, WaitOption, give
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.mdm.commands import build
from bramley.operations import device_commands
from bramley.operations.device_commands import KeptPIN
from bramley.operations.installation import Installation

_MeantOption = Annotated[str, typer.Option("--serial", help="The device's serial number once more (its id if it has told none).")]
_PINOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Holds the six digits that a Mac will ask for; without it they are made up."),
]


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley device`."""
    for name, verb in (
        ("lock", lock),
        ("erase", erase),
        ("clear-passcode", clear_passcode),
        ("restart", restart),
        ("shut-down", shut_down),
        ("pin", pin),
    ):
        app.command(name, cls=Verb)(verb)


def lock(
    ctx: typer.Context,
    device: DeviceArgument,
    serial: _MeantOption,
    message: Annotated[str | None, typer.Option(help="What its screen says.")] = None,
    phone: Annotated[str | None, typer.Option(metavar="NUMBER", help="The telephone number on its screen.")] = None,
    pin_file: _PINOption = None,
    wait: WaitOption = 0,
    no_push: NoPushOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Lock a device. A Mac restarts, and asks for a PIN, which is printed once and kept sealed."""
    keys = {"Message": message, "PhoneNumber": phone, "PIN": read_password(pin_file, "PIN file")}
    request = build("DeviceLock", {key: value for key, value in keys.items() if value is not None})
    give(Session(ctx), device, request, serial=serial, wait=wait, push=not no_push, yes=yes, dry_run=dry_run)


def erase(
    ctx: typer.Context,
    device: DeviceArgument,
    serial: _MeantOption,
    assignments: SetOption = None,
    pin_file: _PINOption = None,
    wait: WaitOption = 0,
    no_push: NoPushOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Erase a device. Some Macs ask for a PIN after that, which is printed once and kept sealed."""
    keys: dict[str, Any] = dict(map(assignment, assignments or ()))
    if (given := read_password(pin_file, "PIN file")) is not None:
        keys["PIN"] = given
    request = build("EraseDevice", keys)
    give(Session(ctx), device, request, serial=serial, wait=wait, push=not no_push, yes=yes, dry_run=dry_run)


def clear_passcode(
    ctx: typer.Context,
    device: DeviceArgument,
    wait: WaitOption = 0,
    no_push: NoPushOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Take a device's passcode away, with the UnlockToken that it told; that is never shown."""
    give(Session(ctx), device, build("ClearPasscode", {}), wait=wait, push=not no_push, dry_run=dry_run)


def restart(
    ctx: typer.Context,
    device: DeviceArgument,
    notify: Annotated[
        bool, typer.Option("--notify", help="A Mac's user is asked to restart it, and it does not by itself.")
    ] = False,
    wait: WaitOption = 0,
    no_push: NoPushOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Restart a device: a Mac, or one that is supervised."""
    request = build("RestartDevice", {"NotifyUser": True} if notify else {})
    give(Session(ctx), device, request, wait=wait, push=not no_push, dry_run=dry_run)


def shut_down(
    ctx: typer.Context,
    device: DeviceArgument,
    wait: WaitOption = 0,
    no_push: NoPushOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Switch a device off: a Mac, or one that is supervised."""
    give(Session(ctx), device, build("ShutDownDevice", {}), wait=wait, push=not no_push, dry_run=dry_run)


def pin(
    ctx: typer.Context,
    device: DeviceArgument,
    reason: Annotated[str, typer.Option(help="Why you need it; kept in the events with your name.")],
    yes: YesOption = False,
) -> None:
    """Print the PINs that a Mac was locked or erased with, newest first. That they were read, and why, is written down."""
    session = Session(ctx)
    session.confirm(f"Print the PINs of {device}? Whoever has them can unlock it.", yes=yes)

    async def act(installation: Installation) -> Sequence[KeptPIN]:
        return await device_commands.pins(installation, device, reason=reason, actor=ACTOR)

    found = session.run(act)
    if session.output.as_json:
        session.output.json(
            [
                {
                    "pin": each.pin,
                    "request_type": each.command.request_type,
                    "command_uuid": each.command.uuid,
                    "state": each.command.state,
                    "created_at": each.command.created_at,
                    "answered_at": each.command.answered_at,
                }
                for each in found
            ]
        )
        return
    session.output.table(
        ("PIN", "command", "state", "queued (UTC)", "answered (UTC)"),
        [
            (each.pin, each.command.request_type, each.command.state, each.command.created_at, each.command.answered_at)
            for each in found
        ],
        empty="",
    )
