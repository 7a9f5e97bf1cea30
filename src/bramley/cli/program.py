"""The command's nouns, and how one is loaded when it is used: `bramley --help` imports none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from bramley import __version__
from bramley.cli.verbs import ConfigOption, DatabaseOption, DataOption, JSONOption, application

PROGRAM = "bramley"

NOUNS = {
    "serve": ("serve", "Start the server; the first start makes the installation."),
    "device": ("device", "Devices: list, show, send commands, wake, quarantine."),
    "enroll": ("enroll", "Bring devices in."),
    "identity": ("identity", "Device identities: list, renew, suspend, revoke, rescue; and the CA that issues them."),
    "profile": ("profile", "Profiles: keep, assign, check; inspect and sign files."),
    "network": ("network", "Certificates for Wi-Fi, VPN and S/MIME: templates, who shall have one, renewal."),
    "escrow": ("escrow", "FileVault recovery keys: have Macs escrow them, read and rotate them."),
    "scep": ("scep", "SCEP requests that wait for a person."),
    "certs": ("certs", "Certificates: what there is, when it ends, whose turn it is."),
    "push": ("push", "The push certificate, and pushing with it."),
    "inspect": ("inspect", "What any certificate-like file is, and what it is for."),
    "admin": ("admin", "Who may call the API."),
    "events": ("events", "What happened: who, when, what."),
    "settings": ("settings", "Every setting with the value in force."),
    "simulate": ("simulate", "Simulated devices, and stand-ins for Apple's services."),
    "demo": ("demo", "A whole fleet on this machine, in seconds."),
    "rehearse": ("rehearse", "Years on this machine, in minutes."),
}
"""Name: the module below bramley.cli that holds it as `app`, and what the list of commands says of it."""


class Nouns(TyperGroup):
    """The root: lists nouns by the table above, and imports one when it is called by name."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in that knows the noun's summary and nothing else; None for a name that is no noun."""
        if cmd_name not in NOUNS:
            return None
        return TyperCommand(cmd_name, help=NOUNS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        self.commands = {name: self.get_command(ctx, name) for name in NOUNS}  # for the suggestions after a typing error
        name, found, rest = super().resolve_command(ctx, args)
        return name, (load(name) if found is not None and name is not None else None), rest


def load(noun: str) -> Any:
    """The command of a noun, with its verbs."""
    module, summary = NOUNS[noun]
    command = get_command(import_module(f"bramley.cli.{module}").app)
    command.name = noun
    command.help = command.help or summary
    return command


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


app = application("An Apple MDM server that looks after its own certificates.", cls=Nouns, no_args_is_help=True)


@app.callback()
def root(
    data: DataOption = None,
    database: DatabaseOption = None,
    config: ConfigOption = None,
    as_json: JSONOption = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.", expose_value=False)
    ] = False,
) -> None:
    """An Apple MDM server that looks after its own certificates.

    Most verbs open the data folder and work whether the server runs or not; a running server notices within a second.
    """
