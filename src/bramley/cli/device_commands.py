"""`bramley device command`: any command for one device, and what every verb that sends one has in common."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli import answers
from bramley.cli.arguments import DeviceArgument
from bramley.cli.requests import Wanted, may_destroy, request_of
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.errors import BadInput, OutsideTrouble
from bramley.mdm import plist
from bramley.mdm.commands import TABLE, Request, explain, receivers, shown
from bramley.operations import device_commands
from bramley.operations.device_commands import Sent
from bramley.operations.installation import Installation

SerialOption = Annotated[
    str | None,
    typer.Option(
        help="With a lock, an erasure or the end of the enrollment: the device's serial number once more (its id if it has told "
        "none)."
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A key: KEY=TEXT or KEY:=JSON; repeatable.")
]
WaitOption = Annotated[int, typer.Option(min=0, max=86_400, metavar="SECONDS", help="Wait so long for the answer.")]
NoPushOption = Annotated[bool, typer.Option("--no-push", help="Don't wake the device; it gets the command when it asks.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley device`."""
    app.command("command", cls=Verb)(command)
    app.command("explain", cls=Verb)(explain_)


def command(
    ctx: typer.Context,
    device: DeviceArgument,
    request_type: Annotated[
        str | None, typer.Argument(metavar="REQUEST_TYPE", help="Apple's name: DeviceInformation, InstallProfile, …")
    ] = None,
    assignments: SetOption = None,
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="InstallProfile: the profile; a plain one is signed.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="InstallProfile: send the profile as it is, unchecked and not signed by Bramley.")
    ] = False,
    identifier: Annotated[str | None, typer.Option(help="RemoveProfile: the PayloadIdentifier.")] = None,
    query: Annotated[list[str] | None, typer.Option(metavar="NAME", help="DeviceInformation: a property; repeatable.")] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="AccountConfiguration: holds the password of the account; only its hash is sent."),
    ] = None,
    raw: Annotated[
        Path | None,
        typer.Option("--plist", metavar="FILE", help="The whole command as an XML property list."),
    ] = None,
    serial: SerialOption = None,
    wait: WaitOption = 0,
    no_push: NoPushOption = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Queue a command for a device, wake it, and with --wait print what it answers.

    The running server delivers it. Exits 1 where the device answered with an error, 3 where it did not answer in time; then
    the command stays queued. Settings go by the names of their items: --set DeviceName=Reception --set Bluetooth:=false.
    """
    request = request_of(Wanted(request_type, assignments or (), profile, identifier, query or (), password_file, raw))
    push = not no_push
    give(Session(ctx), device, request, serial=serial, as_is=as_is, wait=wait, push=push, yes=yes, dry_run=dry_run)


def explain_(
    ctx: typer.Context,
    request_type: Annotated[str | None, typer.Argument(metavar="REQUEST_TYPE", help="Its keys and its answer.")] = None,
) -> None:
    """List the commands that are known, or explain one: its keys, who takes it, what it is answered with."""
    output = Session(ctx).output
    if request_type is None:
        if output.as_json:
            output.json([{"request_type": each.name, "purpose": each.purpose} for each in TABLE.values()])
        else:
            output.table(("request type", "purpose"), [(each.name, each.purpose) for each in TABLE.values()], empty="")
        return
    known = TABLE.get(request_type)
    if known is None:
        raise BadInput(f"{request_type} is not in the table.", advice="Without an argument the table is listed.")
    said = {"keys": list(explain(known.keys)), "answer": list(explain(known.answer))}
    if output.as_json:
        told = {part: [asdict(each) for each in keys] for part, keys in said.items()}
        output.json({"request_type": known.name, "purpose": known.purpose, "receivers": list(receivers(known)), **told})
        return
    output.line(" ".join([known.purpose, *receivers(known)]))
    for part, keys in said.items():
        if keys:
            rows = [(each.path, each.kind, each.values, each.systems) for each in keys]
            output.table((part, "type", "values", "systems"), rows, empty="", spare=("systems", "values"))


def give(
    session: Session,
    device: str,
    request: Request,
    *,
    serial: str | None = None,
    as_is: bool = False,
    wait: int = 0,
    push: bool = True,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Sends a request to a device and tells what became of it; asks first where it destroys."""
    output = session.output

    async def send(installation: Installation) -> Sent:
        return await device_commands.send(
            installation, device, request, serial_number=serial, as_is=as_is, actor=ACTOR, push=push
        )

    async def send_and_wait(installation: Installation) -> Sent:
        sent = await send(installation)
        _tell(session, device, sent)
        return replace(sent, command=await answers.wait_for(installation, sent.command, seconds=wait)) if wait else sent

    if dry_run:
        _show_tried(session, device, request, session.run(send, dry_run=True))
        return
    if may_destroy(request) and (danger := session.run(send, dry_run=True).destroys):  # nobody is asked about what cannot be
        session.confirm(f"{request.request_type} {danger}. Send it to {device}?", yes=yes)
    last = session.run(send_and_wait)
    answers.show(output, last.command, pin=last.pin)
    if wait and last.command.answered_at is None:
        raise OutsideTrouble(
            f"{device} gave no answer within {wait} seconds; the command stays queued.",
            advice=f"`bramley device show {device}` tells when it is answered. Is the server running, and the device awake?",
        )
    if answers.failed(last.command):
        raise typer.Exit(1)


def _show_tried(session: Session, device: str, request: Request, tried: Sent) -> None:
    """What could be queued, without its secrets."""
    made = ["A PIN would be made for it."] if tried.pin is not None else []
    if session.output.as_json:
        told = {"dry_run": True, "request_type": request.request_type, "command": shown(request)}
        session.output.json(told | {"notes": [*_notes(tried), *made]})
        return
    session.output.remark(" ".join([f"This could be queued for {device}; nothing was changed.", *made]))
    _tell(session, device, replace(tried, pin=None))
    session.output.line(plist.dumps(shown(request)).decode())


def _notes(sent: Sent) -> list[str]:
    return [f"{each.path}: {each.words}".removeprefix(": ") for each in sent.notes]


def _tell(session: Session, device: str, sent: Sent) -> None:
    """What is worth knowing before the answer comes, which may take long."""
    for note in _notes(sent):
        session.output.remark(note)
    if sent.pin is not None:
        session.output.remark(
            f"The Mac will ask for the PIN {sent.pin}. `bramley device pin {device} --reason WHY` tells it again."
        )
