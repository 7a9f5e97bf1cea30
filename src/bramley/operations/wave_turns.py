"""One turn of a wave: who is next, what became of the pushes, and when it goes on.

Each device is tried once by its wave. Where its answer asks for another try, an ordinary push is left for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bramley.apple.push.notification import PushResult
from bramley.apple.push.reasons import REASONS, Action, judge
from bramley.mdm.token_update import leave_push
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.model.jobs import DONE, Outcome
from bramley.model.push import Wave, WaveID, WaveState, WaveTarget
from bramley.operations import pushing
from bramley.operations.pushing import Lookout, Obstacle, Sent
from bramley.storage.protocols import Tx

PUSH_WAVE: Final = "push-wave"
"""The job that carries a wave on; its argument is `wave_id`."""

ACTOR: Final = "job:push-wave"
MOST_AT_ONCE: Final = 1000
SHORTEST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(minutes=5)
"""Between two attempts to reach APNs at all."""

NO_ANSWER: Final = "no answer"
_LONGEST_REASON: Final = 64


@dataclass(frozen=True, slots=True)
class Turn:
    """The next targets of a wave, in order: each is either `ready` or has its obstacle. `began` is when the turn did."""

    wave_id: WaveID
    began: datetime
    targets: Sequence[WaveTarget]
    ready: Mapping[EnrollmentKey, Enrollment]
    obstacles: Mapping[EnrollmentKey, Obstacle]
    paused: str = ""
    """One of the topics that are paused, where there are any."""


def at_once(per_second: float) -> int:
    """How many targets one turn takes: as many as a second allows, at least one, at most 1000."""
    return min(max(int(per_second), 1), MOST_AT_ONCE) if per_second else MOST_AT_ONCE


def wait(per_second: float, pushed: int, began: datetime, now: datetime) -> timedelta:
    """How long a turn that began then and pushed to so many has to wait for the next one."""
    share = timedelta(seconds=pushed / per_second) if per_second else timedelta()
    return max(began + share - now, timedelta())


def pause(since: datetime, now: datetime) -> timedelta:
    """How long to leave APNs alone that has not been reached since then: 5 seconds, doubling up to 5 minutes."""
    return min(now - since + SHORTEST_PAUSE, LONGEST_PAUSE)


def word(result: PushResult) -> str:
    """What became of a push, in a word: `delivered`, APNs' reason, `no answer`, or the status where it has no reason."""
    if judge(result) is Action.DELIVERED:
        return Action.DELIVERED.value
    if result.status == 0:
        return NO_ANSWER
    reason = result.reason or ""
    return reason if reason.isprintable() and 0 < len(reason) <= _LONGEST_REASON else f"status {result.status}"


def action_of(outcome: str) -> Action | Obstacle | None:
    """What the outcome of a target means; None for a reason that Apple has added since."""
    if outcome in {obstacle.value for obstacle in Obstacle}:
        return Obstacle(outcome)
    if outcome == Action.DELIVERED:
        return Action.DELIVERED
    if outcome == NO_ANSWER:
        return Action.RETRY
    status = outcome.removeprefix("status ")
    if status != outcome and status.isdecimal():
        return judge(PushResult(int(status)))
    return REASONS.get(outcome)


def take(tx: Tx, wave_id: WaveID, *, now: datetime) -> Turn | None:
    """The next turn of a wave that is running; None for any other."""
    wave = tx.waves.get(wave_id)
    if wave is None or wave.state is not WaveState.RUNNING:
        return None
    lookout = Lookout(tx)
    targets = tx.waves.untried(wave_id, at_once(wave.per_second))
    ready: dict[EnrollmentKey, Enrollment] = {}
    obstacles: dict[EnrollmentKey, Obstacle] = {}
    paused = ""
    for target in targets:
        enrollment = tx.enrollments.get(target.enrollment_key)
        obstacle = lookout.obstacle(enrollment)
        if obstacle is not None:
            obstacles[target.enrollment_key] = obstacle
            if obstacle is Obstacle.TOPIC_PAUSED and enrollment is not None:
                paused = enrollment.topic or ""
        elif enrollment is not None:
            ready[target.enrollment_key] = enrollment
    return Turn(wave_id, now, targets, ready, obstacles, paused)


def settle(tx: Tx, turn: Turn, sent: Mapping[EnrollmentKey, Sent], *, now: datetime) -> Outcome:
    """Stores what became of a turn, and says when the wave goes on, if it does.

    Where nobody could be asked (APNs is out of reach, or all wait for a paused topic), the targets stay untried: a network
    that is down is one problem, not ten thousand. A topic that gets paused, or a fault of ours, stops the wave.
    """
    wave = tx.waves.get(turn.wave_id)
    if wave is None:
        return DONE
    silent = all(sent[key].result.status == 0 for key in turn.ready)
    outcomes: dict[EnrollmentKey, str] = {
        key: obstacle.value for key, obstacle in turn.obstacles.items() if not (silent and obstacle is Obstacle.TOPIC_PAUSED)
    }
    blocked = stopping = ""
    if silent and turn.ready:
        first = sent[next(iter(turn.ready))].result
        blocked = f"APNs cannot be reached: {first.error or NO_ANSWER}"
    elif silent and turn.paused:
        stopping = _paused(tx, turn.paused)
    else:
        stopping = _settle_pushes(tx, [sent[key] for key in turn.ready], outcomes, now)
    tried = [target for target in turn.targets if target.enrollment_key in outcomes]
    tx.waves.settle([replace(target, outcome=outcomes[target.enrollment_key]) for target in tried])
    if not tx.waves.untried(wave.id, 1):
        _end(tx, wave, now)
        return DONE
    if wave.state is not WaveState.RUNNING:
        return DONE
    if stopping:
        halt(tx, wave, stopping, now=now, actor=ACTOR)
        return DONE
    if blocked:
        since = wave.changed_at if wave.problem else now
        tx.waves.update(replace(wave, problem=blocked, changed_at=since))
        return Outcome(pause(since, now), blocked)
    if wave.problem:
        tx.waves.update(replace(wave, problem="", changed_at=now))
    return Outcome(wait(wave.per_second, len(turn.ready), turn.began, now))


def halt(tx: Tx, wave: Wave, problem: str, *, now: datetime, actor: str) -> Wave:
    """Stops a running wave; `problem` is what made it stop, empty where somebody wanted it."""
    stopped = replace(wave, state=WaveState.STOPPED, changed_at=now, problem=problem)
    tx.waves.update(stopped)
    detail = {"wave": wave.id, **({"problem": problem} if problem else {})}
    tx.events.append(Event(now, EventKind.PUSH_WAVE_STOPPED, actor, detail=detail))
    return stopped


def _settle_pushes(tx: Tx, sent: Sequence[Sent], outcomes: dict[EnrollmentKey, str], now: datetime) -> str:
    """Adds the outcome of each push, but for those that a pause of their topic met; what stops the wave, if anything does."""
    delivered: list[EnrollmentKey] = []
    stopping = ""
    for each in sent:
        key, action = each.target.key, judge(each.result)
        if action is Action.DELIVERED:
            delivered.append(key)
            outcomes[key] = word(each.result)
            continue
        after = pushing.settle(tx, each, attempts=1, now=now)
        if after.retry_after is not None:
            leave_push(tx, key, now, after=after.retry_after)
        elif action is Action.PAUSE_TOPIC:
            stopping = _paused(tx, each.target.topic or "")
            continue
        elif action is Action.OUR_FAULT:
            stopping = stopping or f"APNs does not take what it is sent: {word(each.result)}"
        outcomes[key] = word(each.result)
    if delivered:
        tx.enrollments.note_pushed(delivered, now)
    return stopping


def _paused(tx: Tx, topic: str) -> str:
    return f"pushing under {topic} is paused: {tx.notes.get(pushing.paused_note(topic)) or 'no reason given'}"


def _end(tx: Tx, wave: Wave, now: datetime) -> None:
    tx.waves.update(replace(wave, state=WaveState.DONE, changed_at=now, problem=""))
    outcomes = {str(outcome): count for outcome, count in tx.waves.tally(wave.id).items()}
    tx.events.append(Event(now, EventKind.PUSH_WAVE_ENDED, ACTOR, detail={"wave": wave.id, "outcomes": outcomes}))
