"""`bramley identity ca trust` and `distrust`: outside CAs whose identities are believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.errors import BadInput
from bramley.model.lineages import Version
from bramley.operations import trusted_cas
from bramley.operations.installation import Installation
from bramley.operations.trusted_cas import TrustedCA
from bramley.pki import certificates, names, pairs


def register(app: typer.Typer) -> None:
    """Adds the verbs to `bramley identity ca`."""
    app.command("trust", cls=Verb)(trust)
    app.command("distrust", cls=Verb)(distrust)


def trust(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The certificate of the issuing CA, PEM or DER; without it, list them.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Believe the identities of an outside CA: an organization's own, or that of a former MDM; without FILE, list those.

    Only identities on record count: by themselves its certificates let nobody in.
    """
    session = Session(ctx)
    if file is None:
        _list(session)
        return
    found = pairs.read_certificates([read_file(file, "certificate", most=pairs.LARGEST)])
    if len(found) != 1:
        raise BadInput(f"Expected one certificate, that of the issuing CA; found {len(found)}.", advice="Give it by itself.")

    async def act(installation: Installation) -> Version:
        return await trusted_cas.trust(installation, found[0], actor=ACTOR)

    _tell(session, session.run(act, dry_run=dry_run), "trusted", dry_run)


def distrust(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CA", help="Its SHA-256, serial number or id.")],
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Believe an outside CA no more: devices with an identity of it are refused from their next request on."""
    session = Session(ctx)

    async def act(installation: Installation) -> tuple[Version, int]:
        return await trusted_cas.distrust(installation, name, actor=ACTOR)

    version, shut_out = session.run(act, dry_run=True)
    if not dry_run:
        session.confirm(f"Distrust {version.subject}? It shuts {shut_out} device(s) out.", yes=yes)
        version, shut_out = session.run(act)
    _tell(session, version, f"no longer trusted; {shut_out} device(s) shut out", dry_run)


def _list(session: Session) -> None:
    async def read(installation: Installation) -> Sequence[TrustedCA]:
        return await installation.store.read(trusted_cas.read)

    found = session.run(read)
    if session.output.as_json:
        session.output.json(
            [
                {
                    "id": each.version,
                    "subject": names.text(each.certificate.subject),
                    "sha256": certificates.sha256(each.certificate),
                    "not_after": each.certificate.not_valid_after_utc,
                }
                for each in found
            ]
        )
        return
    rows = [
        (names.text(each.certificate.subject), each.certificate.not_valid_after_utc, certificates.sha256(each.certificate))
        for each in found
    ]
    session.output.table(("outside CA", "ends (UTC)", "SHA-256"), rows, empty="No outside CA is trusted.")


def _tell(session: Session, version: Version, done: str, dry_run: bool) -> None:
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, "id": version.id, "subject": version.subject, "sha256": version.sha256})
        return
    session.output.line(f"{version.subject}: {done}{' (nothing was changed)' if dry_run else ''}")
