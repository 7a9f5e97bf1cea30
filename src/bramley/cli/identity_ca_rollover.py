"""`bramley identity ca rollover`, `request` and `import`: the identity CA replaced while devices go on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.cli.arguments import duration, read_file, read_password, write_new
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.errors import BadInput
from bramley.model.lineages import Version
from bramley.operations import ca_import, ca_plan, ca_rollover
from bramley.operations import root_key as root_keys
from bramley.operations.ca_import import Import, Request
from bramley.operations.ca_plan import Mode, Rollover
from bramley.operations.installation import Installation
from bramley.pki import names
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.pairs import LARGEST

UseAfterOption = Annotated[
    timedelta | None,
    typer.Option(
        parser=duration,
        metavar="TIME",
        help="Before it issues, keep it prepared for at least so long, such as 14d: for clients that ask SCEP for the next CA.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley identity ca`."""
    app.command("rollover", cls=Verb)(rollover)
    app.command("request", cls=Verb)(request)
    app.command("import", cls=Verb)(import_)


def rollover(
    ctx: typer.Context,
    same_key: Annotated[
        bool, typer.Option("--same-key", help="Begin one to a certificate for the same key, which lives longer.")
    ] = False,
    new_key: Annotated[bool, typer.Option("--new-key", help="Begin one to a new key, under a name of its own.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give up one whose new CA has issued nothing yet.")] = False,
    algorithm: Annotated[
        KeyAlgorithm | None, typer.Option(help="Of a new key; by default as in force. An elliptic one is served by an RA.")
    ] = None,
    use_after: UseAfterOption = None,
    root_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The root's private key, where it is offline; it is used and not kept.")
    ] = None,
    root_password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is its password.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Replace the identity CA while devices go on; without an option, show how far that is.

    The running server trusts the new CA beside the old, lets it issue, and withdraws the old one when no identity needs it any
    more. Each step waits for the one before it, and survives a restart.
    """
    session = Session(ctx)
    if same_key + new_key + cancel > 1:
        raise BadInput("--same-key, --new-key and --cancel exclude each other.")
    if not (same_key or new_key) and (algorithm or use_after or root_key):
        raise BadInput("--algorithm goes with --new-key; --use-after and --root-key with --new-key or --same-key.")
    exported = read_file(root_key, "root's key", most=LARGEST) if root_key else None
    password = read_password(root_password_file)
    if not (same_key or new_key or cancel):
        _show(session, session.run(ca_plan.standing), dry_run=dry_run)
        return
    mode = Mode.SAME_KEY if same_key else Mode.NEW_KEY

    async def act(installation: Installation) -> Rollover:
        if cancel:
            return await ca_rollover.cancel(installation, actor=ACTOR)
        after = use_after or timedelta()
        lent = await root_keys.lent(installation, exported, password) if exported else None
        return await ca_rollover.begin(installation, mode, algorithm=algorithm, use_after=after, root_key=lent, actor=ACTOR)

    _show(session, session.run(act, dry_run=dry_run), dry_run=dry_run)


def request(
    ctx: typer.Context,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write (PEM).")] = Path(
        "IdentityCA.csr"
    ),
    new_key: Annotated[
        bool, typer.Option("--new-key", help="For a new key, which stays here, in place of the one in force.")
    ] = False,
    algorithm: Annotated[KeyAlgorithm, typer.Option(help="Of a new key.")] = KeyAlgorithm.RSA_2048,
) -> None:
    """Make a request by which your organization's CA can certify the identity CA: for the key in force, or a new one."""
    session = Session(ctx)

    async def ask(installation: Installation) -> Request:
        return await ca_import.ask(installation, algorithm if new_key else None, actor=ACTOR)

    asked = session.run(ask)
    write_new(output, asked.request.public_bytes(Encoding.PEM))
    if session.output.as_json:
        session.output.json({"output": output, "subject": names.text(asked.request.subject), "found": asked.found})
        return
    session.output.line(str(output))
    session.output.remark(f"A request for {names.text(asked.request.subject)}, as a CA without CAs below it.")
    session.output.remark("Next: `bramley identity ca import` the certificate that comes of it, with those above it.")


def import_(
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="CA certificate, its chain, and its key: PKCS#12, PEM or DER.")
    ],
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password of the key or the archive.")
    ] = None,
    use_after: UseAfterOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Bring in an identity CA that was made or certified elsewhere, and roll over to it.

    The key may be left out where it is here: the one in force, or that of a request. The chain must be whole, up to a root.
    """
    session = Session(ctx)
    contents = [read_file(file, "file", most=LARGEST) for file in files]
    password = read_password(password_file)

    async def put(installation: Installation) -> Import:
        after = use_after or timedelta()
        return await ca_import.import_files(installation, contents, password, use_after=after, actor=ACTOR)

    done = session.run(put, dry_run=dry_run)
    for warning in done.warnings:
        session.output.remark(f"Warning: {warning}")
    _show(session, done.rollover, dry_run=dry_run, warnings=done.warnings)


def _show(session: Session, rollover: Rollover | None, *, dry_run: bool, warnings: tuple[str, ...] = ()) -> None:
    if session.output.as_json:
        session.output.json(None if rollover is None else _as_json(rollover) | {"dry_run": dry_run, "warnings": warnings})
        return
    if rollover is None:
        session.output.remark("No rollover of the identity CA is under way.")
        return
    plan, step = rollover.plan, rollover.step
    session.output.fields(
        "rollover of the identity CA" + (" (nothing was changed)" if dry_run else ""),
        [
            ("from", _shown(rollover.old)),
            ("to", _shown(rollover.new)),
            ("key", "the same" if rollover.mode is Mode.SAME_KEY else "new"),
            ("reached", plan.stage if step else plan.state),
            ("next step", step.act if step else None),
            ("waits for", step.waits_for or "the running server" if step else None),
        ],
    )


def _shown(version: Version) -> str:
    return f"{version.subject}, until {version.not_after:%Y-%m-%d}"


def _as_json(rollover: Rollover) -> dict[str, object]:
    plan, step = rollover.plan, rollover.step
    return {
        "id": plan.id,
        "mode": rollover.mode,
        "state": plan.state,
        "stage": plan.stage,
        "old": _version_as_json(rollover.old),
        "new": _version_as_json(rollover.new),
        "next": {"step": step.act, "due": step.due, "waits_for": step.waits_for, "at": step.at} if step else None,
    }


def _version_as_json(version: Version) -> dict[str, object]:
    return {"id": version.id, "subject": version.subject, "sha256": version.sha256, "not_after": version.not_after}
