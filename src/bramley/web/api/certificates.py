"""/certificates."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.params import FromQuery, PathParameter, QueryParameter

from bramley.model.kinds import Kind
from bramley.model.lineages import VersionID, VersionState
from bramley.operations import certificates
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import Limit, aware
from bramley.web.api.views import CertificateDetailView, CertificateView, Page, next_after

CertificateName = Annotated[str, PathParameter(description="version id, serial number or SHA-256 in hexadecimal")]


@get("/certificates")
async def list_certificates(
    live: LiveServer,
    kind: FromQuery[Kind | None] = None,
    version_state: Annotated[list[VersionState] | None, QueryParameter(name="state")] = None,
    expires_before: FromQuery[datetime | None] = None,
    limit: Limit = 100,
    after: FromQuery[str | None] = None,
) -> Page[CertificateView]:
    """Certificates in the order they came to be; `state` may be given several times."""
    found = await certificates.listing(
        live.installation,
        kind=kind,
        states=version_state or (),
        expires_before=aware(expires_before, "expires_before"),
        limit=limit,
        after=None if after is None else VersionID(after),
    )
    return Page(items=[CertificateView.of(row) for row in found], next=next_after([row.version.id for row in found], limit))


@get("/certificates/{name:str}")
async def show_certificate(live: LiveServer, name: CertificateName) -> CertificateDetailView:
    """One certificate with its lineage and its history."""
    return CertificateDetailView.of(await certificates.show(live.installation, name))


HANDLERS = (list_certificates, show_certificate)
