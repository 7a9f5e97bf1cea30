"""`bramley push start`: the three ways to a push certificate, with price, conditions and risks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from bramley.cli.push.requesting import ADVICE
from bramley.cli.session import Session
from bramley.cli.verbs import Verb
from bramley.model.push import Route


@dataclass(frozen=True, slots=True)
class Way:
    """A route as it is put to a person. `question` is what one must have for it."""

    route: Route
    question: str
    name: str
    price: str
    conditions: str
    risks: str
    steps: tuple[str, ...]


WAYS = (
    Way(
        Route.VENDOR,
        "Does your organization have an account in the Apple Developer Enterprise Program?",
        "your own vendor certificate",
        "US$ 300 a year, for the Apple Developer Enterprise Program",
        "The organization is a member, and its account may make MDM CSR certificates (Apple allows three).",
        "None beyond the yearly work: this is the way that Apple supports. Two certificates end each year, not one.",
        (
            "bramley push vendor request --email ADDRESS --account DEVELOPER-ACCOUNT",
            "bramley push vendor import FILE",
            "bramley push request --email ADDRESS --account APPLE-ACCOUNT",
            "bramley push sign",
            "bramley push import FILE",
        ),
    ),
    Way(
        Route.MDMCERT,
        "Are you an organization that may register with a third party, mdmcert.download?",
        "mdmcert.download",
        "free of charge",
        "For organizations only, not for persons, since Apple says so; the organization registers, and needs a client key.",
        "Your organization's name and mail address are shared with a third party, and each renewal depends on it: in 2025 its "
        "vendor certificate was expired for four months, in which nobody could renew.",
        (
            "bramley push mdmcert request --email REGISTERED-ADDRESS --account APPLE-ACCOUNT",
            "bramley push mdmcert decrypt FILE",
            "bramley push import FILE",
        ),
    ),
    Way(
        Route.PROFILE_MANAGER,
        "Do you have a Mac with Server.app (Profile Manager), and is this a test?",
        "export from Profile Manager",
        "about US$ 20, for a Server.app that Apple no longer sells",
        "A Mac, or a virtual one, that can still run it.",
        "Proprietary, and of doubtful legality with anything but Profile Manager: for tests. Keep that very machine: nothing "
        "else can renew its topic, and with it go all devices.",
        ("bramley push import FILE.p12 --password-file FILE --account APPLE-ACCOUNT --route profile-manager",),
    ),
)
"""In the order in which they are recommended."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("start", cls=Verb)(start)


def start(
    ctx: typer.Context,
    have: Annotated[
        list[Route] | None, typer.Option(help="What you have what it takes for; asked for where it is left out.")
    ] = None,
) -> None:
    """Choose among the three ways to a push certificate: what each takes, costs and risks, and its steps. Changes nothing."""
    session = Session(ctx)
    ways = _chosen(session, have)
    if session.output.as_json:
        session.output.json([_as_json(way) for way in ways])
        return
    if not ways:
        session.output.line("None of the three ways is open to you yet. They are:")
    for way in ways or WAYS:
        session.output.fields(
            way.name,
            [("price", way.price), ("conditions", way.conditions), ("risks", way.risks), *_numbered(way.steps)],
        )
    session.output.remark(ADVICE)
    session.output.remark("Each year it is renewed, by the same account and under the same topic, or every device is lost.")


def _chosen(session: Session, have: list[Route] | None) -> list[Way]:
    """The ways that are open: the ones named, else those whose question is answered with yes; all where nobody can be asked."""
    if have is not None:
        return [way for way in WAYS if way.route in have]
    if session.output.as_json or not sys.stdin.isatty():
        return list(WAYS)
    return [way for way in WAYS if typer.confirm(way.question, err=True)]


def _numbered(steps: tuple[str, ...]) -> list[tuple[str, object]]:
    return [(f"step {number}", step) for number, step in enumerate(steps, 1)]


def _as_json(way: Way) -> dict[str, object]:
    return {
        "route": way.route,
        "name": way.name,
        "price": way.price,
        "conditions": way.conditions,
        "risks": way.risks,
        "steps": list(way.steps),
    }
