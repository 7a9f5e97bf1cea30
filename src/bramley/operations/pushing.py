"""Waking devices: what to push to, and what an answer of APNs means for us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bramley.apple.push.client import Push, PushResult
from bramley.apple.push.reasons import Action, judge
from bramley.mdm.token_update import PUSH
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.operations import devices
from bramley.operations.installation import Installation
from bramley.operations.push_certificate import paused_note
from bramley.storage.protocols import Tx

TARGETS = frozenset({EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED})


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking for a push to one device."""

    device: str
    queued: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one push: done with, or to be tried again after a while."""

    retry_after: timedelta | None = None
    error: str = ""


def add_job(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Leaves a push to be sent; many before it is sent are one."""
    tx.jobs.add(Job(PUSH, now, now, {"enrollment_key": key}, dedup_key=f"{PUSH}:{key}"))


async def request_push(installation: Installation, names: Sequence[str]) -> Sequence[Asked]:
    """Queues a push for each named device; says which cannot be pushed, and why."""
    now = installation.clock.now()

    def add(tx: Tx) -> list[Asked]:
        asked = []
        for name in names:
            enrollment = devices.resolve(tx, name)
            why_not = _why_not(enrollment)
            if not why_not:
                add_job(tx, enrollment.key, now)
            asked.append(Asked(name, not why_not, why_not))
        return asked

    return await installation.store.run(add)


def targets(tx: Tx, keys: Sequence[EnrollmentKey]) -> Mapping[EnrollmentKey, Enrollment]:
    """Those of the enrollments that can be pushed to now."""
    found = (tx.enrollments.get(key) for key in keys)
    return {e.key: e for e in found if e is not None and not _why_not(e) and tx.notes.get(paused_note(e.topic or "")) is None}


def message(enrollment: Enrollment) -> Push:
    """The push for an enrollment out of `targets`."""
    if enrollment.push_token is None or enrollment.push_magic is None:
        raise AssertionError("a push target has a token and a PushMagic")
    return Push(enrollment.push_token, enrollment.push_magic)


def settle(tx: Tx, pushed: Enrollment, result: PushResult, *, attempts: int, now: datetime) -> Outcome:
    """Stores what APNs answered for one device (the reasons of Apple's "Handling notification responses from APNs")."""
    action = judge(result)
    current = tx.enrollments.get(pushed.key)
    if current is None:
        return Outcome()
    if action is Action.DELIVERED:
        tx.enrollments.update(replace(current, last_push_at=now))
        return Outcome()
    if action is Action.STOP_TOKEN:
        if current.push_token == pushed.push_token:  # else a TokenUpdate came in between
            tx.enrollments.update(replace(current, push_stopped_at=now))
            tx.events.append(Event(now, EventKind.PUSH_TOKEN_DEAD, "job:push", current.key, detail={"reason": result.reason}))
        return Outcome()
    if action is Action.PAUSE_TOPIC:
        pause(tx, pushed.topic or "", result.reason or "", now=now)
        return Outcome()
    wait = timedelta(seconds=result.retry_after or min(5 * 2**attempts, 3600))
    error = result.reason or result.error or "no answer"
    if action in {Action.RETRY, Action.BACK_OFF_TOKEN}:
        return Outcome(wait, error)
    return Outcome(None, error)


def pause(tx: Tx, topic: str, reason: str, *, now: datetime) -> None:
    """Stops pushing under a topic until a new certificate comes in: one event, however many devices."""
    if tx.notes.get(paused_note(topic)) is None:
        tx.notes.set(paused_note(topic), reason)
        tx.events.append(Event(now, EventKind.PUSH_TOPIC_PAUSED, "job:push", detail={"topic": topic, "reason": reason}))


def _why_not(enrollment: Enrollment) -> str:
    if enrollment.state not in TARGETS:
        return f"it is {enrollment.state}"
    if enrollment.push_token is None or enrollment.push_magic is None:
        return "it has sent no push token yet"
    if enrollment.push_stopped_at is not None:
        return "APNs says that its token is dead; its next TokenUpdate revives it"
    return ""
