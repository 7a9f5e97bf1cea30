"""/network/assignments, /network/certificates and /devices/…/network: which devices have which network identity."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import get, post
from litestar.params import FromQuery, JSONBody
from msgspec import Meta

from bramley.model.enrollments import EnrollmentKey
from bramley.model.networks import NetworkState
from bramley.operations import certificates, devices
from bramley.operations.network import ending, sending, standing
from bramley.operations.network.ending import Taken
from bramley.operations.network.sending import Sent
from bramley.operations.network.standing import Standing
from bramley.web.api.certificates import CertificateName
from bramley.web.api.devices import DeviceName, LiveServer
from bramley.web.api.requests import AdminRequest, Limit, RevokeBody
from bramley.web.api.views import Page, VersionView, next_after

_Name = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]


class AssignBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices that shall have an identity after a template, or no more: all of them, or none."""

    template: _Name
    devices: Annotated[list[_Name], Meta(min_length=1, max_length=1000)]


class RenewNetworkBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `template`, all that the device shall have."""

    template: _Name | None = None


class RevokeNetworkBody(RevokeBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`because` is what CRL and OCSP tell others, by default unspecified. Without `template`, all that the device has."""

    template: _Name | None = None


class AssignmentView(msgspec.Struct, frozen=True, kw_only=True):
    """How a network identity stands on a device. `problem` is in the device's own words; `due_at` is when the next is due."""

    device_key: str
    device_id: str | None
    template: str
    state: NetworkState
    created_at: datetime
    created_by: str
    sent_at: datetime | None
    command_uuid: str | None
    problem: str
    certificate: VersionView | None
    due_at: datetime | None

    @classmethod
    def of(cls, standing: Standing) -> Self:
        found = standing.assignment
        taken = ("template", "state", "created_at", "created_by", "sent_at", "command_uuid", "problem")
        return cls(
            device_key=found.enrollment_key,
            device_id=standing.enrollment.id,
            **{name: getattr(found, name) for name in taken},
            certificate=VersionView.of(standing.version) if standing.version else None,
            due_at=standing.due_at,
        )


class SentView(msgspec.Struct, frozen=True, kw_only=True):
    """A device, and the command to wait for; null where it had the identity already."""

    device_key: str
    device_id: str | None
    template: str
    command_uuid: str | None

    @classmethod
    def of(cls, sent: Sent) -> Self:
        return cls(
            device_key=sent.enrollment.key,
            device_id=sent.enrollment.id,
            template=sent.assignment.template,
            command_uuid=sent.command.uuid if sent.command else None,
        )


class TakenView(msgspec.Struct, frozen=True, kw_only=True):
    """A device, the certificates that ended, and the command to wait for; null where it cannot be told any more."""

    device_key: str
    device_id: str | None
    ended: list[VersionView]
    command_uuid: str | None

    @classmethod
    def of(cls, taken: Taken) -> Self:
        return cls(
            device_key=taken.enrollment.key,
            device_id=taken.enrollment.id,
            ended=[VersionView.of(version) for version in taken.ended],
            command_uuid=taken.command.uuid if taken.command else None,
        )


@get("/network/assignments")
async def list_assignments(
    live: LiveServer,
    device: FromQuery[str | None] = None,
    template: FromQuery[str | None] = None,
    limit: Limit = 100,
    after: FromQuery[str | None] = None,
) -> Page[AssignmentView]:
    """Which devices have, or shall have, which network identity: all, or those of a device or of a template."""
    key, _colon, name = (after or "").partition(":")
    found = await standing.listing(
        live.installation,
        device=device,
        template=template,
        limit=limit,
        after=(EnrollmentKey(key), name) if after else None,
    )
    names = [f"{each.assignment.enrollment_key}:{each.assignment.template}" for each in found]
    return Page(items=[AssignmentView.of(each) for each in found], next=next_after(names, limit))


@post("/network/assignments", status_code=200)
async def assign_devices(live: LiveServer, request: AdminRequest, data: JSONBody[AssignBody]) -> list[SentView]:
    """Has devices get an identity after a template; those that have it already are left alone."""
    sent = await sending.assign(live, data.template, data.devices, actor=request.auth)
    return [SentView.of(each) for each in sent]


@post("/network/assignments/unassign", status_code=200)
async def unassign_devices(live: LiveServer, request: AdminRequest, data: JSONBody[AssignBody]) -> list[TakenView]:
    """Takes the identity of a template away from devices: its profile is removed, and what Bramley issued is revoked at once."""
    taken = await ending.unassign(live.installation, data.template, data.devices, actor=request.auth)
    return [TakenView.of(each) for each in taken]


@post("/devices/{device:str}/network/renew", status_code=202)
async def renew_network_identities(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[RenewNetworkBody]
) -> list[SentView]:
    """Sends the device its network identities anew, before they are due, or since it has lost one."""
    sent = await sending.renew(live, device, data.template, actor=request.auth)
    return [SentView.of(each) for each in sent]


@post("/devices/{device:str}/network/revoke", status_code=200)
async def revoke_network_identities(
    live: LiveServer, request: AdminRequest, device: DeviceName, data: JSONBody[RevokeNetworkBody]
) -> list[VersionView]:
    """Revokes the network identities that Bramley issued to the device. Nothing takes their place until they are renewed."""
    # by our key: what a device calls itself is its own choice, and could be the serial number of another's certificate
    key = await live.installation.store.read(lambda tx: devices.resolve(tx, device).key)
    revoked = await ending.revoke(
        live.installation, key, data.template, reason=data.reason, because=data.because, actor=request.auth
    )
    return [VersionView.of(version) for version in revoked]


@post("/network/certificates/{name:str}/revoke", status_code=200)
async def revoke_network_certificate(
    live: LiveServer, request: AdminRequest, name: CertificateName, data: JSONBody[RevokeBody]
) -> VersionView:
    """Revokes one network identity that Bramley issued, also one that is out of use already."""
    # by its id, for the same reason: a device that is called like this loses nothing here
    known = await live.installation.store.read(lambda tx: certificates.find(tx, name))
    (revoked,) = await ending.revoke(live.installation, known.id, reason=data.reason, because=data.because, actor=request.auth)
    return VersionView.of(revoked)


HANDLERS = (
    list_assignments,
    assign_devices,
    unassign_devices,
    renew_network_identities,
    revoke_network_identities,
    revoke_network_certificate,
)
