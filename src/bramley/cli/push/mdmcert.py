"""`bramley push mdmcert`: a request signed by mdmcert.download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file, write_new
from bramley.cli.push.requesting import (
    LARGEST,
    REQUEST_FILE,
    AccountOption,
    CountryOption,
    FurtherOption,
    NewKeyOption,
    OutputOption,
    TopicOption,
    show,
    upload,
)
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import DryRunOption, Verb, noun
from bramley.model.push import Route
from bramley.operations.installation import Installation
from bramley.operations.push import mdmcert, requests
from bramley.operations.push.mdmcert import Opened
from bramley.operations.push.requests import Asked, Wanted

app = noun("mdmcert.download: signs requests for push certificates of organizations, and mails them.")


@app.command("request", cls=Verb)
def request(
    ctx: typer.Context,
    email: Annotated[str, typer.Option(metavar="ADDRESS", help="The address that is registered there; the answer goes to it.")],
    account: AccountOption = "",
    country: CountryOption = "US",
    topic: TopicOption = None,
    further: FurtherOption = False,
    new_key: NewKeyOption = False,
) -> None:
    """Begin a push certificate, or the renewal of the one there is, and have the service sign the request.

    Sending an open request again is harmless. The service learns your organization's address and the request, not the key.
    """
    session = Session(ctx)
    wanted = Wanted(Route.MDMCERT, account, email, country, topic, further, new_key=new_key)

    async def ask(installation: Installation) -> Asked:
        mdmcert.require_client_key(installation)
        asked = await requests.ask(installation, wanted, actor=ACTOR)
        await mdmcert.submit(installation, asked, email=email, actor=ACTOR)
        return asked

    asked = session.run(ask)
    show(session, asked, {"sent_to": email})
    if not session.output.as_json:
        session.output.remark(f"mdmcert.download mails a file to {email}. Then `bramley push mdmcert decrypt FILE`.")


@app.command("decrypt", cls=Verb)
def decrypt(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What mdmcert.download mailed.")],
    output: OutputOption = REQUEST_FILE,
    dry_run: DryRunOption = False,
) -> None:
    """Open the mailed answer: the file to upload at identity.apple.com, checked as Apple checks it."""
    session = Session(ctx)
    data = read_file(file, "file", most=LARGEST)

    async def open_answer(installation: Installation) -> Opened:
        return await mdmcert.open_answer(installation, data, actor=ACTOR)

    opened = session.run(open_answer, dry_run=True)
    if not dry_run:
        write_new(output, opened.file)
        session.run(open_answer)
    upload(session, output, opened.asked, dry_run=dry_run)
