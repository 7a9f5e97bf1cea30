"""Events, admins and notes."""

from __future__ import annotations

import pytest

from bramley.model.admins import AdminToken
from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.model.lineages import VersionID
from bramley.storage.errors import Conflict
from bramley.storage.protocols import Store
from tests.conftest import NOW

from .kit import store_all


async def test_events_are_found_newest_first(store: Store) -> None:
    device, certificate = EnrollmentKey("device"), VersionID("version")
    events = [
        Event(NOW, EventKind.SERVER_STARTED, "server"),
        Event(NOW, EventKind.PROFILE_FETCHED, "device:1", enrollment_key=device, detail={"n": 1, "list": ["é", None, True]}),
        Event(NOW, EventKind.CERTIFICATE_ISSUED, "device:1", enrollment_key=device, version_id=certificate),
    ]
    await store_all(store, *events)

    found = await store.read(lambda tx: tx.events.find())
    assert [(each.kind, each.actor, dict(each.detail)) for each in found] == [
        (each.kind, each.actor, dict(each.detail)) for each in reversed(events)
    ]
    ids = [each.id for each in found]
    assert ids == sorted(ids, key=lambda event_id: event_id or 0, reverse=True)
    assert await store.read(lambda tx: tx.events.find(limit=1)) == found[:1]
    assert await store.read(lambda tx: tx.events.find(enrollment_key=device)) == found[:2]
    assert await store.read(lambda tx: tx.events.find(version_id=certificate)) == found[:1]
    assert await store.read(lambda tx: tx.events.find(kind=EventKind.SERVER_STARTED)) == found[2:]
    assert await store.read(lambda tx: tx.events.find(kind=EventKind.SERVER_STARTED, enrollment_key=device)) == []


async def test_admins_are_known_by_their_token(store: Store) -> None:
    ann = AdminToken("1", "ann", "ab" * 32, NOW)
    assert await store.read(lambda tx: tx.admins.count()) == 0
    await store.run(lambda tx: tx.admins.add(ann))
    assert await store.read(lambda tx: tx.admins.by_hash(ann.token_sha256)) == ann
    assert await store.read(lambda tx: tx.admins.by_hash("cd" * 32)) is None
    assert await store.read(lambda tx: tx.admins.count()) == 1
    with pytest.raises(Conflict):
        await store.run(lambda tx: tx.admins.add(AdminToken("2", "bob", ann.token_sha256, NOW)))


async def test_a_note_holds_its_last_text(store: Store) -> None:
    assert await store.read(lambda tx: tx.notes.get("topic")) is None
    await store.run(lambda tx: tx.notes.set("topic", "first"))
    await store.run(lambda tx: tx.notes.set("topic", "second"))
    assert await store.read(lambda tx: tx.notes.get("topic")) == "second"
    for name in ("topic:b", "topic:A", "Topic:c", "topic_d"):
        await store.run(lambda tx, name=name: tx.notes.set(name, "x"))  # type: ignore[misc]
    assert await store.read(lambda tx: tx.notes.names("topic:")) == ["topic:A", "topic:b"]
    await store.run(lambda tx: tx.notes.delete("topic"))
    await store.run(lambda tx: tx.notes.delete("topic"))
    assert await store.read(lambda tx: tx.notes.get("topic")) is None
