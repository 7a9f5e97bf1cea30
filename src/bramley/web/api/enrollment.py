"""/links."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from litestar import post
from litestar.params import JSONBody

from bramley.operations import enrolling
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import AdminRequest, LinkBody


class LinkView(msgspec.Struct, frozen=True, kw_only=True):
    """A new enrollment link. Its `url` is told this once: whoever has it can enroll."""

    id: str
    url: str
    label: str
    uses_allowed: int
    udid: str | None
    expires_at: datetime

    def __repr__(self) -> str:
        return f"LinkView({self.id!r}, {self.label!r})"  # never the url


@post("/links")
async def create_link(live: LiveServer, request: AdminRequest, data: JSONBody[LinkBody]) -> LinkView:
    """Makes an enrollment link."""
    created = await enrolling.create_link(
        live.installation,
        label=data.label,
        uses=data.uses,
        expires_in=timedelta(hours=data.expires_in_hours),
        udid=data.udid,
        actor=request.auth,
    )
    link = created.link
    return LinkView(
        id=link.id,
        url=created.url,
        label=link.label,
        uses_allowed=link.uses_allowed,
        udid=link.udid,
        expires_at=link.expires_at,
    )


HANDLERS = (create_link,)
