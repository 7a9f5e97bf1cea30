"""`bramley push import`: a push certificate in whatever files it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file, read_password
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.model.push import Route
from bramley.operations.installation import Installation
from bramley.operations.push import importing
from bramley.operations.push.importing import Import, Terms
from bramley.pki import certificates
from bramley.pki.pairs import LARGEST


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("import", cls=Verb)(import_)


def import_(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Certificate, or certificate and key: PKCS#12, PEM or DER.")
    ],
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The private key, where no other file holds it and it was not made here.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password of the key or the archive.")
    ] = None,
    account: Annotated[str, typer.Option(metavar="NAME", help="The Apple Account that it was made with; kept on record.")] = "",
    route: Annotated[Route | None, typer.Option(help="How it came to be; kept on record.")] = None,
    other_devices: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Bring in another topic, though N enrolled devices listen to other ones."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Bring in a push certificate. One whose topic is not the enrolled devices' is refused: it would lose them all.

    A renewed one is tried with one push before it takes over; until then the former goes on.
    """
    session = Session(ctx)
    contents = [read_file(file, "file", most=LARGEST) for file in (*files, *([key] if key else []))]
    password = read_password(password_file)
    terms = Terms(other_devices, account, route, dry_run)

    async def put(installation: Installation) -> tuple[Import, str]:
        done = await importing.import_files(installation, contents, password, actor=ACTOR, terms=terms)
        return done, await importing.account_of(installation, done.topic)

    done, on_record = session.run(put)
    for warning in done.warnings:
        session.output.remark(f"Warning: {warning}")
    if session.output.as_json:
        session.output.json(_as_json(done, on_record, dry_run=dry_run))
        return
    end = f"{done.certificate.not_valid_after_utc:%Y-%m-%d}"
    if dry_run:
        session.output.line(f"The push certificate of {done.topic}, until {end}, could be imported; nothing was changed.")
    elif done.on_trial:
        session.output.line(f"The push certificate of {done.topic}, until {end}, is on trial.")
        session.output.remark("The running server tries it with one push; until that succeeds, the former stays in force.")
    else:
        session.output.line(f"The push certificate of {done.topic} is in force. It ends on {end}.")
    if not on_record and not dry_run:
        session.output.remark(
            "Nobody noted the Apple Account it was made with, and only that account can renew it: `bramley push account NAME`."
        )


def _as_json(done: Import, account: str, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "id": done.version.id if done.version else None,
        "state": done.version.state if done.version else None,
        "on_trial": done.on_trial,
        "topic": done.topic,
        "account": account,
        "not_after": done.certificate.not_valid_after_utc,
        "sha256": certificates.sha256(done.certificate),
        "warnings": list(done.warnings),
    }
