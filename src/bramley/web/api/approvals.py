"""/scep/requests: SCEP requests that wait for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import get, post
from litestar.params import JSONBody, PathParameter, QueryParameter

from bramley.model.approvals import ApprovalState
from bramley.operations import approvals
from bramley.operations.approvals import Asked
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import AdminRequest, DenyBody, Limit

RequestName = Annotated[str, PathParameter(description="the id that the list tells")]


class SCEPRequestView(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `subject` is what its client would like to be called, `label` its enrollment link's; both decide nothing.

    `version_id` names the certificate that was issued for it.
    """

    id: str
    state: ApprovalState
    transaction_id: str
    subject: str
    key: str
    spki_sha256: str
    device_key: str
    label: str
    created_at: datetime
    changed_at: datetime
    decided_by: str
    version_id: str | None

    @classmethod
    def of(cls, asked: Asked) -> Self:
        approval = asked.approval
        return cls(
            id=approval.id,
            state=approval.state,
            transaction_id=approval.transaction_id,
            subject=asked.subject,
            key=asked.key,
            spki_sha256=approval.spki_sha256,
            device_key=approval.enrollment_key,
            label=asked.label,
            created_at=approval.created_at,
            changed_at=approval.changed_at,
            decided_by=approval.decided_by,
            version_id=approval.version_id,
        )


@get("/scep/requests")
async def list_requests(
    live: LiveServer,
    request_state: Annotated[ApprovalState | None, QueryParameter(name="state")] = None,
    limit: Limit = 100,
) -> list[SCEPRequestView]:
    """Requests that were kept for a person, newest first."""
    return [SCEPRequestView.of(each) for each in await approvals.listing(live.installation, request_state, limit=limit)]


@post("/scep/requests/{scep_request:str}/approve", status_code=200)
async def approve_request(live: LiveServer, request: AdminRequest, scep_request: RequestName) -> SCEPRequestView:
    """Issues the identity. Its client gets it when it asks again."""
    return SCEPRequestView.of(await approvals.approve(live, scep_request, actor=request.auth))


@post("/scep/requests/{scep_request:str}/deny", status_code=200)
async def deny_request(
    live: LiveServer, request: AdminRequest, scep_request: RequestName, data: JSONBody[DenyBody]
) -> SCEPRequestView:
    """Refuses it for good. `reason` is for the events; the client is told that it was denied, and not why."""
    denied = await approvals.deny(live.installation, scep_request, reason=data.reason, actor=request.auth)
    return SCEPRequestView.of(denied)


HANDLERS = (list_requests, approve_request, deny_request)
