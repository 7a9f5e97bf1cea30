"""`bramley certs`: what expires, who is hurt if it does, and whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bramley.cli import events
from bramley.cli.arguments import moment
from bramley.cli.output import common_name
from bramley.cli.session import Session
from bramley.cli.verbs import Verb, noun
from bramley.errors import BadInput
from bramley.lifecycle import schedule
from bramley.lifecycle.next_step import NextStep, is_own, next_step
from bramley.model.enrollments import weakness
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import certificates
from bramley.operations.certificates import CertificateDetail
from bramley.operations.installation import Installation
from bramley.pki import certificates as pki_certificates
from bramley.storage.protocols import CertificateRow

app = noun("Certificates: what there is, when it ends, whose turn it is.")

OVER = frozenset({VersionState.SUPERSEDED, VersionState.RETIRED, VersionState.REVOKED, VersionState.FAILED})
"""States that are left out unless asked for."""

_COLUMNS = ("kind", "name / used by", "subject", "issuer", "serial", "ends (UTC)", "days left", "state", "next step")
_PAGE = 1000
_NEVER = datetime.max.replace(tzinfo=UTC)


@app.command("list", cls=Verb)
def list_(
    ctx: typer.Context,
    kind: Annotated[Kind | None, typer.Option(help="Only this kind.")] = None,
    state: Annotated[list[VersionState] | None, typer.Option(help="Only this state; can be repeated.")] = None,
    expires_before: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only what ends before: 30d, or 2027-03-31. Exits 1 if there is any.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what is superseded, retired, revoked or failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1000,
) -> None:
    """List certificates, the first to end first.

    Each with its end, its state, and the next step: who has to do what. --expires-before leaves out what the server replaces
    by itself, alone, until that is overdue.
    """
    session = Session(ctx)
    states = state or [each for each in VersionState if everything or each not in OVER]

    async def read(installation: Installation) -> tuple[Sequence[CertificateRow], datetime, timedelta]:
        now = installation.clock.now()
        before = moment(expires_before, now) if expires_before else None
        rows: list[CertificateRow] = []
        while len(rows) < limit:
            most = min(_PAGE, limit - len(rows))
            after = rows[-1].version.id if rows else None
            page = await certificates.listing(
                installation, kind=kind, states=states, expires_before=before, limit=most, after=after
            )
            rows += page
            if len(page) < most:
                break
        if before is not None:
            rows = [row for row in rows if not _replaced_in_time(row, now)]
        rows.sort(key=lambda row: row.version.not_after or _NEVER)
        return rows, now, timedelta(hours=installation.settings.identity.grace_hours)

    rows, now, grace = session.run(read)
    steps = [next_step(row.lineage, row.version, now, grace=grace) for row in rows]
    if session.output.as_json:
        session.output.json([_as_json(row, step, now) for row, step in zip(rows, steps, strict=True)])
    else:
        session.output.table(
            _COLUMNS,
            [_line(row, step, now) for row, step in zip(rows, steps, strict=True)],
            empty="No such certificates.",
            spare=("issuer", "subject", "serial"),
        )
        if len(rows) == limit:
            session.output.remark(f"These are the {limit} oldest; --limit shows more.")
    if expires_before and rows:
        raise typer.Exit(1)


def _replaced_in_time(row: CertificateRow, now: datetime) -> bool:
    """Whether the server will replace it by itself, which is not due yet: some live for a week, and no alert is about them."""
    return is_own(row.lineage) and not schedule.due(row.version, row.lineage.policy, now)


@app.command("show", cls=Verb)
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID|SERIAL|SHA256", help="Our id, the serial number, or the SHA-256, in hex.")],
    pem: Annotated[bool, typer.Option("--pem", help="Print the certificate itself.")] = False,
) -> None:
    """Show one certificate.

    Where it stands, who has to do what next, when its successor is due, and what happened to it.
    """
    session = Session(ctx)

    async def read(installation: Installation) -> tuple[CertificateDetail, datetime, timedelta]:
        grace = timedelta(hours=installation.settings.identity.grace_hours)
        return await certificates.show(installation, name), installation.clock.now(), grace

    detail, now, grace = session.run(read)
    step = next_step(detail.row.lineage, detail.row.version, now, grace=grace)
    if pem:
        typer.echo(_pem(detail), nl=False)
    elif session.output.as_json:
        session.output.json(
            _as_json(detail.row, step, now)
            | {
                "due_at": detail.due_at,
                "issuer_version": detail.issuer.id if detail.issuer else None,
                "versions": [{"id": v.id, "number": v.number, "state": v.state, "serial": v.serial} for v in detail.versions],
                "events": [events.as_json(event) for event in detail.events],
            }
        )
    else:
        _print(session, detail, step, now)


def _print(session: Session, detail: CertificateDetail, step: NextStep, now: datetime) -> None:
    version, lineage = detail.row.version, detail.row.lineage
    session.output.fields(
        f"{lineage.kind} {_used_by(detail.row)}",
        [
            ("id", version.id),
            ("version", f"{version.number} of {len(detail.versions)}"),
            ("state", f"{version.state}{', expired' if version.expired(now) else ''}"),
            ("weakness", weakness(lineage.route)),
            ("reason", version.reason),
            ("next step", f"{step.mover}: {step.text}"),
            ("subject", version.subject),
            ("issuer", version.issuer),
            ("serial", version.serial),
            ("SHA-256", version.sha256),
            ("key, SHA-256", version.spki_sha256),
            ("key held here", version.key_id is not None),
            ("begins", version.not_before),
            ("ends", version.not_after),
            ("successor due", detail.due_at),
            ("device", detail.row.enrollment_id),
        ],
    )
    session.output.table(
        ("at (UTC)", "event", "actor"), [(event.at, event.kind, event.actor) for event in detail.events], empty="No events."
    )


def _pem(detail: CertificateDetail) -> str:
    if detail.row.version.certificate is None:
        raise BadInput("This version has no certificate yet.")
    return pki_certificates.pem(pki_certificates.load(detail.row.version.certificate)).decode()


def _used_by(row: CertificateRow) -> str:
    return row.enrollment_id or row.enrollment_key or row.lineage.name


def _days_left(row: CertificateRow, now: datetime) -> int | None:
    return None if row.version.not_after is None else (row.version.not_after - now) // timedelta(days=1)


def _line(row: CertificateRow, step: NextStep, now: datetime) -> Sequence[object]:
    version = row.version
    return (
        row.lineage.kind,
        _used_by(row),
        common_name(version.subject),
        common_name(version.issuer),
        version.serial,
        version.not_after,
        _days_left(row, now),
        ", ".join(filter(None, (version.state, weakness(row.lineage.route)))),
        f"{step.mover}: {step.text}",
    )


def _as_json(row: CertificateRow, step: NextStep, now: datetime) -> dict[str, object]:
    version = row.version
    return {
        "id": version.id,
        "kind": row.lineage.kind,
        "name": row.lineage.name,
        "route": row.lineage.route,
        "weakness": weakness(row.lineage.route),
        "enrollment_key": row.enrollment_key,
        "enrollment_id": row.enrollment_id,
        "number": version.number,
        "state": version.state,
        "reason": version.reason,
        "expired": version.expired(now),
        "subject": version.subject,
        "issuer": version.issuer,
        "serial": version.serial,
        "sha256": version.sha256,
        "not_before": version.not_before,
        "not_after": version.not_after,
        "days_left": _days_left(row, now),
        "next_step": {"mover": step.mover, "text": step.text, "at": step.at},
    }
