"""/network/templates: what network identities are made after."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import delete, get, post
from litestar.params import JSONBody, PathParameter
from msgspec import Meta

from bramley.model.networks import NetworkIssuer, NetworkUse
from bramley.operations.network import templates
from bramley.operations.network.templates import Kept
from bramley.profiles.network import LARGEST
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import AdminRequest

TemplateName = Annotated[str, PathParameter(description="its name")]


class TemplateBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template: the text of its TOML file, which has its name."""

    template: Annotated[str, Meta(max_length=LARGEST)]

    def __repr__(self) -> str:
        return "TemplateBody()"  # a template may hold a CA's challenge, and passwords


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
    payload_types: list[str]
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
            payload_types=[payload["PayloadType"] for payload in template.payloads],
            devices=kept.devices,
            created_at=stored.created_at,
            changed_at=stored.changed_at,
            changed_by=stored.changed_by,
        )


class KeptTemplateView(msgspec.Struct, frozen=True, kw_only=True):
    """A template as it is kept now, and whether that is news."""

    template: TemplateView
    changed: bool


@get("/network/templates")
async def list_templates(live: LiveServer) -> list[TemplateView]:
    """The templates, in order of name."""
    return [TemplateView.of(each) for each in await templates.listing(live.installation)]


@post("/network/templates", status_code=200)
async def keep_template(live: LiveServer, request: AdminRequest, data: JSONBody[TemplateBody]) -> KeptTemplateView:
    """Keeps a template, in the place of the one of its name. What has changed holds from each certificate's next renewal."""
    kept = await templates.put(live.installation, data.template.encode(), actor=request.auth)
    return KeptTemplateView(template=TemplateView.of(kept), changed=kept.changed)


@get("/network/templates/{template:str}")
async def show_template(live: LiveServer, template: TemplateName) -> TemplateView:
    """One template."""
    return TemplateView.of(await templates.show(live.installation, template))


@delete("/network/templates/{template:str}")
async def remove_template(live: LiveServer, request: AdminRequest, template: TemplateName) -> None:
    """Forgets a template after which no device shall have an identity."""
    await templates.remove(live.installation, template, actor=request.auth)


HANDLERS = (list_templates, keep_template, show_template, remove_template)
