"""/devices/…/pins: what unlocks a Mac that was locked or erased."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import Response, post
from litestar.params import JSONBody
from msgspec import Meta

from bramley.model.commands import CommandState
from bramley.operations import device_commands
from bramley.operations.device_commands import KeptPIN
from bramley.web.api.devices import DeviceName, LiveServer
from bramley.web.api.no_store import no_store
from bramley.web.api.requests import AdminRequest, Reason


class PINsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why they are needed, for the events."""

    reason: Annotated[Reason, Meta(min_length=1)]


class PINView(msgspec.Struct, frozen=True, kw_only=True):
    """A PIN in clear, and how it stands with the command that it went out with."""

    pin: str
    request_type: str
    command_uuid: str
    state: CommandState
    created_at: datetime
    answered_at: datetime | None

    @classmethod
    def of(cls, kept: KeptPIN) -> Self:
        command = kept.command
        return cls(
            pin=kept.pin,
            request_type=command.request_type,
            command_uuid=command.uuid,
            state=command.state,
            created_at=command.created_at,
            answered_at=command.answered_at,
        )

    def __repr__(self) -> str:
        return f"PINView({self.command_uuid!r}, {self.request_type!r})"  # never a PIN


@post("/devices/{device:str}/pins", status_code=200)
async def read_pins(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[PINsBody]
) -> Response[list[PINView]]:
    """The PINs of the device's locks and erasures, newest first. That they were read, by whom and why, is written down."""
    found = await device_commands.pins(live.installation, device, reason=data.reason, actor=request.auth)
    return no_store([PINView.of(each) for each in found])


HANDLERS = (read_pins,)
