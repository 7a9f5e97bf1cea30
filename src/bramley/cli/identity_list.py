"""`bramley identity list` and `bramley identity rescue`: how identities stand, and which devices have to be brought back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from bramley.cli.arguments import duration, moment
from bramley.cli.session import Session
from bramley.cli.verbs import Verb
from bramley.model.enrollments import Enrollment, weakness
from bramley.model.lineages import VersionState
from bramley.operations import identity_rescue, identity_standing
from bramley.operations.identity_rescue import Rescue, Way
from bramley.operations.identity_standing import Renewal, Standing
from bramley.operations.installation import Installation


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley identity`."""
    app.command("list", cls=Verb)(list_)
    app.command("rescue", cls=Verb)(rescue)


def list_(
    ctx: typer.Context,
    state: Annotated[
        list[VersionState] | None,
        typer.Option(help="Only this state; repeatable. By default what is in force, suspended, or not used yet."),
    ] = None,
    expires_before: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only what ends before then: 30d from now, or a date such as 2027-03-31.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1000,
) -> None:
    """List device identities: when each ends and is to be renewed, and what the device said to the last renewal."""
    session = Session(ctx)

    async def read(installation: Installation) -> Sequence[Standing]:
        before = None if expires_before is None else moment(expires_before, installation.clock.now())
        states = state or identity_standing.STANDING
        return await identity_standing.listing(installation, states=states, ends_before=before, limit=limit)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([_as_json(each) for each in found])
        return
    session.output.table(
        ("device", "name", "serial", "state", "by", "ends (UTC)", "renewed from (UTC)", "last renewal (UTC)", "answer"),
        [
            (
                _device(each.enrollment),
                each.enrollment.device_name,
                each.version.serial,
                each.version.state,
                route_in_words(each.route),
                each.version.not_after,
                each.due_at,
                each.renewal and each.renewal.started_at,
                each.obstacle or (each.renewal and each.renewal.words),
            )
            for each in found
        ],
        empty="No such identities.",
        spare=("name", "serial", "renewed from (UTC)"),
    )
    session.output.cut(found, limit)


def rescue(
    ctx: typer.Context,
    within: Annotated[str, typer.Option(metavar="TIME", help="Also what expires within that time: 30d, 2w.")] = "30d",
    silent: Annotated[str, typer.Option(metavar="TIME", help="... of a device that was not heard of for so long.")] = "7d",
) -> None:
    """List the devices whose identity has expired, or soon will while they are silent, and what brings each of them back.

    Exits 1 where there is a device that cannot be renewed over the air any more.
    """
    session = Session(ctx)
    soon, long_ago = duration(within), duration(silent)

    async def read(installation: Installation) -> Sequence[Rescue]:
        return await identity_rescue.rescue(installation, within=soon, silent=long_ago)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([_rescue_as_json(each) for each in found])
    else:
        session.output.table(
            ("device", "name", "serial number", "state", "identity ends (UTC)", "silent since (UTC)", "last renewal", "way back"),
            [
                (
                    _device(each.standing.enrollment),
                    each.standing.enrollment.device_name,
                    each.standing.enrollment.serial_number,
                    each.standing.enrollment.state,
                    each.standing.version.not_after,
                    each.silent_since,
                    each.standing.renewal and each.standing.renewal.words,
                    each.words,
                )
                for each in found
            ],
            empty=f"No identity has expired, and none of a device that is silent expires within {_days(soon)}.",
            spare=("name", "serial number", "last renewal"),
        )
    if any(each.way is not Way.OVER_THE_AIR for each in found):
        raise typer.Exit(1)


def _device(enrollment: Enrollment) -> str:
    return enrollment.id or enrollment.key


def route_in_words(route: str) -> str:
    """How an identity came, and what is weak about it."""
    return f"{route} ({weak})" if (weak := weakness(route)) else route


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):g} days"


def _as_json(standing: Standing) -> dict[str, object]:
    version, enrollment = standing.version, standing.enrollment
    return {
        "device_key": enrollment.key,
        "device_id": enrollment.id,
        "device_name": enrollment.device_name,
        "serial_number": enrollment.serial_number,
        "device_state": enrollment.state,
        "serial": version.serial,
        "sha256": version.sha256,
        "state": version.state,
        "route": standing.route,
        "weakness": weakness(standing.route),
        "not_before": version.not_before,
        "not_after": version.not_after,
        "due_at": standing.due_at,
        "last_seen_at": enrollment.last_seen_at,
        "renewal": renewal_as_json(standing.renewal),
        "obstacle": standing.obstacle or None,
    }


def renewal_as_json(renewal: Renewal | None) -> dict[str, object] | None:
    """A renewal, with the device's error chain."""
    if renewal is None:
        return None
    return {
        "started_at": renewal.started_at,
        "command_uuid": renewal.command_uuid,
        "state": renewal.state,
        "answered_at": renewal.answered_at,
        "not_now_count": renewal.not_now_count,
        "error_chain": [{"domain": e.domain, "code": e.code, "description": e.description} for e in renewal.errors],
    }


def _rescue_as_json(one: Rescue) -> dict[str, object]:
    return _as_json(one.standing) | {
        "expired": one.expired,
        "silent_since": one.silent_since,
        "way": one.way,
        "renewable_until": one.until,
        "words": one.words,
    }
