"""How it stands with each push topic: what is in force, what is under way, whose turn it is, and who would be hurt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bramley.lifecycle.next_step import NextStep, next_step
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Version
from bramley.model.lineages import VersionState as S
from bramley.operations import pushing
from bramley.operations.installation import Installation
from bramley.operations.push import lineages
from bramley.operations.push.requests import open_request
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """One topic. `topic` is None for a first request; `lineage` is None where devices listen and nothing else is here.

    `paused` is why APNs refuses its certificate, empty where it does not. `devices` counts enrolled ones, channels left out.
    """

    topic: str | None
    lineage: Lineage | None
    active: Version | None
    on_trial: Version | None
    requested: Version | None
    devices: int
    paused: str
    next: NextStep | None

    @property
    def account(self) -> str:
        return self.lineage.owner if self.lineage else ""

    @property
    def route(self) -> str:
        return self.lineage.route if self.lineage else ""


async def overview(installation: Installation) -> list[TopicStatus]:
    """Every topic that has a push certificate, a request, or devices."""
    now = installation.clock.now()
    return await installation.store.read(lambda tx: read(tx, now))


def read(tx: Tx, now: datetime) -> list[TopicStatus]:
    """As `overview`, in a transaction."""
    listening = tx.enrollments.devices_by_topic()
    found = [_status(tx, lineage, listening, now) for lineage in tx.lineages.of_kind(Kind.PUSH)]
    shown = [status for status in found if status.topic is not None or status.requested is not None]
    known = {status.topic for status in shown}
    strays = [topic for topic in listening if topic not in known]
    return shown + [TopicStatus(topic, None, None, None, None, listening[topic], "", None) for topic in sorted(strays)]


def _status(tx: Tx, lineage: Lineage, listening: dict[str, int], now: datetime) -> TopicStatus:
    versions = tx.lineages.versions(lineage.id)
    topic = lineages.topic_of(lineage)
    active = next((version for version in versions if version.state is S.ACTIVE), None)
    on_trial = [version for version in versions if version.state is S.ISSUED]
    requested = open_request(tx, lineage)
    turn_of = on_trial[-1] if on_trial else requested or active
    return TopicStatus(
        topic,
        lineage,
        active,
        on_trial[-1] if on_trial else None,
        requested,
        listening.get(topic, 0) if topic else 0,
        (tx.notes.get(pushing.paused_note(topic)) or "") if topic else "",
        next_step(lineage, turn_of, now, grace=timedelta()) if turn_of else None,
    )
