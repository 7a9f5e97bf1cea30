"""How it stands with push certificates, and what a person does about it: `status`, `account`, `rollback`, `resume`, `rescue`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated

import typer

from bramley.cli.push.requesting import TopicOption
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.model.lineages import Lineage, Version
from bramley.operations import pushing
from bramley.operations.installation import Installation
from bramley.operations.push import lineages, rescue, status, trial
from bramley.operations.push.rescue import Rescue, Trouble
from bramley.operations.push.status import TopicStatus

ANSWER_SECONDS = 30.0


def register(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command("status", cls=Verb)(status_)
    app.command("account", cls=Verb)(account)
    app.command("rollback", cls=Verb)(rollback)
    app.command("resume", cls=Verb)(resume)
    app.command("rescue", cls=Verb)(rescue_)


def status_(ctx: typer.Context) -> None:
    """Every push topic: what is in force and until when, whose it is, how many devices listen, and what to do next.

    Exits 1 where a topic with devices has no certificate in force, an expired one, or one that APNs refuses.
    """
    session = Session(ctx)

    async def read(installation: Installation) -> tuple[list[TopicStatus], datetime]:
        return await status.overview(installation), installation.clock.now()

    found, now = session.run(read)
    if session.output.as_json:
        session.output.json([_as_json(one) for one in found])
    else:
        for one in found:
            session.output.fields(one.topic or "(no topic yet)", _fields(one))
        if not found:
            session.output.remark("There is no push certificate yet: `bramley push start` shows the ways to one.")
    if any(one.devices and (one.active is None or one.active.expired(now) or one.paused) for one in found):
        raise typer.Exit(1)


def account(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as it@example.com.")],
    topic: TopicOption = None,
) -> None:
    """Note which Apple Account a push certificate was made with. Only that account can renew it."""
    session = Session(ctx)

    async def put(installation: Installation) -> Lineage:
        return await lineages.note_account(installation, topic, name, actor=ACTOR)

    lineage = session.run(put)
    if session.output.as_json:
        session.output.json({"topic": lineage.name, "account": lineage.owner})
    else:
        session.output.line(f"Noted: {lineage.name} belongs to {lineage.owner}.")


def rollback(
    ctx: typer.Context,
    topic: TopicOption = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the events.")] = "rolled back",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Return to the push certificate before, while it is valid; one that is on trial is dropped."""
    session = Session(ctx)

    async def act(installation: Installation) -> Version:
        return await trial.rollback(installation, topic, reason=reason, actor=ACTOR)

    version = session.run(act, dry_run=True)
    if not dry_run:
        session.confirm(f"Push with the certificate of serial number {version.serial} again?", yes=yes)
        version = session.run(act)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "id": version.id, "serial": version.serial, "not_after": version.not_after})
    else:
        would = "would be" if dry_run else "is"
        session.output.line(f"Serial number {version.serial} {would} in force; it ends on {version.not_after:%Y-%m-%d}.")


def resume(ctx: typer.Context, topic: TopicOption = None) -> None:
    """Go on pushing under a topic whose certificate APNs refused, once the cause is gone: one push is tried first.

    Needs the running server. Exits 1 where APNs refuses it still.
    """
    session = Session(ctx)

    async def ask(installation: Installation) -> tuple[str, bool]:
        name = await trial.ask_to_resume(installation, topic)
        watch = installation.store.watch()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while await installation.store.read(lambda tx: tx.notes.get(pushing.paused_note(name))) is not None:
                    await watch.changed()
        except TimeoutError:
            return name, False
        return name, True

    name, resumed = session.run(ask)
    if session.output.as_json:
        session.output.json({"topic": name, "resumed": resumed})
    elif resumed:
        session.output.line(f"Pushing goes on for {name}.")
    else:
        session.output.line(f"Pushing is still paused for {name}.")
        session.output.remark("Either APNs refuses the certificate still, or no server runs. `bramley push rescue` helps.")
    if not resumed:
        raise typer.Exit(1)


def rescue_(
    ctx: typer.Context,
    topic: TopicOption = None,
    account_lost: Annotated[
        bool, typer.Option("--account-lost", help="Nobody can sign in any more with the Apple Account that made it.")
    ] = False,
    topic_lost: Annotated[bool, typer.Option("--topic-lost", help="The topic cannot be had again, not even from Apple.")] = False,
) -> None:
    """When it went wrong: what is lost and what is not, the way back step by step, and the devices that depend on it.

    Exits 1 where something is wrong.
    """
    session = Session(ctx)
    told = Trouble.TOPIC_LOST if topic_lost else Trouble.ACCOUNT_LOST if account_lost else None

    async def read(installation: Installation) -> list[Rescue]:
        return await rescue.diagnose(installation, topic, told=told)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([_rescue_as_json(one) for one in found])
    else:
        for one in found:
            _show_rescue(session, one)
        if not found:
            session.output.remark("There is no push certificate yet: `bramley push start` shows the ways to one.")
    if any(one.trouble is not Trouble.NONE for one in found):
        raise typer.Exit(1)


def _show_rescue(session: Session, one: Rescue) -> None:
    output = session.output
    if one.trouble is Trouble.NONE:
        output.line(f"{one.status.topic}: nothing is wrong; {len(one.devices)} device(s) listen to it.")
        return
    output.line(f"{one.status.topic}: {one.trouble}")
    for number, step in enumerate(one.steps, 1):
        output.line(f"  {number}. {step}")
    if one.trouble is Trouble.TOPIC_LOST:
        rows = [(d.enrollment.id, d.enrollment.serial_number, d.enrollment.last_seen_at, d.enrolled_by) for d in one.devices]
        output.table(("device", "serial", "last seen", "enrolled by"), rows, empty="No device listens to it.", spare=("serial",))
        for enrolled_by, how in {d.enrolled_by: d.how for d in one.devices}.items():
            output.line(f"{enrolled_by}: {how}")


def _rescue_as_json(one: Rescue) -> dict[str, object]:
    return {
        "topic": one.status.topic,
        "trouble": one.trouble,
        "steps": list(one.steps),
        "devices": [
            {
                "id": device.enrollment.id,
                "serial_number": device.enrollment.serial_number,
                "last_seen_at": device.enrollment.last_seen_at,
                "enrolled_by": device.enrolled_by,
                "how": device.how,
            }
            for device in one.devices
        ],
    }


def _fields(one: TopicStatus) -> list[tuple[str, object]]:
    return [
        ("Apple Account", one.account or "not noted"),
        ("route", one.route),
        ("devices", one.devices),
        ("in force until", one.active.not_after if one.active else "nothing is in force"),
        ("on trial until", one.on_trial.not_after if one.on_trial else None),
        ("request", one.requested.state if one.requested else None),
        ("paused", one.paused),
        ("turn", one.next.mover if one.next else None),
        ("next", one.next.text if one.next else "`bramley push rescue` says what can be done"),
    ]


def _as_json(one: TopicStatus) -> dict[str, object]:
    return {
        "topic": one.topic,
        "account": one.account,
        "route": one.route,
        "devices": one.devices,
        "paused": one.paused or None,
        "active": _version(one.active),
        "on_trial": _version(one.on_trial),
        "requested": _version(one.requested),
        "next": {"mover": one.next.mover, "text": one.next.text, "at": one.next.at} if one.next else None,
    }


def _version(version: Version | None) -> dict[str, object] | None:
    if version is None:
        return None
    return {
        "id": version.id,
        "state": version.state,
        "serial": version.serial,
        "sha256": version.sha256,
        "not_before": version.not_before,
        "not_after": version.not_after,
    }
