"""/identities: how device identities stand, and which devices have to be brought back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Self

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentState, weakness
from bramley.model.lineages import VersionID, VersionState
from bramley.operations import identity_rescue, identity_standing
from bramley.operations.identity_rescue import Rescue, Way
from bramley.operations.identity_standing import Renewal, Standing
from bramley.operations.live import Live
from bramley.web.api.requests import Limit
from bramley.web.api.views import Page, next_after

LiveServer = NamedDependency[Live]
Days = Annotated[float, QueryParameter(ge=0, le=3650)]


class ErrorLinkView(msgspec.Struct, frozen=True, kw_only=True):
    """One link of a device's ErrorChain."""

    domain: str
    code: int
    description: str


class RenewalView(msgspec.Struct, frozen=True, kw_only=True):
    """The last renewal that a device was asked for; `error_chain` is what it had to say, outermost first."""

    started_at: datetime
    command_uuid: str
    state: CommandState | None
    answered_at: datetime | None
    not_now_count: int
    error_chain: list[ErrorLinkView]

    @classmethod
    def of(cls, renewal: Renewal) -> Self:
        links = [ErrorLinkView(domain=e.domain, code=e.code, description=e.description) for e in renewal.errors]
        taken = {name: getattr(renewal, name) for name in cls.__struct_fields__ if name != "error_chain"}
        return cls(**taken, error_chain=links)


class IdentityView(msgspec.Struct, frozen=True, kw_only=True):
    """A device's identity; `due_at` is when its successor is due. `route` and `weakness` as those of a certificate."""

    id: str
    device_key: str
    device_id: str | None
    device_state: EnrollmentState
    serial: str | None
    sha256: str | None
    state: VersionState
    route: str
    weakness: str
    not_before: datetime | None
    not_after: datetime | None
    due_at: datetime | None
    last_seen_at: datetime | None
    renewal: RenewalView | None

    @classmethod
    def of(cls, standing: Standing) -> Self:
        version, enrollment = standing.version, standing.enrollment
        return cls(
            id=version.id,
            device_key=enrollment.key,
            device_id=enrollment.id,
            device_state=enrollment.state,
            serial=version.serial,
            sha256=version.sha256,
            state=version.state,
            route=standing.route,
            weakness=weakness(standing.route),
            not_before=version.not_before,
            not_after=version.not_after,
            due_at=standing.due_at,
            last_seen_at=enrollment.last_seen_at,
            renewal=None if standing.renewal is None else RenewalView.of(standing.renewal),
        )


class RescueView(msgspec.Struct, frozen=True, kw_only=True):
    """A device to be brought back, and the way; `renewable_until` is null where it cannot be renewed over the air any more."""

    identity: IdentityView
    expired: bool
    silent_since: datetime
    way: Way
    renewable_until: datetime | None
    words: str

    @classmethod
    def of(cls, rescue: Rescue) -> Self:
        return cls(
            identity=IdentityView.of(rescue.standing),
            expired=rescue.expired,
            silent_since=rescue.silent_since,
            way=rescue.way,
            renewable_until=rescue.until,
            words=rescue.words,
        )


@get("/identities")
async def list_identities(live: LiveServer, limit: Limit = 100, after: FromQuery[str | None] = None) -> Page[IdentityView]:
    """Identities in force, suspended, or not used yet, in the order they were issued, each with its last renewal."""
    named = None if after is None else VersionID(after)
    found = await identity_standing.listing(live.installation, limit=limit, after=named)
    return Page(items=[IdentityView.of(each) for each in found], next=next_after([each.version.id for each in found], limit))


@get("/identities/rescue")
async def rescue_identities(live: LiveServer, within_days: Days = 30, silent_days: Days = 7) -> list[RescueView]:
    """Devices whose identity has expired, or soon will while they are silent, soonest first, and what brings each back."""
    found = await identity_rescue.rescue(
        live.installation, within=timedelta(days=within_days), silent=timedelta(days=silent_days)
    )
    return [RescueView.of(each) for each in found]


HANDLERS = (list_identities, rescue_identities)
