"""`bramley inspect`: what a certificate-like file is."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bramley.cli.arguments import read_file, read_password
from bramley.cli.output import Output, text
from bramley.cli.session import Session
from bramley.cli.verbs import Verb, sole
from bramley.clock import SystemClock
from bramley.errors import BadInput

if TYPE_CHECKING:
    from bramley.operations.inspection import Finding

app = sole("What any certificate-like file is, and what it is for.")

_STDIN = Path("-")


@app.command("inspect", cls=Verb)
def inspect(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Any file of keys, certificates, profiles or tokens; - is stdin.")],
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password of a key or an archive.")
    ] = None,
) -> None:
    """Say what a file is, what it is for in MDM, whose, until when, and which command takes it.

    Nothing is stored and nothing leaves this machine. Exits 1 for what is not known, or has a signature that does not hold.
    """
    from bramley.operations.inspection import LARGEST, What
    from bramley.operations.inspection import inspect as look
    from bramley.operations.push.apple_cas import roots

    session, now = Session(ctx), SystemClock().now()
    data = _stdin(LARGEST) if file == _STDIN else read_file(file, "file", most=LARGEST)
    finding = look(data, password=read_password(password_file), now=now, roots=roots(session.settings()))
    if session.output.as_json:
        session.output.json(finding_as_json(finding, now))
    else:
        show_finding(session.output, finding, now)
    if finding.what in (What.UNKNOWN, What.EMPTY) or finding.any_broken:
        raise typer.Exit(1)


def _stdin(most: int) -> bytes:
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise BadInput(f"What came on stdin is larger than {most} bytes.", advice="Is it the right file?")
    return data


def show_finding(output: Output, finding: Finding, now: datetime) -> None:
    """What was found, for people."""
    output.fields(
        finding.what,
        [
            ("for", finding.purpose),
            ("whose", finding.owner),
            ("valid from", finding.not_before or ""),
            ("valid until", _until(finding, now)),
            ("take it with", finding.command),
            *finding.details.items(),
            *(("warning", each) for each in finding.warnings),
            *(("inside", line) for each in finding.inside for line in _lines(each, now, "")),
        ],
    )


def _lines(finding: Finding, now: datetime, indent: str) -> list[str]:
    """What is inside, a thing a line, and what is in it below."""
    name = str(finding.details.get("use", finding.what))
    said = ", ".join(filter(None, (finding.owner, _until(finding, now))))
    first = f"{indent}{name}: {said}" if said else f"{indent}{name}"
    below = [f"{indent}  warning: {each}" for each in finding.warnings]
    return [first, *below, *(line for each in finding.inside for line in _lines(each, now, indent + "  "))]


def _until(finding: Finding, now: datetime) -> str:
    if finding.not_after is None:
        return ""
    days = (finding.not_after - now).days
    return f"{text(finding.not_after)} UTC, {f'{days} days left' if days >= 0 else f'over for {-days} days'}"


def finding_as_json(finding: Finding, now: datetime) -> dict[str, object]:
    """What was found, for machines."""
    return {
        "what": finding.what,
        "purpose": finding.purpose,
        "owner": finding.owner,
        "not_before": finding.not_before,
        "not_after": finding.not_after,
        "days_left": (finding.not_after - now).days if finding.not_after else None,
        "command": finding.command,
        "details": {name.replace(" ", "_").lower(): value for name, value in finding.details.items()},
        "warnings": list(finding.warnings),
        "broken": finding.broken,
        "inside": [finding_as_json(each, now) for each in finding.inside],
    }
