"""`bramley simulate portal`: Apple's portals for vendor and push certificates on files, and Macs with Server.app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from bramley.apple.push.topic import topic_of
from bramley.cli.arguments import read_file, read_password, write_new
from bramley.cli.output import Output
from bramley.cli.session import Session
from bramley.cli.verbs import Verb, noun
from bramley.clock import SystemClock
from bramley.errors import BadInput
from bramley.pki import certificates
from bramley.sandbox.portals import SandboxApple, opened

portal = noun("Stand-ins for Apple's portals: vendor and push certificates for files, as strict as the real ones.")
_server_app = noun("A Mac with Server.app, whose Profile Manager gets its push certificate by itself.")
portal.add_typer(_server_app, name="server-app")

_LARGEST = 1024 * 1024

FolderOption = Annotated[Path, typer.Option(metavar="DIR", help="Where the stand-in for Apple is kept.")]
AccountOption = Annotated[str, typer.Option(metavar="NAME", help="The account that is signed in.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the result, a new file.")]
MachineOption = Annotated[str, typer.Option(metavar="NAME", help="Which Mac: only the one that made a topic can renew it.")]
_FOLDER = Path("apple-stand-in")


@portal.command("developer", cls=Verb)
def developer(
    ctx: typer.Context,
    csr: Annotated[Path, typer.Argument(metavar="CSR_FILE", help="The vendor's request, PEM or DER.")],
    account: AccountOption,
    output: OutputOption,
    folder: FolderOption = _FOLDER,
) -> None:
    """Get an MDM vendor certificate, as members of the Developer Enterprise Program do. An account may have three."""
    session, request = Session(ctx), read_file(csr, "request", most=_LARGEST)
    with opened(folder, SystemClock()) as apple:
        if account not in apple.developer.members:
            apple.developer.sign_up(account, enterprise=True)
            session.output.remark(f"Made the developer account {account}, with an Enterprise membership.")
        issued = apple.developer.issue_vendor(account, request)
        write_new(output, issued)
    _tell(session.output, certificates.load(issued), output)


@portal.command("create", cls=Verb)
def create(
    ctx: typer.Context,
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The push certificate request that a vendor signed.")],
    account: AccountOption,
    output: OutputOption,
    folder: FolderOption = _FOLDER,
) -> None:
    """Create a push certificate, with a NEW topic."""
    session, file = Session(ctx), read_file(request, "request", most=_LARGEST)
    with opened(folder, SystemClock()) as apple:
        _sign_up(session.output, apple, account)
        issued = apple.identity.create(account, file)
        write_new(output, certificates.pem(issued))
    _tell(session.output, issued, output, topic_of(issued))


@portal.command("renew", cls=Verb)
def renew(
    ctx: typer.Context,
    request: Annotated[Path, typer.Argument(metavar="REQUEST", help="The push certificate request that a vendor signed.")],
    account: AccountOption,
    topic: Annotated[str, typer.Option(help="Which of the account's certificates to renew.")],
    output: OutputOption,
    folder: FolderOption = _FOLDER,
) -> None:
    """Renew a push certificate: the topic stays. Only the account that created it can."""
    session, file = Session(ctx), read_file(request, "request", most=_LARGEST)
    with opened(folder, SystemClock()) as apple:
        issued = apple.identity.renew(account, topic, file)
        write_new(output, certificates.pem(issued))
    _tell(session.output, issued, output, topic_of(issued))


@portal.command("list", cls=Verb)
def list_(
    ctx: typer.Context,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only what this account sees.")] = None,
    folder: FolderOption = _FOLDER,
) -> None:
    """List push certificates: topic, account, end."""
    session = Session(ctx)
    with opened(folder, SystemClock()) as apple:
        accounts = sorted(apple.identity.accounts) if account is None else [account]
        rows = [row for each in accounts for row in apple.identity.list(each)]
    if session.output.as_json:
        session.output.json(
            [
                {
                    "topic": row.topic,
                    "account": row.account,
                    "issued": len(row.issued),
                    "not_after": row.newest.not_valid_after_utc,
                    "revoked": row.revoked,
                }
                for row in rows
            ]
        )
        return
    cells = [(row.topic, row.account, len(row.issued), row.newest.not_valid_after_utc, row.revoked) for row in rows]
    session.output.table(("topic", "account", "issued", "until", "revoked"), cells, empty="No push certificates.")


@_server_app.command("export", cls=Verb)
def export(
    ctx: typer.Context,
    account: AccountOption,
    output: OutputOption,
    password_file: Annotated[Path, typer.Option(metavar="FILE", help="A file whose first line is the archive's password.")],
    machine: MachineOption = "server",
    folder: FolderOption = _FOLDER,
) -> None:
    """Export key and certificate as PKCS#12, of the old kind that Keychain Access writes. Profile Manager is turned on first."""
    session, password = Session(ctx), read_password(password_file) or ""
    with opened(folder, SystemClock()) as apple:
        mac = apple.server_app(machine)
        if not mac.is_on:
            _sign_up(session.output, apple, account)
            mac.turn_on(account)
            session.output.remark(f"Turned Profile Manager on, on {machine}: its topic is new.")
        if mac.account != account:
            raise BadInput(f"Profile Manager on {machine} is signed in as {mac.account}.", advice="--machine names another Mac.")
        write_new(output, mac.export(password))
        issued = mac.certificate
    _tell(session.output, issued, output, topic_of(issued))


@_server_app.command("renew", cls=Verb)
def renew_server_app(ctx: typer.Context, machine: MachineOption = "server", folder: FolderOption = _FOLDER) -> None:
    """Renew the certificate of a Mac's Profile Manager; export it afterwards."""
    session = Session(ctx)
    with opened(folder, SystemClock()) as apple:
        issued = apple.server_app(machine).renew()
    _tell(session.output, issued, None, topic_of(issued))


def _sign_up(output: Output, apple: SandboxApple, account: str) -> None:
    if account not in apple.identity.accounts:
        apple.identity.sign_up(account)
        output.remark(f"Made the Apple Account {account}.")


def _tell(output: Output, issued: x509.Certificate, path: Path | None, topic: str | None = None) -> None:
    until = issued.not_valid_after_utc
    if output.as_json:
        output.json({"file": path, "topic": topic, "not_after": until, "sha256": certificates.sha256(issued)})
        return
    output.fields("Issued", [("file", path), ("topic", topic), ("valid until", until)])
