"""/network: templates of network identities, and which devices have one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import get, post
from litestar.params import FromQuery, JSONBody
from msgspec import Meta

from bramley.model.enrollments import EnrollmentKey
from bramley.model.networks import NetworkIssuer, NetworkState, NetworkUse
from bramley.operations.network import sending, standing, templates
from bramley.operations.network.sending import Sent
from bramley.operations.network.standing import Standing
from bramley.operations.network.templates import Kept
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import AdminRequest, Limit
from bramley.web.api.views import Page, VersionView, next_after

_Name = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]


class AssignBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices that shall have an identity after a template: all of them, or none."""

    template: _Name
    devices: Annotated[list[_Name], Meta(min_length=1, max_length=1000)]


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """A template, without challenge and payloads, which may hold secrets. `url` is the outside CA's, where there is one."""

    name: str
    use: NetworkUse
    issuer: NetworkIssuer
    url: str | None
    subject: list[tuple[str, str]]
    sans: dict[str, str]
    key_size: int
    lifetime_days: float | None
    renew_at: float
    devices: int
    created_at: datetime
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, kept: Kept) -> Self:
        stored, template = kept.stored, kept.template
        return cls(
            name=stored.name,
            use=stored.use,
            issuer=stored.issuer,
            url=template.outside.url if template.outside else None,
            subject=list(template.subject),
            sans=dict(template.sans),
            key_size=template.key_size,
            lifetime_days=template.lifetime.total_seconds() / 86400 if template.lifetime else None,
            renew_at=template.renew_at,
            devices=kept.devices,
            created_at=stored.created_at,
            changed_at=stored.changed_at,
            changed_by=stored.changed_by,
        )


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
    command_uuid: str | None

    @classmethod
    def of(cls, sent: Sent) -> Self:
        command = sent.command.uuid if sent.command else None
        return cls(device_key=sent.enrollment.key, device_id=sent.enrollment.id, command_uuid=command)


@get("/network/templates")
async def list_templates(live: LiveServer) -> list[TemplateView]:
    """The templates, in order of name."""
    return [TemplateView.of(each) for each in await templates.listing(live.installation)]


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


HANDLERS = (list_templates, list_assignments, assign_devices)
