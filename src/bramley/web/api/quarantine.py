"""/devices/{device}/quarantine and /devices/{device}/release."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import post
from litestar.params import JSONBody
from msgspec import Meta

from bramley.model.lineages import RevocationReason
from bramley.operations import quarantine
from bramley.operations.errors import Invalid
from bramley.operations.quarantine import Measure, Order
from bramley.web.api.devices import DeviceName, LiveServer
from bramley.web.api.requests import AdminRequest, Reason, ResumeBody
from bramley.web.api.views import CommandView, DeviceView, VersionView


class QuarantineBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With `measure`, `serial_number` repeats the device's (its id where it has told none), and the identity is revoked once the
    device has acknowledged. `pin` is the six digits that an erased or locked Mac will ask for. `now` revokes at once instead.
    """

    reason: Annotated[Reason, Meta(min_length=1)]
    because: RevocationReason = RevocationReason.KEY_COMPROMISE
    measure: Measure | None = None
    serial_number: Annotated[str, Meta(max_length=255)] = ""
    pin: Annotated[str, Meta(max_length=6)] | None = None
    now: bool = False

    def __repr__(self) -> str:
        return f"QuarantineBody({self.reason!r}, {self.measure})"  # never a PIN


class QuarantinedView(msgspec.Struct, frozen=True, kw_only=True):
    """The device as it is now, the command to wait for, and what was revoked at once."""

    device: DeviceView
    command: CommandView | None
    revoked: list[VersionView]


class ReleasedView(msgspec.Struct, frozen=True, kw_only=True):
    """The device as it is now, and what waits for it, in queue order."""

    device: DeviceView
    waiting: list[CommandView]


@post("/devices/{device:str}/quarantine", status_code=200)
async def quarantine_device(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[QuarantineBody]
) -> QuarantinedView:
    """Quarantines the device: it can be locked and erased, and gets nothing else."""
    done = await quarantine.quarantine(
        live.installation,
        device,
        reason=data.reason,
        because=data.because,
        order=order_of(data),
        revoke_now=data.now,
        actor=request.auth,
    )
    return QuarantinedView(
        device=DeviceView.of(done.enrollment),
        command=None if done.command is None else CommandView.of(done.command),
        revoked=[VersionView.of(version) for version in done.revoked],
    )


@post("/devices/{device:str}/release", status_code=200)
async def release_device(live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[ResumeBody]) -> ReleasedView:
    """Ends the quarantine: what it ordered is withdrawn, what waits is delivered."""
    done = await quarantine.release(live.installation, device, reason=data.reason, actor=request.auth)
    return ReleasedView(device=DeviceView.of(done.enrollment), waiting=[CommandView.of(command) for command in done.waiting])


def order_of(body: QuarantineBody) -> Order | None:
    """What is to be done to a device in quarantine. Raises Invalid for a PIN or a serial number that belongs to nothing."""
    if body.measure is not None:
        return Order(body.measure, body.serial_number, body.pin)
    if body.serial_number or body.pin is not None:
        raise Invalid("serial_number and pin belong to a measure.")
    return None


HANDLERS = (quarantine_device, release_device)
