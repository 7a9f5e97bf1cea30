"""`bramley identity import`: devices that a former MDM enrolled go on here, with the identities they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.errors import BadInput
from bramley.operations import former_lines, former_mdm
from bramley.operations.former_lines import FormerEnrollment, Problem
from bramley.operations.former_mdm import Imported
from bramley.operations.installation import Installation
from bramley.profiles.documents import LARGEST as LARGEST_PROFILE

LARGEST = 1024 * 1024 * 1024
LARGEST_MESSAGE = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Adds the verb to `bramley identity`."""
    app.command("import", cls=Verb)(import_)


def import_(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|FOLDER...", help="JSON, one enrollment a line; or a folder of NanoMDM's file storage."),
    ],
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="MOBILECONFIG", help="The enrollment profile that these devices have: without it none can be renewed."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out lines that cannot be used, and write the others.")
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Take over devices that a former MDM enrolled, without enrolling them again.

    Trust the former CA before (`bramley identity ca trust`), and import the push certificate (`bramley push import`). What is
    here already is left alone. Exits 2 and changes nothing where a line cannot be used, unless --skip-bad is given.
    """
    session = Session(ctx)
    lines = [line for path in files for line in _lines(path)]
    known = None if profile is None else read_file(profile, "profile", most=LARGEST_PROFILE)

    async def act(installation: Installation) -> Imported:
        return await former_mdm.import_enrollments(installation, lines, profile=known, skip_bad=skip_bad, actor=ACTOR)

    done = session.run(act, dry_run=dry_run)
    refused = bool(done.problems) and not skip_bad
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "changed": not (dry_run or refused), **_as_json(done)})
    else:
        _tell(session, done, dry_run=dry_run, refused=refused)
    if refused:
        raise typer.Exit(2)


def _lines(path: Path) -> Iterator[FormerEnrollment | Problem]:
    if not path.is_dir():
        return former_lines.read_lines(read_file(path, "file", most=LARGEST), path.name)
    folders = {each.parent for name in former_lines.FILE_NAMES for each in path.rglob(name)}
    if not folders:
        raise BadInput(
            f"The folder {path} holds no Authenticate.plist or TokenUpdate.plist.",
            advice="Give the folder of NanoMDM's file storage, or export to JSON: see the how-to on moving from another MDM.",
        )
    return former_lines.read_folders({str(folder): _files(folder) for folder in sorted(folders)})


def _files(folder: Path) -> dict[str, bytes]:
    names = [name for name in sorted(former_lines.FILE_NAMES) if (folder / name).is_file()]
    return {name: read_file(folder / name, "file", most=LARGEST_MESSAGE) for name in names}


def _as_json(done: Imported) -> dict[str, object]:
    return {
        "brought": done.written.brought,
        "completed": done.written.completed,
        "known": done.written.known,
        "problems": [asdict(problem) for problem in done.problems],
        "warnings": done.warnings,
    }


def _tell(session: Session, done: Imported, *, dry_run: bool, refused: bool) -> None:
    for problem in done.problems:
        at = ": ".join(filter(None, (problem.where, problem.field)))
        session.output.remark(f"{at}: {problem.message} {problem.advice}".rstrip())
    if refused:
        session.output.remark(f"{_count(done.problems, 'line')} cannot be used; nothing was changed. --skip-bad leaves them out.")
        return
    for warning in done.warnings:
        session.output.marked("!", "yellow", warning)
    would = "would be " if dry_run else ""
    written = done.written
    session.output.line(
        f"{would}brought in: {len(written.brought)}; {would}given their profile: {len(written.completed)}; "
        f"left alone: {len(written.known)}; left out: {len(done.problems)}"
    )


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"
