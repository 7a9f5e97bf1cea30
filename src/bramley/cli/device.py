"""`bramley device`: list, show, wake; commands, quarantine and tags are in modules of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bramley.cli import answers, device_actions, device_commands, device_tags, quarantine
from bramley.cli.arguments import DeviceArgument
from bramley.cli.identity_list import renewal_as_json, route_in_words
from bramley.cli.session import Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.model.enrollments import Enrollment, EnrollmentState, weakness
from bramley.model.lineages import Version
from bramley.operations import devices, identity_standing, pushing
from bramley.operations.devices import DeviceDetail, Listed
from bramley.operations.identity_standing import Renewal
from bramley.operations.installation import Installation
from bramley.operations.pushing import Asked

app = noun("Devices: list, show, send commands, wake, quarantine.")
device_commands.register(app)
device_actions.register(app)
quarantine.register(app)
device_tags.register(app)


@app.command("list", cls=Verb)
def list_(
    ctx: typer.Context,
    state: Annotated[
        EnrollmentState | None, typer.Option(help="Only this state. Profiles fetched and never used are `pending`.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Part of the id, serial number or name.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only devices that have this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1000,
) -> None:
    """List devices and user channels."""
    session = Session(ctx)

    async def read(installation: Installation) -> Sequence[Listed]:
        return await devices.listing(installation, state=state, search=search, tag=tag, limit=limit)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([_as_json(each.enrollment) | {"tags": list(each.tags)} for each in found])
        return
    session.output.table(
        ("device", "name", "serial number", "model", "OS", "state", "last seen (UTC)"),
        [_row(each.enrollment) for each in found],
        empty=f"No such device has the tag {tag}." if tag else "No devices. `bramley enroll link` invites one.",
        spare=("model", "OS", "serial number"),
    )
    session.output.cut(found, limit)


@app.command("show", cls=Verb)
def show(ctx: typer.Context, device: DeviceArgument) -> None:
    """Show one device.

    What it says of itself, its tags, its identities and what it said to the last renewal, its user channels, its latest commands.
    Tokens are never shown.
    """
    session = Session(ctx)

    async def read(installation: Installation) -> tuple[DeviceDetail, Renewal | None]:
        return await devices.show(installation, device), await identity_standing.renewal(installation, device)

    detail, renewal = session.run(read)
    if session.output.as_json:
        session.output.json(
            _as_json(detail.enrollment)
            | {
                "tags": list(detail.tags),
                "channels": [_as_json(channel) for channel in detail.channels],
                "identities": [_identity_as_json(version) for version in detail.identities],
                "identity_route": detail.route,
                "identity_weakness": weakness(detail.route),
                "renewal": renewal_as_json(renewal),
                "commands": [answers.command_as_json(command) for command in detail.commands],
            }
        )
        return
    output, enrollment = session.output, detail.enrollment
    properties = _as_json(enrollment) | {"tags": ", ".join(detail.tags)}
    output.fields(str(enrollment.id or enrollment.key), [(name.replace("_", " "), value) for name, value in properties.items()])
    output.table(
        ("identity", "state", "begins (UTC)", "ends (UTC)"),
        [(v.serial, v.state, v.not_before, v.not_after) for v in detail.identities],
        empty="It has no identity yet.",
    )
    if detail.identities:
        output.fields("identities come", [("by", route_in_words(detail.route))])
    if renewal is not None:
        output.fields("last renewal", [("asked (UTC)", renewal.started_at), ("answer", renewal.words)])
    if detail.channels:
        output.table(
            ("user channel", "name", "state", "last seen (UTC)"),
            [(c.id, c.user_short_name, c.state, c.last_seen_at) for c in detail.channels],
            empty="",
        )
    output.table(
        ("command", "request type", "state", "queued (UTC)", "answered (UTC)"),
        [(c.uuid, c.request_type, c.state, c.created_at, c.answered_at) for c in detail.commands],
        empty="It was sent no commands.",
    )


@app.command("push", cls=Verb)
def push(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="DEVICE", help="The devices to wake.")],
    dry_run: DryRunOption = False,
) -> None:
    """Have the running server push to devices. Exits 1 where one of them cannot be pushed to."""
    session = Session(ctx)

    async def ask(installation: Installation) -> Sequence[Asked]:
        return await pushing.request_push(installation, names)

    asked = session.run(ask, dry_run=dry_run)
    if session.output.as_json:
        session.output.json([{"device": a.device, "queued": a.queued and not dry_run, "why_not": a.why_not} for a in asked])
    else:
        queued = "could be queued" if dry_run else "queued"
        for one in asked:
            session.output.line(f"{one.device}: {queued if one.queued else f'not possible: {one.why_not}'}")
    if not all(one.queued for one in asked):
        raise typer.Exit(1)


def _row(e: Enrollment) -> tuple[object, ...]:
    return e.id or e.key, _name(e), e.serial_number, e.product_name, e.os_version, e.state, e.last_seen_at


def _name(enrollment: Enrollment) -> str | None:
    return enrollment.device_name or enrollment.user_short_name


def _as_json(enrollment: Enrollment) -> dict[str, object]:
    """What may be shown of an enrollment. Tokens and PushMagic are secrets: whoever has them can wake or unlock the device."""
    e = enrollment
    return {
        "id": e.id,
        "key": e.key,
        "state": e.state,
        "parent": e.parent,
        "udid": e.udid,
        "enrollment_id": e.enrollment_id,
        "user_id": e.user_id,
        "user_short_name": e.user_short_name,
        "user_long_name": e.user_long_name,
        "serial_number": e.serial_number,
        "device_name": e.device_name,
        "model": e.model,
        "product_name": e.product_name,
        "os_version": e.os_version,
        "build_version": e.build_version,
        "topic": e.topic,
        "has_push_token": e.push_token is not None,
        "push_stopped_at": e.push_stopped_at,
        "has_unlock_token": e.unlock_token is not None,
        "has_bootstrap_token": e.bootstrap_token is not None,
        "created_at": e.created_at,
        "changed_at": e.changed_at,
        "enrolled_at": e.enrolled_at,
        "last_seen_at": e.last_seen_at,
        "last_push_at": e.last_push_at,
    }


def _identity_as_json(version: Version) -> dict[str, object]:
    return {
        "id": version.id,
        "serial": version.serial,
        "sha256": version.sha256,
        "state": version.state,
        "not_before": version.not_before,
        "not_after": version.not_after,
    }
