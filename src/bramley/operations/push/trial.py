"""Trying a push certificate out with one push: a renewed one before the former is given up, a refused one before all resumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bramley.apple.push.reasons import Action, judge
from bramley.model.enrollments import Enrollment
from bramley.model.jobs import DONE, Job, Outcome, pause_after
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.operations import pushing, records
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.operations.live import PushIdentity, push_identity
from bramley.operations.push import lineages
from bramley.operations.pushing import Sent
from bramley.storage.protocols import Tx

TRIAL: Final = "push-trial"
"""The job that tries a certificate out; its argument is `topic`."""

PROBES: Final = 5
"""Devices that are tried before the trial is put off: the ones that were seen last."""

AGAIN: Final = timedelta(hours=1)

_REFUSED: Final = frozenset({Action.PAUSE_TOPIC, Action.WRONG_TOPIC, Action.OUR_FAULT})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate to try out, and the devices to try it on."""

    version: Version
    identity: PushIdentity
    probes: Sequence[Enrollment]


def leave(tx: Tx, topic: str, now: datetime) -> None:
    """Leaves the trial of a topic to be held now."""
    tx.jobs.add(Job(TRIAL, now, now, {"topic": topic}, dedup_key=f"{TRIAL}:{topic}"))


def candidate(tx: Tx, installation: Installation, topic: str) -> Candidate | None:
    """The newest certificate of a topic that is on trial, else the one in force where its topic is paused; None otherwise."""
    lineage = tx.lineages.find(Kind.PUSH, topic)
    if lineage is None:
        return None
    known = tx.lineages.versions(lineage.id)
    waiting = [version for version in known if version.state is VersionState.ISSUED]
    if not waiting and tx.notes.get(pushing.paused_note(topic)) is not None:
        waiting = [version for version in known if version.state is VersionState.ACTIVE]
    if not waiting:
        return None
    identity = push_identity(tx, installation.sealer, lineage, waiting[-1])
    return None if identity is None else Candidate(waiting[-1], identity, _probes(tx, topic))


def settle(tx: Tx, tried: Candidate, sent: Sequence[Sent], *, attempts: int, per_second: float, now: datetime) -> Outcome:
    """What the trial has shown. Success puts a new certificate in force, and ends the pause of the one in force; a refusal by
    APNs ends the trial, and all stays as it was.

    A dead token says nothing against the certificate. Where the former has expired meanwhile, the new one takes over untried.
    """
    version = tx.lineages.version(tried.version.id)
    if version is None or version.state is not tried.version.state:
        return DONE  # rolled back, or promoted by somebody else
    topic, actor = tried.identity.topic, f"job:{TRIAL}"
    new = version.state is VersionState.ISSUED
    current = records.active(tx, Kind.PUSH, topic)
    verdicts = [judge(one.result) for one in sent]
    for one, verdict in zip(sent, verdicts, strict=True):
        if verdict in (Action.DELIVERED, Action.STOP_TOKEN):
            pushing.settle(tx, one, attempts=attempts, now=now)
    refused = next((one for one, verdict in zip(sent, verdicts, strict=True) if verdict in _REFUSED), None)
    if refused is not None:
        reason = refused.result.reason or refused.result.error or f"status {refused.result.status}"
        if new:
            records.move(tx, version, VersionState.FAILED, now=now, actor=actor, reason=f"APNs refused it: {reason}")
        return Outcome(None, f"APNs refused the certificate: {reason}")
    if Action.DELIVERED in verdicts or (new and (current is None or current.expired(now))):
        if new:
            version = records.promote(tx, version, now=now, actor=actor)
            records.touch(tx)
        pushing.resume(tx, topic, version, per_second=per_second, now=now, actor=actor)
        return DONE
    trouble = next((one.result.error or one.result.reason for one in sent), None)
    wait = pause_after(attempts, AGAIN)
    return Outcome(wait, trouble or "no device to try it on")


async def ask_to_resume(installation: Installation, topic: str | None) -> str:
    """Has the server try one push under a paused topic, and go on if APNs takes it; the topic. Conflict where none is paused."""
    now = installation.clock.now()

    def act(tx: Tx) -> str:
        name = lineages.of_topic(tx, topic).name
        if tx.notes.get(pushing.paused_note(name)) is None:
            raise Conflict(f"Pushing is not paused for {name}.", advice="`bramley push status` shows how it stands.")
        leave(tx, name, now)
        return name

    return await installation.store.run(act)


async def rollback(installation: Installation, topic: str | None, *, reason: str, actor: str) -> Version:
    """Returns to the push certificate before: one on trial is dropped, else the superseded one is in force again.

    Returns the one in force. Conflict where there is none to return to that is still valid.
    """
    now = installation.clock.now()

    def act(tx: Tx) -> Version:
        lineage = lineages.of_topic(tx, topic)
        known = tx.lineages.versions(lineage.id)
        current = next((v for v in known if v.state is VersionState.ACTIVE), None)
        on_trial = [version for version in known if version.state is VersionState.ISSUED]
        if on_trial and current is not None:
            for version in on_trial:
                records.move(tx, version, VersionState.FAILED, now=now, actor=actor, reason=reason)
            return current
        former = [v for v in known if v.state is VersionState.SUPERSEDED and not v.expired(now)]
        if not former or current is None:
            raise Conflict(
                f"There is no earlier push certificate of {lineage.name} that is still valid.",
                advice="Renew the one in force at identity.apple.com, with the same Apple Account.",
            )
        records.move(tx, current, VersionState.SUPERSEDED, now=now, actor=actor, reason=reason)
        back = records.move(tx, former[-1], VersionState.ACTIVE, now=now, actor=actor, reason=reason)
        pace = installation.settings.push.wakes_per_second
        pushing.resume(tx, lineage.name, back, per_second=pace, now=now, actor=actor)
        records.touch(tx)
        return back

    return await installation.store.run(act)


def _probes(tx: Tx, topic: str) -> list[Enrollment]:
    found = pushing.reachable(tx, topic)
    seen = [(one.last_seen_at or one.created_at, one) for one in found]
    return [one for _moment, one in sorted(seen, key=lambda pair: pair[0], reverse=True)[:PROBES]]
