"""/push/requests, /push/vendor and /push/mdmcert: asking for a push certificate, and having the request signed."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Self

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from litestar import Response, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from bramley.lifecycle.next_step import next_step
from bramley.model.lineages import VersionID
from bramley.operations.push import mdmcert, requests, vendor
from bramley.operations.push.requests import Asked, Wanted
from bramley.web.api.devices import LiveServer
from bramley.web.api.push import NextView
from bramley.web.api.requests import (
    AdminRequest,
    MdmcertAnswerBody,
    MdmcertBody,
    PushRequestBody,
    TopicBody,
    VendorSignBody,
    csr_of,
)


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    """An open request. `csr` is PEM; `topic` is null for a first one; `found` says that it was open before."""

    id: VersionID
    topic: str | None
    found: bool
    csr: str
    next: NextView


class SentView(msgspec.Struct, frozen=True, kw_only=True):
    """The request that is with mdmcert.download now, whose answer comes by mail."""

    id: VersionID
    topic: str | None


class SignedView(msgspec.Struct, frozen=True, kw_only=True):
    """`file` is what to upload at identity.apple.com, in base64: decode it once. `topic` is what it renews, if anything."""

    file: str
    topic: str | None

    @classmethod
    def of(cls, file: bytes, asked: Asked | None) -> Self:
        return cls(file=base64.b64encode(file).decode("ascii"), topic=asked.topic if asked else None)


@post("/push/requests", responses={200: ResponseSpec(RequestView, description="It was open before.")})
async def request_push_certificate(
    live: LiveServer, request: AdminRequest, data: JSONBody[PushRequestBody]
) -> Response[RequestView]:
    """Makes a key and a request for a push certificate, or finds the open ones."""
    wanted = Wanted(data.route, data.account, data.email, data.country, data.topic, data.further, data.reuse_key, data.new_key)
    asked = await requests.ask(live.installation, wanted, actor=request.auth)
    step = next_step(asked.lineage, asked.version, live.installation.clock.now(), grace=timedelta())
    view = RequestView(
        id=asked.version.id,
        topic=asked.topic,
        found=asked.found,
        csr=asked.request.public_bytes(Encoding.PEM).decode("ascii"),
        next=NextView.of(step),
    )
    return Response(view, status_code=200 if asked.found else 201)


@post("/push/requests/sign", status_code=200)
async def sign_push_request(live: LiveServer, request: AdminRequest, data: JSONBody[TopicBody]) -> SignedView:
    """Signs an open request with the vendor certificate that is here."""
    asked = await requests.opened(live.installation, data.topic)
    return SignedView.of(await vendor.sign(live.installation, asked, actor=request.auth), asked)


@post("/push/vendor/sign", status_code=200)
async def sign_request_of_others(live: LiveServer, request: AdminRequest, data: JSONBody[VendorSignBody]) -> SignedView:
    """Signs another organization's request with the vendor certificate that is here."""
    return SignedView.of(await vendor.sign_other(live.installation, csr_of(data), actor=request.auth), None)


@post("/push/mdmcert", status_code=202)
async def send_request_to_mdmcert(live: LiveServer, request: AdminRequest, data: JSONBody[MdmcertBody]) -> SentView:
    """Sends an open request to mdmcert.download, which mails the answer."""
    asked = await requests.opened(live.installation, data.topic)
    await mdmcert.submit(live.installation, asked, email=data.email, actor=request.auth)
    return SentView(id=asked.version.id, topic=asked.topic)


@post("/push/mdmcert/answer", status_code=200)
async def open_answer_of_mdmcert(live: LiveServer, request: AdminRequest, data: JSONBody[MdmcertAnswerBody]) -> SignedView:
    """Opens what mdmcert.download mailed."""
    opened = await mdmcert.open_answer(live.installation, data.answer.encode(), actor=request.auth)
    return SignedView.of(opened.file, opened.asked)


HANDLERS = (
    request_push_certificate,
    sign_push_request,
    sign_request_of_others,
    send_request_to_mdmcert,
    open_answer_of_mdmcert,
)
