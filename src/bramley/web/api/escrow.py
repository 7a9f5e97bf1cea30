"""/escrow and /devices/…/escrow: FileVault recovery keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import Response, get, post
from litestar.params import JSONBody
from msgspec import Meta

from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import escrow
from bramley.web.api.devices import DeviceName, LiveServer
from bramley.web.api.no_store import no_store
from bramley.web.api.requests import AdminRequest, Limit, Reason
from bramley.web.api.views import CommandView


class RevealBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is needed, for the events; `every` asks for those that were replaced as well."""

    reason: Annotated[Reason, Meta(min_length=1)]
    every: bool = False


class EscrowedView(msgspec.Struct, frozen=True, kw_only=True):
    """A Mac, and since when its recovery key is known. The key is not shown."""

    device_id: str
    received_at: datetime

    @classmethod
    def of(cls, known: RecoveryKey) -> Self:
        return cls(device_id=known.device, received_at=known.received_at)


class RecoveryKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery key in clear; `replaced_at` where a later one took its place."""

    recovery_key: str
    received_at: datetime
    replaced_at: datetime | None

    def __repr__(self) -> str:
        return "RecoveryKeyView()"


@get("/escrow")
async def list_escrowed(live: LiveServer, limit: Limit = 100) -> list[EscrowedView]:
    """The Macs whose recovery key is known."""
    found: Sequence[RecoveryKey] = await live.installation.store.read(lambda tx: tx.recovery_keys.current(limit=limit))
    return [EscrowedView.of(each) for each in found]


@post("/devices/{device:str}/escrow/enable", status_code=202)
async def enable_escrow(live: LiveServer, request: AdminRequest, device: DeviceName) -> CommandView:
    """Sends the Mac the certificate that it encrypts its recovery key to: a first one, or the next."""
    return CommandView.of(await escrow.enable(live, device, actor=request.auth))


@post("/devices/{device:str}/escrow/fetch", status_code=202)
async def fetch_recovery_key(live: LiveServer, request: AdminRequest, device: DeviceName) -> CommandView:
    """Asks the Mac for its recovery key."""
    return CommandView.of(await escrow.fetch(live.installation, device, actor=request.auth))


@post("/devices/{device:str}/escrow/rotate", status_code=202)
async def rotate_recovery_key(live: LiveServer, request: AdminRequest, device: DeviceName) -> CommandView:
    """Has the Mac make a new recovery key and tell it. The one before is kept."""
    return CommandView.of(await escrow.rotate(live.installation, device, actor=request.auth))


@post("/devices/{device:str}/escrow/reveal", status_code=200)
async def reveal_recovery_key(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[RevealBody]
) -> Response[list[RecoveryKeyView]]:
    """The Mac's recovery key. That it was read, by whom and why, is written down; nothing on the way may keep the answer."""
    found = await escrow.reveal(live.installation, device, reason=data.reason, every=data.every, actor=request.auth)
    shown = [
        RecoveryKeyView(recovery_key=each.text, received_at=each.received_at, replaced_at=each.replaced_at) for each in found
    ]
    return no_store(shown)


HANDLERS = (list_escrowed, enable_escrow, fetch_recovery_key, rotate_recovery_key, reveal_recovery_key)
