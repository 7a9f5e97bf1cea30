"""`bramley push vendor`: the organization's own MDM vendor certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push_certificate import read_cas
from bramley.cli.arguments import read_file, read_password, write_new
from bramley.cli.push.requesting import CountryOption, EmailOption, NewKeyOption, OutputOption
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.model.lineages import Version
from bramley.operations.installation import Installation
from bramley.operations.push import vendor
from bramley.operations.push.vendor import VendorRequest
from bramley.pki import certificates
from bramley.pki.pairs import LARGEST, read_key

app = noun("The MDM vendor certificate (Apple Developer Enterprise Program), which signs requests for push certificates.")


@app.command("request", cls=Verb)
def request(
    ctx: typer.Context,
    email: EmailOption,
    account: Annotated[str, typer.Option(metavar="NAME", help="The developer account; kept on record.")] = "",
    country: CountryOption = "US",
    new_key: NewKeyOption = False,
    output: OutputOption = Path("VendorCertificateRequest.csr"),
) -> None:
    """Make a key, which stays here, and the request for Apple's developer portal (PEM)."""
    session = Session(ctx)

    async def ask(installation: Installation) -> VendorRequest:
        return await vendor.ask(installation, account=account, email=email, country=country, new_key=new_key, actor=ACTOR)

    asked = session.run(ask)
    write_new(output, asked.request.public_bytes(Encoding.PEM))
    if session.output.as_json:
        session.output.json({"id": asked.version.id, "found": asked.found, "output": output})
        return
    session.output.line(str(output))
    session.output.remark(
        "At developer.apple.com, Certificates, choose MDM CSR and upload it. Then `bramley push vendor import` what Apple gives."
    )


@app.command("import", cls=Verb)
def import_(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The certificate from the developer portal (.cer), PEM or DER.")],
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its private key, where it was not made here.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file whose first line is the key's password.")
    ] = None,
    chain: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Apple's CA certificates, where they are not to be fetched.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Fetch nothing from Apple.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Put a vendor certificate in force.

    Apple's intermediate and root are fetched once, checked against pinned roots, and kept.
    """
    session = Session(ctx)
    found = certificates.load(read_file(file, "certificate file", most=LARGEST))
    private = read_key(read_file(key, "key file", most=LARGEST), read_password(password_file)) if key else None
    cas = [each for path in chain or () for each in read_cas(read_file(path, "CA file", most=LARGEST))]

    async def put(installation: Installation) -> Version | None:
        return await vendor.import_certificate(
            installation, found, private, cas=cas, fetch=not offline, actor=ACTOR, dry_run=dry_run
        )

    version = session.run(put)
    if session.output.as_json:
        session.output.json(
            {
                "dry_run": dry_run,
                "id": version.id if version else None,
                "not_after": found.not_valid_after_utc,
                "sha256": certificates.sha256(found),
            }
        )
        return
    done = "could be imported; nothing was changed" if dry_run else "is in force"
    session.output.line(f"The vendor certificate {done}. It ends on {found.not_valid_after_utc:%Y-%m-%d}.")
    session.output.remark("Next: `bramley push request`, then `bramley push sign`.")
