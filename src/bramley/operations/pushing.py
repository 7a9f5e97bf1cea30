"""Waking devices: what to push to, and what an answer of APNs means for us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from bramley.apple.push.client import Push, PushResult
from bramley.apple.push.reasons import Action, judge
from bramley.mdm.token_update import leave_push
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import DONE, Outcome, pause_after
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.operations import devices, records
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx

TARGETS = frozenset({EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED})
LONGEST_WAIT = timedelta(hours=1)
"""Between two attempts to push, unless APNs asks for more."""

_LONGEST_ASKED_FOR = timedelta(days=1)


class Obstacle(StrEnum):
    """Why nothing can be sent to an enrollment now."""

    NOT_ENROLLED = "not enrolled"
    NO_TOKEN = "no token"  # noqa: S105 - a state, not a secret
    TOKEN_DEAD = "token dead"  # noqa: S105 - a state, not a secret
    TOPIC_PAUSED = "topic paused"
    NO_CERTIFICATE = "no push certificate"


_SURMOUNTABLE = frozenset({None, Obstacle.NO_CERTIFICATE})
"""Without a certificate a push waits for one: another process may have imported it a moment ago."""


class Lookout:
    """Tells who can be pushed to in one transaction, asking once for each topic."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._topics: dict[str, Obstacle | None] = {}

    def obstacle(self, enrollment: Enrollment | None) -> Obstacle | None:
        """What stands between us and a push to it; None where nothing does."""
        if enrollment is None or enrollment.state not in TARGETS:
            return Obstacle.NOT_ENROLLED
        if (of_token := token_obstacle(enrollment)) is not None:
            return of_token
        topic = enrollment.topic or ""
        if topic not in self._topics:
            self._topics[topic] = self._of_topic(topic)
        return self._topics[topic]

    def _of_topic(self, topic: str) -> Obstacle | None:
        if self._tx.notes.get(paused_note(topic)) is not None:
            return Obstacle.TOPIC_PAUSED
        return Obstacle.NO_CERTIFICATE if records.active(self._tx, Kind.PUSH, topic) is None else None


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for a push to one device."""

    device: str
    queued: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """One push that was tried: to whom, under which push certificate (its SHA-256), and how it went."""

    target: Enrollment
    certificate: str
    result: PushResult


async def request_push(installation: Installation, names: Sequence[str]) -> Sequence[Asked]:
    """Queues a push for each named device; says which cannot be pushed, and why."""
    now = installation.clock.now()

    def add(tx: Tx) -> list[Asked]:
        asked, lookout = [], Lookout(tx)
        for name in names:
            enrollment = devices.resolve(tx, name)
            obstacle = lookout.obstacle(enrollment)
            if obstacle in _SURMOUNTABLE:
                leave_push(tx, enrollment.key, now)
                asked.append(Asked(name, queued=True))
            else:
                asked.append(Asked(name, queued=False, why_not=_why_not(tx, enrollment, obstacle)))
        return asked

    return await installation.store.run(add)


def targets(tx: Tx, keys: Sequence[EnrollmentKey]) -> Mapping[EnrollmentKey, Enrollment]:
    """Those of the enrollments that can be pushed to now."""
    found, lookout = (tx.enrollments.get(key) for key in keys), Lookout(tx)
    return {e.key: e for e in found if e is not None and lookout.obstacle(e) in _SURMOUNTABLE}


def reachable(tx: Tx, topic: str) -> list[Enrollment]:
    """The devices of a topic that have a live token, whether the topic is paused or not."""
    found = []
    for state in TARGETS:
        found += [e for e in devices.each(tx, state, topic=topic) if e.parent is None and token_obstacle(e) is None]
    return found


def message(enrollment: Enrollment) -> Push:
    """The push for an enrollment out of `targets`."""
    if enrollment.push_token is None or enrollment.push_magic is None:
        raise AssertionError("a push target has a token and a PushMagic")
    return Push(enrollment.push_token, enrollment.push_magic)


def settle(tx: Tx, sent: Sent, *, attempts: int, now: datetime) -> Outcome:
    """Stores what APNs answered for one device (the reasons of Apple's "Handling notification responses from APNs").

    Trouble of Apple's or of the network is tried again for as long as it lasts: a device that sleeps has no other alarm.
    """
    result = sent.result
    current = tx.enrollments.get(sent.target.key)
    if current is None:
        return DONE
    again = Outcome(_wait(result, attempts), result.reason or result.error or "no answer")
    match judge(result):
        case Action.DELIVERED:
            tx.enrollments.update(replace(current, last_push_at=now))
            return DONE
        case Action.STOP_TOKEN:
            return again if _stop(tx, sent, current, now) else DONE
        case Action.PAUSE_TOPIC:
            version = tx.lineages.by_sha256(sent.certificate)
            if version is None or version.state is not VersionState.ACTIVE:
                return again  # another certificate came meanwhile, and nothing was said of that one
            pause(tx, sent.target.topic or "", result.reason or "", now=now)
            return DONE
        case Action.RETRY | Action.BACK_OFF_TOKEN:
            return again
        case Action.WRONG_TOPIC:
            _tell_mismatch(tx, sent, current, now)
            return Outcome(None, again.error)
        case Action.OUR_FAULT:
            return Outcome(None, again.error)


def paused_note(topic: str) -> str:
    """The note that says that pushing under a topic is paused, and why."""
    return f"push-topic-paused:{topic}"


def pause(tx: Tx, topic: str, reason: str, *, now: datetime) -> None:
    """Stops pushing under a topic until `resume`: one event, however many devices."""
    if tx.notes.get(paused_note(topic)) is None:
        tx.notes.set(paused_note(topic), reason)
        tx.events.append(Event(now, EventKind.PUSH_TOPIC_PAUSED, "job:push", detail={"topic": topic, "reason": reason}))


def resume(tx: Tx, topic: str, version: Version, *, per_second: float, now: datetime, actor: str) -> None:
    """Ends a pause, if there is one, and wakes whoever has commands waiting: what was to be pushed meanwhile was dropped.

    So many in a second, since they all call back; 0 for all at once.
    """
    if tx.notes.get(paused_note(topic)) is None:
        return
    tx.notes.delete(paused_note(topic))
    tx.events.append(Event(now, EventKind.PUSH_TOPIC_RESUMED, actor, version_id=version.id, detail={"topic": topic}))
    everyone = (each for state in TARGETS for each in devices.each(tx, state, topic=topic))
    waiting = (enrollment.key for enrollment in everyone if tx.commands.pending(enrollment.key))
    for place, key in enumerate(waiting):
        leave_push(tx, key, now, after=timedelta(seconds=place / per_second) if per_second else timedelta())


def _tell_mismatch(tx: Tx, sent: Sent, current: Enrollment, now: datetime) -> None:
    """One event for each push certificate, however many tokens do not belong to it: a person has to look, no device is dead."""
    note = f"push-topic-mismatch:{sent.certificate}"
    if tx.notes.get(note) is None:
        tx.notes.set(note, sent.result.reason or "")
        detail = {"topic": current.topic, "reason": sent.result.reason}
        version = tx.lineages.by_sha256(sent.certificate)
        named = version.id if version else None
        tx.events.append(Event(now, EventKind.PUSH_TOPIC_MISMATCH, "job:push", current.key, named, detail))


def _stop(tx: Tx, sent: Sent, current: Enrollment, now: datetime) -> bool:
    """Stops a token that APNs calls dead; or says that it should be tried again, since the device vouched for it later.

    Apple: stop until a TokenUpdate that is later than the answer's timestamp. It may bring the same token.
    """
    if current.push_token != sent.target.push_token:
        return False  # a TokenUpdate came in between, and has left a push to the new token
    since, updated_at = sent.result.timestamp, current.token_updated_at
    if since is not None and updated_at is not None and updated_at > since:
        return True
    if current.push_stopped_at is None:
        tx.enrollments.update(replace(current, push_stopped_at=now))
        reason = {"reason": sent.result.reason}
        tx.events.append(Event(now, EventKind.PUSH_TOKEN_DEAD, "job:push", current.key, detail=reason))
    return False


def _wait(result: PushResult, attempts: int) -> timedelta:
    if result.retry_after:
        return timedelta(seconds=min(result.retry_after, _LONGEST_ASKED_FOR.total_seconds()))
    return pause_after(attempts, LONGEST_WAIT)


def token_obstacle(enrollment: Enrollment) -> Obstacle | None:
    """What keeps its token from being pushed to; None where it is live, as far as we know."""
    if enrollment.push_token is None or enrollment.push_magic is None:
        return Obstacle.NO_TOKEN
    return Obstacle.TOKEN_DEAD if enrollment.push_stopped_at is not None else None


def _why_not(tx: Tx, enrollment: Enrollment, obstacle: Obstacle | None) -> str:
    match obstacle:
        case Obstacle.NO_TOKEN:
            return "it has sent no push token yet"
        case Obstacle.TOKEN_DEAD:
            return "APNs says that its token is dead; its next TokenUpdate revives it"
        case Obstacle.TOPIC_PAUSED:
            reason = tx.notes.get(paused_note(enrollment.topic or ""))
            return f"pushing is paused ({reason}); renew the push certificate, or `bramley push resume` once the cause is gone"
        case _:
            return f"it is {enrollment.state}"
