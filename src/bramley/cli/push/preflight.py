"""`bramley push preflight`: whether APNs can be reached from here and takes the push certificate."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Final

import typer

from bramley.apple.push.client import PushClient, PushTarget
from bramley.apple.push.preflight import PORTS, Check, preflight, routes
from bramley.cli.push.requesting import TopicOption
from bramley.cli.session import Session
from bramley.cli.verbs import Verb
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation
from bramley.operations.live import Live, PushIdentity
from bramley.operations.push import lineages
from bramley.operations.push.clients import clients, target_of

CONNECT_TIMEOUT: Final = timedelta(seconds=5)
ANSWER_TIMEOUT: Final = timedelta(seconds=10)
"""Shorter than for pushes: somebody waits. A way that swallows everything costs each twice."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("preflight", cls=Verb)(preflight_)


def preflight_(
    ctx: typer.Context,
    topic: TopicOption = None,
    port: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, max=65535, help="Try this port too; again for more. By default 443 and 2197."),
    ] = None,
) -> None:
    """Try every way to APNs: name, connection, proxy, TLS, HTTP/2, push certificate. No device is woken.

    The port in the settings is always tried, through push.proxy if that is set, and directly. Exits 1 where the way in the
    settings does not work, saying which other one does.
    """
    session = Session(ctx)

    async def check(installation: Installation) -> tuple[str, list[Check]]:
        identity = await _identity(installation, topic)

        def connect(target: PushTarget) -> PushClient:
            made = clients(installation, target, connect_timeout=CONNECT_TIMEOUT, answer_timeout=ANSWER_TIMEOUT)
            return made(identity)

        ways = routes(target_of(installation.settings), port or PORTS)
        return identity.topic, await preflight(ways, connect)

    found, checks = session.run(check)
    configured, conclusion = checks[0], conclude(checks)
    if session.output.as_json:
        said = [asdict(one) for one in checks]
        session.output.json({"topic": found, "ok": configured.ok, "advice": conclusion, "checks": said})
    else:
        session.output.table(
            ("port", "via", "stage", "result", "ms", "advice"),
            [
                (one.port, one.proxy or "direct", "" if one.ok else one.stage, one.words, one.milliseconds, one.advice)
                for one in checks
            ],
            empty="",
            spare=("ms",),
        )
        session.output.line(conclusion)
    if not configured.ok:
        raise typer.Exit(1)


def conclude(checks: list[Check]) -> str:
    """What to do after all the checks, the first of which is the way in the settings."""
    configured = checks[0]
    through = f" through {configured.proxy}" if configured.proxy else ""
    if configured.ok:
        return f"Pushing works: {configured.host} port {configured.port}{through}."
    other = next((one for one in checks if one.ok), None)
    if other is None:
        return f"Pushing does not work on any way tried. {configured.advice}".rstrip()
    changes = [f"push.port = {other.port}"] if other.port != configured.port else []
    changes += ['push.proxy = ""'] if other.proxy != configured.proxy else []
    return f"Pushing does not work on port {configured.port}{through}. Set {' and '.join(changes)}: that works."


async def _identity(installation: Installation, topic: str | None) -> PushIdentity:
    """The certificate in force. NotFound, Invalid or NotReady where there is none, several, or one that cannot be used."""
    name = (await installation.store.read(lambda tx: lineages.of_topic(tx, topic))).name
    snapshot = (await Live.start(installation)).current()
    if name in snapshot.unusable:
        raise NotReady(f"The push certificate of {name} cannot be used: {snapshot.unusable[name]}")
    if name not in snapshot.pushes:
        raise NotReady(f"No push certificate of {name} is in force.", advice="`bramley push status` says what comes next.")
    return snapshot.pushes[name]
