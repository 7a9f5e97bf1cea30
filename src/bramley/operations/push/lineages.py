"""Lineages of push certificates: one for each topic, and one without a topic yet for a first request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from bramley.model import ids
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Version
from bramley.model.lineages import VersionState as S
from bramley.operations.errors import Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx

UNNAMED = "new:"
"""How the name of a lineage begins whose topic Apple has not given yet."""

OPEN = frozenset({S.PLANNED, S.REQUESTED, S.AWAITING})
"""States of a version that waits for its certificate."""


def topic_of(lineage: Lineage) -> str | None:
    """The topic of a push lineage; None while there is none."""
    return None if lineage.name.startswith(UNNAMED) else lineage.name


def unnamed(tx: Tx, *, now: datetime) -> Lineage:
    """A new lineage, to be named once Apple has given a topic."""
    fresh = ids.fresh(now)
    lineage = Lineage(LineageID(fresh), Kind.PUSH, UNNAMED + fresh, Policy(), now)
    tx.lineages.add(lineage)
    return lineage


def of_topic(tx: Tx, topic: str | None) -> Lineage:
    """The lineage of a topic; without one, the only lineage there is. NotFound, Invalid."""
    found = [lineage for lineage in tx.lineages.of_kind(Kind.PUSH) if topic_of(lineage) is not None]
    if topic is not None:
        found = [lineage for lineage in found if lineage.name == topic]
    if not found:
        named = f"for the topic {topic}" if topic else "yet"
        raise NotFound(f"There is no push certificate {named}.", advice="`bramley push status` shows what there is.")
    if len(found) > 1:
        topics = ", ".join(lineage.name for lineage in found)
        raise Invalid(f"There are push certificates of {len(found)} topics: {topics}.", advice="Say which one by --topic.")
    return found[0]


def versions(tx: Tx) -> Iterator[tuple[Lineage, Version]]:
    """Every version of every push lineage, the lineage with it."""
    for lineage in tx.lineages.of_kind(Kind.PUSH):
        for version in tx.lineages.versions(lineage.id):
            yield lineage, version


def with_key(tx: Tx, spki_sha256: str) -> list[tuple[Lineage, Version]]:
    """The versions of a key that this server holds, newest last."""
    found = [(lineage, version) for lineage, version in versions(tx) if version.spki_sha256 == spki_sha256 and version.key_id]
    return sorted(found, key=lambda pair: pair[1].id)


def note(tx: Tx, lineage: Lineage, *, account: str, route: str, now: datetime, actor: str) -> Lineage:
    """Keeps on record which Apple Account a lineage belongs to, and its route; what is empty stays as it is."""
    noted = replace(lineage, owner=account or lineage.owner, route=route or lineage.route)
    if noted != lineage:
        tx.lineages.update(noted)
        detail = {"lineage": lineage.id, "name": lineage.name, "account": noted.owner, "route": noted.route}
        tx.events.append(Event(now, EventKind.PUSH_ACCOUNT_NOTED, actor, detail=detail))
    return noted


async def note_account(installation: Installation, topic: str | None, account: str, *, actor: str) -> Lineage:
    """Writes down which Apple Account the push certificate of a topic belongs to."""
    if not account.strip() or len(account) > 255:
        raise Invalid("Expected the name of an Apple Account, such as it@example.com.")
    now = installation.clock.now()

    def put(tx: Tx) -> Lineage:
        return note(tx, of_topic(tx, topic), account=account.strip(), route="", now=now, actor=actor)

    return await installation.store.run(put)
