"""`bramley identity ca root`: the root's private key, taken offline and brought back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bramley.cli.arguments import read_file, read_password, write_new
from bramley.cli.session import ACTOR, Session
from bramley.cli.verbs import Verb, YesOption, noun
from bramley.model.revocation import PublishedCRL
from bramley.operations import root_key
from bramley.operations.installation import Installation
from bramley.pki.pairs import LARGEST

_FILE = typer.Argument(metavar="FILE", help="The encrypted private key (PEM).")
_PASSWORD_FILE = typer.Option(metavar="FILE", help="A file whose first line is the password of the key.")


def register(app: typer.Typer) -> None:
    """Adds the noun to `bramley identity ca`."""
    group = noun("The root above our CAs: its private key taken offline, and brought back.")
    group.command("take-offline", cls=Verb)(take_offline)
    group.command("bring-back", cls=Verb)(bring_back)
    app.add_typer(group, name="root")


def take_offline(
    ctx: typer.Context,
    file: Annotated[Path, _FILE],
    password_file: Annotated[Path, _PASSWORD_FILE],
    yes: YesOption = False,
) -> None:
    """Write the root's private key to a new file, and delete it here.

    Everything goes on without it. It is needed again for the next identity CA, and once a year for the root's CRL.
    """
    session, password = Session(ctx), read_password(password_file) or ""
    session.confirm(f"The root's private key will be in {file} and nowhere else. Go on?", yes=yes)
    write_new(file, session.run(lambda installation: root_key.export(installation, password)))
    # what is deleted is what can be read back
    exported = read_file(file, "root's key", most=LARGEST)

    async def forget(installation: Installation) -> PublishedCRL:
        return await root_key.forget(installation, exported, password, actor=ACTOR)

    crl = session.run(forget)
    if session.output.as_json:
        session.output.json({"file": file, "crl_until": crl.next_update})
        return
    session.output.line(str(file))
    session.output.remark(
        f"Keep two copies of it, and its password elsewhere. The root's CRL is good until {crl.next_update:%F}."
    )
    session.output.remark("Backups that were made before hold the key too, sealed: delete them once there is a newer one.")


def bring_back(
    ctx: typer.Context,
    file: Annotated[Path, _FILE],
    password_file: Annotated[Path | None, _PASSWORD_FILE] = None,
) -> None:
    """Keep the root's private key here again."""
    session, exported = Session(ctx), read_file(file, "root's key", most=LARGEST)
    password = read_password(password_file)
    session.run(lambda installation: root_key.bring_back(installation, exported, password, actor=ACTOR))
    if session.output.as_json:
        session.output.json({"file": file})
        return
    session.output.remark("The root's private key is here again.")
