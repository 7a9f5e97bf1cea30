"""`bramley push request` and `sign`: from a new key to the file for identity.apple.com."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.cli.arguments import read_file, write_new
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb
from bramley.lifecycle.next_step import at_apple
from bramley.model.push import Route
from bramley.operations.installation import Installation
from bramley.operations.push import requests, vendor
from bramley.operations.push.requests import Asked, Wanted

REQUEST_FILE = Path("PushCertificateRequest.plist")
"""The name that Apple's own text gives the file, though what is in it is base64."""

LARGEST = 256 * 1024

AccountOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="The Apple Account that asks Apple; only it can renew the certificate. Kept on record."),
]
EmailOption = Annotated[str, typer.Option(metavar="ADDRESS", help="A mail address, which stands in the request.")]
CountryOption = Annotated[str, typer.Option(metavar="CC", help="Two letters, which stand in the request.")]
TopicOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Which push certificate, where there are several.")]
FurtherOption = Annotated[bool, typer.Option("--further", help="A certificate with a topic of its own, beside those here.")]
NewKeyOption = Annotated[bool, typer.Option("--new-key", help="Give an open request up and make another.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")]

ADVICE = (
    "Use an Apple Account of the organization, not a person's, with a second factor that more than one of you can reach, "
    "and keep its password where the next admin finds it."
)


def register(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command("request", cls=Verb)(request)
    app.command("sign", cls=Verb)(sign)


def request(
    ctx: typer.Context,
    email: EmailOption,
    account: AccountOption = "",
    country: CountryOption = "US",
    topic: TopicOption = None,
    further: FurtherOption = False,
    new_key: NewKeyOption = False,
    reuse_key: Annotated[
        bool, typer.Option("--reuse-key", help="Renew with the key in force, which is bad practice, in place of a new one.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write the request (PEM), for a vendor elsewhere.")
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Begin a push certificate, or the renewal of the one there is: make a key, which stays here, and a request.

    A request that is open already is given again, unchanged.
    """
    session = Session(ctx)
    wanted = Wanted(Route.VENDOR, account, email, country, topic, further, reuse_key, new_key)

    async def ask(installation: Installation) -> Asked:
        return await requests.ask(installation, wanted, actor=ACTOR)

    asked = session.run(ask, dry_run=dry_run)
    if output is not None and not dry_run:
        write_new(output, asked.request.public_bytes(Encoding.PEM))
    show(session, asked, {"output": output, "dry_run": dry_run})
    if not session.output.as_json:
        session.output.remark("Next: `bramley push sign`, with your vendor certificate.")


def sign(
    ctx: typer.Context,
    topic: TopicOption = None,
    csr: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Somebody else's request (PEM or DER), in place of the open one here.")
    ] = None,
    output: OutputOption = REQUEST_FILE,
    dry_run: DryRunOption = False,
) -> None:
    """Sign a request with the vendor certificate: the file to upload at identity.apple.com. Works offline.

    All that Apple checks is checked first: the key, the signatures, the chain up to Apple's root, every date.
    """
    session = Session(ctx)
    others = None if csr is None else read_file(csr, "request", most=LARGEST)

    async def act(installation: Installation) -> tuple[bytes, Asked | None]:
        if others is not None:
            return await vendor.sign_other(installation, others, actor=ACTOR), None
        asked = await requests.opened(installation, topic)
        return await vendor.sign(installation, asked, actor=ACTOR), asked

    # the file first: a request is not on its way while nobody has it
    file, asked = session.run(act, dry_run=True)
    if not dry_run:
        write_new(output, file)
        session.run(act)
    upload(session, output, asked, dry_run=dry_run)


def upload(session: Session, output: Path, asked: Asked | None, *, dry_run: bool) -> None:
    """Says what to do with the file that was written."""
    if session.output.as_json:
        session.output.json(
            {
                "dry_run": dry_run,
                "output": None if dry_run else output,
                "topic": asked.topic if asked else None,
                "account": asked.lineage.owner if asked else None,
                "next": at_apple(asked.lineage) if asked else None,
            }
        )
        return
    session.output.line(f"It could be signed; {output} was not written." if dry_run else str(output))
    if asked is None:
        session.output.remark("Give the file back: its sender uploads it at identity.apple.com/pushcert.")
        return
    session.output.remark(f"{at_apple(asked.lineage)}. Download the certificate, then `bramley push import` it.")
    session.output.remark(ADVICE)


def show(session: Session, asked: Asked, more: dict[str, object]) -> None:
    """What was asked, and whether it had been before."""
    if session.output.as_json:
        session.output.json(
            {
                "id": asked.version.id,
                "topic": asked.topic,
                "account": asked.lineage.owner,
                "found": asked.found,
                "spki_sha256": asked.version.spki_sha256,
                **more,
            }
        )
        return
    what = f"the renewal of {asked.topic}" if asked.topic else "a new push certificate"
    begun = "was open already" if asked.found else "is open"
    session.output.line(f"The request for {what} {begun} (Apple Account: {asked.lineage.owner}).")
