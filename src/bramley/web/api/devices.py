"""/devices and /push."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter, QueryParameter

from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.operations import commands, device_commands, devices, identities, pushing, suspension
from bramley.operations.device_commands import Sent
from bramley.operations.live import Live
from bramley.web.api.no_store import no_store
from bramley.web.api.requests import (
    AdminRequest,
    CommandBody,
    Limit,
    PushBody,
    ResumeBody,
    RevokeBody,
    SuspendBody,
    command_of,
)
from bramley.web.api.views import (
    CommandDetailView,
    CommandView,
    DeviceDetailView,
    Page,
    TaggedDeviceView,
    VersionView,
    next_after,
)

LiveServer = NamedDependency[Live]
DeviceName = Annotated[str, PathParameter(description="UDID, EnrollmentID, DEVICE:USER, or our key")]


class PushedView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a push was queued for a device, and if not, why."""

    device: str
    queued: bool
    why_not: str


class SentView(CommandView, frozen=True, kw_only=True):
    """A command that was queued: `pin` is the one that was made for a Mac, told once, and `notes` are worth knowing."""

    pin: str | None
    notes: list[str]

    @classmethod
    def sent(cls, sent: Sent) -> SentView:
        told = {name: getattr(sent.command, name) for name in CommandView.__struct_fields__}
        return cls(**told, pin=sent.pin, notes=[f"{each.path}: {each.words}".removeprefix(": ") for each in sent.notes])

    def __repr__(self) -> str:
        return f"SentView({self.uuid!r}, {self.request_type!r})"  # never a PIN


@get("/devices")
async def list_devices(
    live: LiveServer,
    search: FromQuery[str | None] = None,
    enrollment_state: Annotated[EnrollmentState | None, QueryParameter(name="state")] = None,
    tag: FromQuery[str | None] = None,
    limit: Limit = 100,
    after: FromQuery[str | None] = None,
) -> Page[TaggedDeviceView]:
    """Devices and user channels, in order of key.

    `search` is a part of id, serial number or device name; `tag` leaves the devices that have it.
    """
    found = await devices.listing(
        live.installation,
        state=enrollment_state,
        search=search,
        tag=tag,
        limit=limit,
        after=None if after is None else EnrollmentKey(after),
    )
    return Page(
        items=[TaggedDeviceView.tagged(each.enrollment, each.tags) for each in found],
        next=next_after([each.enrollment.key for each in found], limit),
    )


@get("/devices/{device:str}")
async def show_device(live: LiveServer, device: DeviceName) -> DeviceDetailView:
    """One device with all that hangs on it."""
    return DeviceDetailView.of(await devices.show(live.installation, device))


@get("/devices/{device:str}/commands")
async def list_commands(live: LiveServer, device: DeviceName) -> list[CommandView]:
    """The device's commands, newest first."""
    return [CommandView.of(command) for command in (await devices.show(live.installation, device)).commands]


@post("/devices/{device:str}/commands")
async def send_command(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[CommandBody]
) -> Response[SentView]:
    """Queues a command and, unless `push` is false, a push to wake the device."""
    sent = await device_commands.send(
        live.installation,
        device,
        command_of(data),
        serial_number=data.serial_number,
        as_is=data.as_is,
        actor=request.auth,
        push=data.push,
    )
    return no_store(SentView.sent(sent))


@get("/devices/{device:str}/commands/{uuid:str}")
async def show_command(live: LiveServer, device: DeviceName, uuid: FromPath[str]) -> CommandDetailView:
    """One command with the device's answer."""
    return CommandDetailView.of(await commands.show(live.installation, device, uuid))


@post("/devices/{device:str}/identity/renew", status_code=202)
async def renew_identity(live: LiveServer, request: AdminRequest, device: DeviceName) -> CommandView:
    """Sends the device its enrollment profile, with which it gets a new identity."""
    return CommandView.of(await identities.renew(live, device, actor=request.auth))


@post("/devices/{device:str}/identity/revoke", status_code=200)
async def revoke_identity(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[RevokeBody]
) -> list[VersionView]:
    """Revokes every live identity of the device: it is refused from its next request on, also if it were to be erased."""
    revoked = await identities.revoke(live.installation, device, reason=data.reason, because=data.because, actor=request.auth)
    return [VersionView.of(version) for version in revoked]


@post("/devices/{device:str}/identity/suspend", status_code=200)
async def suspend_identity(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[SuspendBody]
) -> list[VersionView]:
    """Suspends the device's identity: it is refused from its next request on, until it is resumed."""
    suspended = await suspension.suspend(live.installation, device, reason=data.reason, actor=request.auth)
    return [VersionView.of(version) for version in suspended]


@post("/devices/{device:str}/identity/resume", status_code=200)
async def resume_identity(live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[ResumeBody]) -> VersionView:
    """Takes the device's suspended identity back into force."""
    return VersionView.of(await suspension.resume(live.installation, device, reason=data.reason, actor=request.auth))


@post("/push", status_code=202)
async def push(live: LiveServer, data: JSONBody[PushBody]) -> list[PushedView]:
    """Queues a push to each device."""
    asked = await pushing.request_push(live.installation, data.devices)
    return [PushedView(device=each.device, queued=each.queued, why_not=each.why_not) for each in asked]


HANDLERS = (
    list_devices,
    show_device,
    list_commands,
    send_command,
    show_command,
    renew_identity,
    revoke_identity,
    suspend_identity,
    resume_identity,
    push,
)
