"""Waves of pushes: waking many devices, some in each second, since every one of them calls back at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bramley.model import ids
from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job, JobState
from bramley.model.push import Wave, WaveID, WaveState
from bramley.operations import devices, pushing
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.operations.pushing import Lookout
from bramley.operations.wave_turns import PUSH_WAVE, halt
from bramley.storage.protocols import Tx

SLOWEST: Final = 0.001
FASTEST: Final = 1_000_000.0
"""Wakes a second that a wave may be given, besides 0 for no limit."""

LONGEST_LABEL: Final = 200


@dataclass(frozen=True, slots=True)
class WaveReport:
    """Where a wave stands.

    `outcomes` counts what became of the targets that were tried, and `left` those that were not. `eta` is when it will have
    tried all, where that can be told. `waiting_since` is since when its next turn has been due without a server to take it.
    """

    wave: Wave
    outcomes: Mapping[str, int]
    left: int
    eta: datetime | None
    waiting_since: datetime | None


async def start(
    installation: Installation,
    names: Sequence[str] | None,
    *,
    topic: str | None = None,
    per_second: float | None = None,
    label: str = "",
    actor: str,
) -> Wave:
    """Starts a wave to the devices named, or, with None, to every device and user channel that can be pushed to.

    `topic` narrows the latter down. `per_second` is by default the setting `push.wakes_per_second`; 0 is no limit. The
    running server takes it up. NotFound for an unknown name, Invalid for values that cannot be, Conflict for nobody to wake.
    """
    pace = installation.settings.push.wakes_per_second if per_second is None else per_second
    if not (pace == 0 or SLOWEST <= pace <= FASTEST):
        raise Invalid(f"Expected 0, for no limit, or {SLOWEST} to {FASTEST:.0f} wakes a second; found {pace}.")
    if len(label) > LONGEST_LABEL or not label.isprintable():
        raise Invalid(f"Expected a label of up to {LONGEST_LABEL} printable characters.")
    if names is not None and topic is not None:
        raise Invalid("A topic narrows down all devices; here devices are named.", advice="Give the names or the topic.")
    now = installation.clock.now()
    wave_id = WaveID(ids.fresh(now))

    def begin(tx: Tx) -> Wave:
        keys = _everyone(tx, topic) if names is None else list(dict.fromkeys(devices.resolve(tx, name).key for name in names))
        if not keys:
            raise Conflict(
                f"There is no device {f'of the topic {topic} ' if topic else ''}that can be pushed to.",
                advice="`bramley device list` shows what there is.",
            )
        wave = Wave(wave_id, now, actor, label, pace, len(keys), WaveState.RUNNING, now)
        tx.waves.add(wave, keys)
        _leave_turn(tx, wave_id, now)
        detail = {"wave": wave_id, "total": wave.total, "per_second": pace, "label": label, "topic": topic}
        tx.events.append(Event(now, EventKind.PUSH_WAVE_STARTED, actor, detail=detail))
        return wave

    return await installation.store.run(begin)


async def stop(installation: Installation, wave_id: str, *, actor: str) -> Wave:
    """Stops a wave once its current turn is over; one that has ended stays as it is. NotFound."""
    now = installation.clock.now()

    def end(tx: Tx) -> Wave:
        wave = _get(tx, wave_id)
        return halt(tx, wave, "", now=now, actor=actor) if wave.state is WaveState.RUNNING else wave

    return await installation.store.run(end)


async def resume(installation: Installation, wave_id: str, *, actor: str) -> Wave:
    """Lets a stopped wave go on where it was; one that is running stays as it is. NotFound; Conflict where it is done."""
    now = installation.clock.now()

    def go_on(tx: Tx) -> Wave:
        wave = _get(tx, wave_id)
        if wave.state is WaveState.DONE:
            raise Conflict(f"The wave {wave_id} is done: it has tried every device.", advice="Start another one.")
        _leave_turn(tx, wave.id, now)  # for a running one too: its job may have been lost to a fault
        if wave.state is WaveState.RUNNING:
            return wave
        running = replace(wave, state=WaveState.RUNNING, changed_at=now, problem="")
        tx.waves.update(running)
        detail = {"wave": wave.id, "resumed": True, "left": tx.waves.tally(wave.id).get(None, 0)}
        tx.events.append(Event(now, EventKind.PUSH_WAVE_STARTED, actor, detail=detail))
        return running

    return await installation.store.run(go_on)


async def show(installation: Installation, wave_id: str) -> WaveReport:
    """Where one wave stands. NotFound."""
    now = installation.clock.now()
    return await installation.store.read(lambda tx: _report(tx, _get(tx, wave_id), now))


async def listing(installation: Installation, *, limit: int = 100) -> Sequence[WaveReport]:
    """The latest waves, newest first."""
    now = installation.clock.now()
    return await installation.store.read(lambda tx: [_report(tx, wave, now) for wave in tx.waves.recent(limit=limit)])


def _everyone(tx: Tx, topic: str | None) -> list[EnrollmentKey]:
    lookout = Lookout(tx)
    return [
        enrollment.key
        for state in sorted(pushing.TARGETS)
        for enrollment in devices.each(tx, state, topic=topic)
        if lookout.obstacle(enrollment) is None
    ]


def _leave_turn(tx: Tx, wave_id: WaveID, now: datetime) -> None:
    tx.jobs.add(Job(PUSH_WAVE, now, now, {"wave_id": wave_id}, dedup_key=f"{PUSH_WAVE}:{wave_id}"))


def _get(tx: Tx, wave_id: str) -> Wave:
    wave = tx.waves.get(WaveID(wave_id))
    if wave is None:
        raise NotFound(f"There is no wave {wave_id!r}.", advice="`bramley push waves` shows what there is.")
    return wave


def _report(tx: Tx, wave: Wave, now: datetime) -> WaveReport:
    tally = tx.waves.tally(wave.id)
    left = tally.pop(None, 0)
    outcomes = {outcome: count for outcome, count in tally.items() if outcome is not None}
    running = wave.state is WaveState.RUNNING
    eta = None
    if running and left and wave.per_second and not wave.problem:
        eta = now + timedelta(seconds=left / wave.per_second)
    return WaveReport(wave, outcomes, left, eta, _waiting_since(tx, wave, now) if running else None)


def _waiting_since(tx: Tx, wave: Wave, now: datetime) -> datetime | None:
    """Since when nobody works on it; None where a server does, or where it waits for its time."""
    for job in tx.jobs.of_kind(PUSH_WAVE):
        if job.args.get("wave_id") == wave.id and job.state in {JobState.READY, JobState.RUNNING}:
            due = job.run_at if job.state is JobState.READY else job.lease_until
            return due if due is not None and due <= now else None
    return None
