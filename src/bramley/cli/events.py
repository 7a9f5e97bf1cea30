"""`bramley events`: what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from bramley.cli.session import Session
from bramley.cli.verbs import Verb, sole
from bramley.model.events import Event, EventKind
from bramley.operations import devices
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx

app = sole("What happened: who, when, what.")


@app.command("events", cls=Verb)
def events(
    ctx: typer.Context,
    kind: Annotated[EventKind | None, typer.Option(help="Only this kind.", show_choices=False, metavar="KIND")] = None,
    device: Annotated[str | None, typer.Option(help="Only of this device: UDID, EnrollmentID or our key.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest.")] = 100,
) -> None:
    """Print what happened, newest first: every change of state, and every refusal."""
    session = Session(ctx)

    def find(tx: Tx) -> Sequence[Event]:
        key = devices.resolve(tx, device).key if device else None
        return tx.events.find(kind=kind, enrollment_key=key, limit=limit)

    async def read(installation: Installation) -> Sequence[Event]:
        return await installation.store.read(find)

    found = session.run(read)
    if session.output.as_json:
        session.output.json([as_json(event) for event in found])
        return
    session.output.table(
        ("at (UTC)", "kind", "actor", "device", "detail"),
        [(e.at, e.kind, e.actor, e.enrollment_key or "", ", ".join(f"{k}={v}" for k, v in e.detail.items())) for e in found],
        empty="No such events.",
    )


def as_json(event: Event) -> dict[str, object]:
    """An event as `--json` shows it."""
    return {
        "id": event.id,
        "at": event.at,
        "kind": event.kind,
        "actor": event.actor,
        "enrollment_key": event.enrollment_key,
        "version_id": event.version_id,
        "detail": dict(event.detail),
    }
