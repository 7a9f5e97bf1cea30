"""How a wave of pushes goes, for people and for machines: while it runs, and what came of it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from bramley.apple.push.reasons import Action
from bramley.cli.output import Output, printable
from bramley.cli.session import ACTOR
from bramley.errors import OutsideTrouble
from bramley.model.push import WaveState
from bramley.operations import waves
from bramley.operations.installation import Installation
from bramley.operations.pushing import Obstacle
from bramley.operations.wave_turns import action_of
from bramley.operations.waves import WaveReport

LOOK_SECONDS: Final = 0.3
LINE_SECONDS: Final = 5.0
"""Between two lines where there is no terminal for a bar."""

PATIENCE: Final = timedelta(seconds=10)
"""With a server that does not take a wave up."""

MEANINGS: Final[Mapping[Action | Obstacle | None, str]] = MappingProxyType(
    {
        Action.DELIVERED: "APNs took it.",
        Action.STOP_TOKEN: "The token is dead; the device's next TokenUpdate brings another.",
        Action.PAUSE_TOPIC: "APNs refuses the push certificate; pushing waits for another one.",
        Action.BACK_OFF_TOKEN: "Too many pushes to this device; it is tried again later.",
        Action.RETRY: "Trouble of Apple's or of the network; it is tried again by itself.",
        Action.WRONG_TOPIC: "Token and push certificate do not belong together; somebody has to look.",
        Action.OUR_FAULT: "A request that APNs does not take; report it as a bug.",
        Obstacle.NOT_ENROLLED: "It has checked out, or never came in.",
        Obstacle.NO_TOKEN: "It has sent no push token yet.",
        Obstacle.TOKEN_DEAD: "APNs has called its token dead; its next TokenUpdate revives it.",
        Obstacle.TOPIC_PAUSED: "Pushing under its topic is paused.",
        Obstacle.NO_CERTIFICATE: "There is no push certificate for its topic.",
        None: "APNs says so; this version of Bramley does not know the word.",
    }
)
"""What an outcome means, and what comes of it."""


async def follow(output: Output, installation: Installation, wave_id: str, stop: asyncio.Event) -> WaveReport:
    """Shows how a wave goes until it runs no longer; stops it once `stop` is set.

    Where no server takes it up people are told, and machines get OutsideTrouble: the wave itself waits on.
    """
    told = False
    with _telling(output) as tell:
        while True:
            report = await waves.show(installation, wave_id)
            tell(report)
            if report.wave.state is not WaveState.RUNNING:
                return report
            if stop.is_set():
                await waves.stop(installation, wave_id, actor=ACTOR)
                return await waves.show(installation, wave_id)
            if not told and _left_alone(report, installation.clock.now()):
                told = True
                _tell_of_no_server(output, wave_id)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()


def show(output: Output, report: WaveReport, now: datetime) -> None:
    """A wave, and what became of its devices, by reason."""
    if output.as_json:
        output.json(as_json(report, now))
        return
    wave = report.wave
    output.fields(
        f"wave {wave.id}",
        [
            ("label", wave.label),
            ("state", wave.state),
            ("problem", wave.problem),
            ("started (UTC)", wave.created_at),
            ("started by", wave.created_by),
            ("pace", pace(wave.per_second)),
            ("devices", wave.total),
            ("not tried yet", report.left),
            ("ends about (UTC)", report.eta),
        ],
    )
    output.table(
        ("outcome", "devices", "what it means"),
        [
            (outcome, count, MEANINGS[action_of(outcome)])
            for outcome, count in sorted(report.outcomes.items(), key=lambda item: (-item[1], item[0]))
        ],
        empty="Nothing was tried yet.",
    )
    if wave.state is WaveState.STOPPED:
        output.remark(f"`bramley push wave-resume {wave.id}` goes on with the {report.left} that were not tried.")
    if _left_alone(report, now):
        _tell_of_no_server(output, wave.id)


def as_json(report: WaveReport, now: datetime) -> dict[str, object]:
    """A wave as machines get it. `seconds` is how long it has been going on, or took until it ended or was stopped."""
    wave = report.wave
    until = now if wave.state is WaveState.RUNNING else wave.changed_at
    return {
        "wave": wave.id,
        "label": wave.label,
        "state": wave.state,
        "problem": wave.problem,
        "total": wave.total,
        "left": report.left,
        "outcomes": dict(report.outcomes),
        "per_second": wave.per_second,
        "seconds": round((until - wave.created_at).total_seconds(), 3),
        "eta": report.eta,
        "created_at": wave.created_at,
        "created_by": wave.created_by,
    }


def all_delivered(report: WaveReport) -> bool:
    """Whether APNs took a push to every device."""
    return report.outcomes.get(Action.DELIVERED, 0) == report.wave.total


def pace(per_second: float) -> str:
    """How fast a wave goes, in words."""
    return f"{per_second:g} a second" if per_second else "as fast as APNs takes them"


def _left_alone(report: WaveReport, now: datetime) -> bool:
    return report.waiting_since is not None and now - report.waiting_since >= PATIENCE


def _tell_of_no_server(output: Output, wave_id: str) -> None:
    problem = f"No server has taken up the wave {wave_id} for {PATIENCE.total_seconds():.0f} seconds; it waits for one."
    advice = "`bramley serve` must run on this installation."
    if output.as_json:
        raise OutsideTrouble(problem, advice=advice)
    output.remark(f"{problem} {advice}")


@contextmanager
def _telling(output: Output) -> Iterator[Callable[[WaveReport], None]]:
    """What to call with the latest report: a bar at a terminal, else a line now and then, nothing for machines."""
    if output.as_json:
        yield lambda _report: None
    elif sys.stderr.isatty():
        with _bar() as tell:
            yield tell
    else:
        yield _lines(output)


@contextmanager
def _bar() -> Iterator[Callable[[WaveReport], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def tell(report: WaveReport) -> None:
            total = report.wave.total
            progress.update(task, total=total, completed=total - report.left, description=printable(_remark(report)))

        yield tell


def _lines(output: Output) -> Callable[[WaveReport], None]:
    last = time.monotonic()

    def tell(report: WaveReport) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            tried = f"{report.wave.total - report.left} of {report.wave.total} tried"
            output.remark("; ".join(part for part in (tried, _remark(report)) if part))

    return tell


def _remark(report: WaveReport) -> str:
    """What does not go as it should."""
    failed = sum(report.outcomes.values()) - report.outcomes.get(Action.DELIVERED, 0)
    return report.wave.problem or (f"{failed} not delivered" if failed else "")
