"""`bramley profile signer` and `package-signer`: whose signature profiles and packages get, and the identities kept for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from bramley.cli.arguments import read_file, read_password
from bramley.cli.output import text
from bramley.cli.profile_files import public_roots
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.model.lineages import Version
from bramley.operations import package_signers, signers
from bramley.operations.installation import Installation
from bramley.operations.package_signers import PackageSigner
from bramley.operations.signers import Imported, Signer, Standing
from bramley.pki import certificates, names, pairs

profiles = noun("Which identity signs profiles.")
packages = noun("The identity that is kept to sign installer packages.")

FilesArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE", help="The identity with its chain: PKCS#12, or PEM in several files.")
]
PasswordOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A file whose first line is the password of the identity.")
]


def register(app: typer.Typer) -> None:
    """Adds both nouns to `bramley profile`."""
    app.add_typer(profiles, name="signer")
    app.add_typer(packages, name="package-signer")


@profiles.command("import", cls=Verb)
def import_(
    ctx: typer.Context, files: FilesArgument, password_file: PasswordOption = None, dry_run: DryRunOption = False
) -> None:
    """Keep an identity to sign profiles with, such as Apple's Developer ID Application, in the place of the former.

    Its chain has to be whole: devices fetch no certificates. The root may be missing where devices come with it.
    """
    session, contents, password = Session(ctx), _read(files), read_password(password_file)

    async def act(installation: Installation) -> Imported:
        return await signers.import_files(installation, contents, password, public=public_roots(), actor=ACTOR)

    done = session.run(act, dry_run=dry_run)
    if session.output.as_json:
        shown = {"dry_run": dry_run, "id": done.version.id, "signs": done.signs, "warnings": list(done.warnings)}
        session.output.json(shown | {"chain": _chain_as_json(done.chain)})
        return
    for each in done.warnings:
        session.output.remark(f"warning: {each}")
    session.output.line(f"{names.text(done.chain[0].subject)}: {'would be ' if dry_run else ''}kept")
    if not done.signs:
        session.output.remark("`bramley profile signer use imported` has it sign what goes out.")


@profiles.command("use", cls=Verb)
def use(
    ctx: typer.Context,
    signer: Annotated[Signer, typer.Argument(metavar="own|https|imported", help="Which one.")],
    dry_run: DryRunOption = False,
) -> None:
    """Choose which identity signs what goes out from now on; profiles on devices stay, and nothing is sent again for it.

    Once it has ended nothing is signed, until another is chosen or imported.
    """
    session = Session(ctx)

    async def act(installation: Installation) -> Standing:
        return await signers.choose(installation, signer, actor=ACTOR)

    chosen = session.run(act, dry_run=dry_run)
    if session.output.as_json:
        session.output.json({"dry_run": dry_run, **_as_json(chosen)})
        return
    session.output.line(f"{names.text(chosen.chain[0].subject)}: {'would sign' if dry_run else 'signs'} profiles")


@profiles.command("show", cls=Verb)
def show(ctx: typer.Context) -> None:
    """Show the identities that may sign profiles, and which one does."""
    session = Session(ctx)
    found = session.run(signers.standings)
    if session.output.as_json:
        session.output.json([_as_json(each) for each in found])
        return
    session.output.table(
        ("signer", "signs", "subject", "issuer", "ends (UTC)"),
        [
            (each.signer, each.signs, names.text(each.chain[0].subject), names.text(each.chain[0].issuer), each.ends)
            for each in found
        ],
        empty="There is none: `bramley serve` makes one at its start.",
        spare=("issuer",),
    )


@packages.command("import", cls=Verb)
def import_package_signer(
    ctx: typer.Context, files: FilesArgument, password_file: PasswordOption = None, dry_run: DryRunOption = False
) -> None:
    """Keep an identity to sign packages with, such as Apple's Developer ID Installer, in the place of the former."""
    session, contents, password = Session(ctx), _read(files), read_password(password_file)

    async def act(installation: Installation) -> tuple[Version, PackageSigner]:
        return await package_signers.import_files(installation, contents, password, actor=ACTOR)

    version, signer = session.run(act, dry_run=dry_run)
    if session.output.as_json:
        shown = {"dry_run": dry_run, "id": version.id, "warnings": list(signer.warnings)}
        session.output.json(shown | {"chain": _chain_as_json(signer.identity.chain)})
        return
    for each in signer.warnings:
        session.output.remark(f"warning: {each}")
    session.output.line(f"{version.subject}: {'would be ' if dry_run else ''}kept")


@packages.command("show", cls=Verb)
def show_package_signer(ctx: typer.Context) -> None:
    """Show the identity that is kept to sign packages, and what a Mac may have against it."""
    session = Session(ctx)
    found = session.run(package_signers.kept)
    chain, warnings = (found.identity.chain, found.warnings) if found else ((), ())
    if session.output.as_json:
        session.output.json({"chain": _chain_as_json(chain), "warnings": list(warnings)})
        return
    if not chain:
        session.output.line("None is kept. `bramley profile package-signer import` keeps one.")
        return
    links = [f"{names.text(each.subject)}, until {text(each.not_valid_after_utc)} UTC" for each in chain]
    rows = [("signer" if not index else "issued by", link) for index, link in enumerate(links)]
    session.output.fields("package signer", [*rows, *(("warning", each) for each in warnings)])


def _read(files: Sequence[Path]) -> list[bytes]:
    return [read_file(each, "identity", most=pairs.LARGEST) for each in files]


def _as_json(standing: Standing) -> dict[str, object]:
    shown = {"signer": standing.signer, "signs": standing.signs, "ends": standing.ends}
    return shown | {"chain": _chain_as_json(standing.chain)}


def _chain_as_json(chain: Sequence[x509.Certificate]) -> list[dict[str, object]]:
    return [
        {"subject": names.text(each.subject), "sha256": certificates.sha256(each), "not_after": each.not_valid_after_utc}
        for each in chain
    ]
