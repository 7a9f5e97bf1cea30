"""`bramley scep`: SCEP requests that wait for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.model.approvals import ApprovalState
from bramley.operations import approvals
from bramley.operations.approvals import Asked
from bramley.operations.installation import Installation
from bramley.operations.live import Live

app = noun("SCEP requests that wait for a person: list, approve, deny.")

RequestArgument = Annotated[str, typer.Argument(metavar="ID", help="The request, as `bramley scep requests` names it.")]

_COLUMNS = ("id", "state", "asked", "link", "subject", "key", "decided by")


@app.command("requests", cls=Verb)
def requests(
    ctx: typer.Context,
    state: Annotated[ApprovalState, typer.Option(help="In which state.")] = ApprovalState.WAITING,
    every: Annotated[bool, typer.Option("--all", help="In any state.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
) -> None:
    """List requests, newest first. What a client would like to be called decides nothing: anyone may write anything there."""
    session = Session(ctx)
    found = session.run(lambda installation: approvals.listing(installation, None if every else state, limit=limit))
    if session.output.as_json:
        session.output.json([_as_json(asked) for asked in found])
        return
    rows = [_row(asked) for asked in found]
    session.output.table(_COLUMNS, rows, empty="No request.", spare=("key", "decided by", "link"))


@app.command("approve", cls=Verb)
def approve(ctx: typer.Context, request: RequestArgument, dry_run: DryRunOption = False) -> None:
    """Issue the identity that a request asks for. Its device gets it when it asks again."""
    session = Session(ctx)

    async def act(installation: Installation) -> Asked:
        return await approvals.approve(await Live.start(installation), request, actor=ACTOR)

    _tell(session, session.run(act, dry_run=dry_run), dry_run)


@app.command("deny", cls=Verb)
def deny(
    ctx: typer.Context,
    request: RequestArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the events, and not told to the device.")] = "",
    dry_run: DryRunOption = False,
) -> None:
    """Refuse a request for good. Its link counts as used; for another try the device needs a new one."""
    session = Session(ctx)

    async def act(installation: Installation) -> Asked:
        return await approvals.deny(installation, request, reason=reason, actor=ACTOR)

    _tell(session, session.run(act, dry_run=dry_run), dry_run)


def _tell(session: Session, asked: Asked, dry_run: bool) -> None:
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, **_as_json(asked)})
        return
    would = "would be " if dry_run else ""
    session.output.line(f"{would}{asked.approval.state}: {asked.approval.id}, {asked.subject}")


def _row(asked: Asked) -> tuple[object, ...]:
    approval = asked.approval
    return approval.id, approval.state, approval.created_at, asked.label, asked.subject, asked.key, approval.decided_by


def _as_json(asked: Asked) -> dict[str, object]:
    approval = asked.approval
    return {
        "id": approval.id,
        "state": approval.state,
        "transaction_id": approval.transaction_id,
        "subject": asked.subject,
        "key": asked.key,
        "spki_sha256": approval.spki_sha256,
        "device_key": approval.enrollment_key,
        "link": asked.label,
        "created_at": approval.created_at,
        "changed_at": approval.changed_at,
        "decided_by": approval.decided_by,
        "version_id": approval.version_id,
    }
