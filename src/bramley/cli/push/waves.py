"""`bramley push send`, `waves`, `wave`, `wave-stop`, `wave-resume`: waking many devices with one command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated

import typer

from bramley.apple.push.reasons import Action
from bramley.cli.push import wave_progress
from bramley.cli.session import ACTOR, Session
from bramley.cli.signals import stop_event
from bramley.cli.verbs import DryRunOption, Verb, YesOption
from bramley.clock import SystemClock
from bramley.errors import BadInput
from bramley.model.push import Wave, WaveState
from bramley.operations import waves
from bramley.operations.installation import Installation, open_installation
from bramley.operations.waves import WaveReport

INTERRUPTED = 130

_WAVE = typer.Argument(metavar="WAVE", help="Its id, as `bramley push waves` lists it.")
_DETACH = typer.Option("--detach", help="Do not wait for the end.")


def send(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="DEVICE", help="The devices and user channels to wake.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every one that can be pushed to.")] = False,
    topic: Annotated[str | None, typer.Option(help="With --all: only those of this push topic.")] = None,
    per_second: Annotated[
        float | None, typer.Option(metavar="N", help="So many in a second, 0: no limit. By default push.wakes_per_second.")
    ] = None,
    label: Annotated[str, typer.Option(help="What it is for, to tell it from other waves.")] = "",
    detach: Annotated[bool, _DETACH] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> None:
    """Wake many devices, spread over time, and tell by reason what became of it.

    The running server sends. Ctrl-C stops the wave, which can be resumed. Exits 1 where a push was not delivered.
    """
    session = Session(ctx)
    if everything == bool(names):
        raise BadInput("Expected either devices or --all.", advice="`bramley device list` shows the devices.")

    async def begin(installation: Installation) -> Wave:
        chosen = None if everything else names
        return await waves.start(installation, chosen, topic=topic, per_second=per_second, label=label, actor=ACTOR)

    if dry_run or (everything and not yes):
        planned = session.run(begin, dry_run=True)
        what = f"{planned.total} devices and user channels, {wave_progress.pace(planned.per_second)}"
        if dry_run:
            _tell_plan(session, planned, what)
            return
        session.confirm(f"Push to {what}?", yes=yes)
    _begin_and_follow(session, begin, detach=detach)


def list_waves(ctx: typer.Context, limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20) -> None:
    """List waves, the latest first."""
    session = Session(ctx)

    async def read(installation: Installation) -> tuple[Sequence[WaveReport], datetime]:
        return await waves.listing(installation, limit=limit), installation.clock.now()

    found, now = session.run(read)
    if session.output.as_json:
        session.output.json([wave_progress.as_json(report, now) for report in found])
        return
    session.output.table(
        ("wave", "label", "started (UTC)", "by", "state", "devices", "delivered", "not tried", "problem"),
        [
            (
                report.wave.id,
                report.wave.label,
                report.wave.created_at,
                report.wave.created_by,
                report.wave.state,
                report.wave.total,
                report.outcomes.get(Action.DELIVERED, 0),
                report.left,
                report.wave.problem,
            )
            for report in found
        ],
        empty="No waves. `bramley push send --all` starts one.",
        spare=("by", "started (UTC)", "label"),
    )


def show(ctx: typer.Context, wave: Annotated[str, _WAVE]) -> None:
    """Show one wave: how far it is, and what became of its devices by reason."""
    session = Session(ctx)

    async def read(installation: Installation) -> tuple[WaveReport, datetime]:
        return await waves.show(installation, wave), installation.clock.now()

    wave_progress.show(session.output, *session.run(read))


def stop(ctx: typer.Context, wave: Annotated[str, _WAVE]) -> None:
    """Stop a wave. What was sent was sent; `wave-resume` goes on with the rest."""
    session = Session(ctx)

    async def act(installation: Installation) -> tuple[WaveReport, datetime]:
        await waves.stop(installation, wave, actor=ACTOR)
        return await waves.show(installation, wave), installation.clock.now()

    wave_progress.show(session.output, *session.run(act))


def resume(ctx: typer.Context, wave: Annotated[str, _WAVE], detach: Annotated[bool, _DETACH] = False) -> None:
    """Let a stopped wave go on where it was, and follow it as `send` does."""

    async def go_on(installation: Installation) -> Wave:
        return await waves.resume(installation, wave, actor=ACTOR)

    _begin_and_follow(Session(ctx), go_on, detach=detach)


def register(app: typer.Typer) -> None:
    """Adds the verbs to the noun `push`."""
    for name, verb in (("send", send), ("waves", list_waves), ("wave", show), ("wave-stop", stop), ("wave-resume", resume)):
        app.command(name, cls=Verb)(verb)


def _tell_plan(session: Session, planned: Wave, what: str) -> None:
    if session.output.as_json:
        session.output.json({"dry_run": True, "total": planned.total, "per_second": planned.per_second})
    else:
        session.output.line(f"This would push to {what}; nothing was changed.")


def _begin_and_follow(session: Session, begin: Callable[[Installation], Awaitable[Wave]], *, detach: bool) -> None:
    report, now, interrupted = asyncio.run(_followed(session, begin, detach))
    wave_progress.show(session.output, report, now)
    if detach:
        session.output.remark(f"`bramley push wave {report.wave.id}` tells how it goes.")
        return
    if interrupted and report.wave.state is WaveState.STOPPED:
        raise typer.Exit(INTERRUPTED)
    if not wave_progress.all_delivered(report):
        raise typer.Exit(1)


async def _followed(
    session: Session, begin: Callable[[Installation], Awaitable[Wave]], detach: bool
) -> tuple[WaveReport, datetime, bool]:
    """The wave as it was at the end, when that was, and whether somebody wanted it to stop."""
    stopping = stop_event()
    installation = await session.patiently(open_installation(session.settings(), SystemClock()))
    try:
        wave = await begin(installation)
        if detach:
            report = await waves.show(installation, wave.id)
        else:
            session.output.remark(f"Wave {wave.id}, {wave_progress.pace(wave.per_second)}. Ctrl-C stops it.")
            report = await wave_progress.follow(session.output, installation, wave.id, stopping)
        return report, installation.clock.now(), stopping.is_set()
    finally:
        await installation.store.close()
