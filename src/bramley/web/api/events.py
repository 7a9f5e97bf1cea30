"""/events."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import get
from litestar.params import FromQuery

from bramley.model.events import Event, EventKind
from bramley.operations import certificates, devices
from bramley.storage.protocols import Tx
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import Limit
from bramley.web.api.views import EventView


@get("/events")
async def list_events(
    live: LiveServer,
    kind: FromQuery[EventKind | None] = None,
    device: FromQuery[str | None] = None,
    certificate: FromQuery[str | None] = None,
    limit: Limit = 100,
) -> list[EventView]:
    """What happened, newest first: of one kind, to one device, to one certificate."""

    def find(tx: Tx) -> Sequence[Event]:
        return tx.events.find(
            kind=kind,
            enrollment_key=None if device is None else devices.resolve(tx, device).key,
            version_id=None if certificate is None else certificates.find(tx, certificate).id,
            limit=limit,
        )

    return [EventView.of(event) for event in await live.installation.store.read(find)]


HANDLERS = (list_events,)
