"""GET and POST /scep (RFC 8894 section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bramley.operations import outside_scep, scep
from bramley.operations.live import Live
from bramley.pki import certificates
from bramley.pki.scep.errors import MalformedMessage, SCEPError
from bramley.pki.scep.requests import SignedMessage, check_signature
from bramley.pki.scep.server import (
    PKI_MESSAGE_TYPE,
    ca_certificates,
    capabilities,
    decode_get_message,
    next_ca_certificates,
)
from bramley.web.asgi import Request, Response, text
from bramley.web.limits import FAILURE, SUCCESS, Gate, Limit
from bramley.web.metrics import Metrics

PATH: Final = "/scep"


@dataclass(frozen=True, slots=True)
class SCEP:
    """GetCACaps, GetCACert, GetNextCACert and PKIOperation; any other operation is answered 400.

    What is signed by an identity of ours is charged to its enrollment, and all else to the address it came from: whoever
    makes mistakes there does not keep the devices beside it from renewing.

    The query stays as it came: a form decoder would turn the `+` of base64 into a space, and macOS escapes padding only.
    """

    live: Live
    metrics: Metrics
    gate: Gate

    async def get(self, request: Request, secret: str | None = None) -> Response:
        parameters = query_parameters(request.query)
        operation = parameters.get(b"operation", b"")
        if operation == b"GetCACaps":
            return Response(200, capabilities(next_ca=self.live.current().next_identity is not None), "text/plain")
        if operation == b"GetCACert":
            return self._ca_certificates()
        if operation == b"GetNextCACert":
            return self._next_ca_certificates()
        if operation == b"PKIOperation":
            return await self._answer(decode_get_message(parameters.get(b"message", b"")), request, secret)
        return _not_offered()

    async def post(self, request: Request, secret: str | None = None) -> Response:
        parameters = query_parameters(request.query)
        if parameters.get(b"operation", b"") != b"PKIOperation":
            return _not_offered()
        settings = self.live.installation.settings
        message = await request.body(settings.limits.scep_bytes)
        if parameters.get(b"message"):
            _require_repetition(parameters[b"message"], message, allowed=settings.scep.legacy_algorithms)
        return await self._answer(message, request, secret)

    async def get_by_url(self, request: Request) -> Response:
        """As `get`, with the challenge as the rest of the path: for devices whose requests hold that of an outside CA."""
        return await self.get(request, _secret(request))

    async def post_by_url(self, request: Request) -> Response:
        """As `post`, likewise."""
        return await self.post(request, _secret(request))

    def _ca_certificates(self) -> Response:
        snapshot = self.live.current()
        identity, responder = snapshot.authorities.identity.authority, snapshot.responder.certificate
        registration = None if responder == identity.certificate else responder
        chain = [identity.certificate, *identity.chain]
        if self.live.installation.settings.scep.is_proxied:
            chain.insert(0, outside_scep.ca_of(snapshot, self.live.installation.settings.scep).certificate)
        content_type, body = ca_certificates(chain, registration_authority=registration)
        return Response(200, body, content_type)

    def _next_ca_certificates(self) -> Response:
        snapshot = self.live.current()
        if snapshot.next_identity is None:
            return text(400, "No next CA is prepared (RFC 8894 section 4.7).")
        authority, now = snapshot.authorities.identity.authority, self.live.installation.clock.now()
        content_type, body = next_ca_certificates(authority, [snapshot.next_identity], now=now)
        return Response(200, body, content_type)

    async def _answer(self, message: bytes, request: Request, secret: str | None) -> Response:
        signed = _signed(message)
        limit, key = await self._whose(signed, request)
        self.gate.require(limit, key)
        try:
            # what is not signed as it should be is refused there too, with a record of why
            reply = await scep.respond(self.live, signed or message, secret=secret)
        except SCEPError as error:
            self.gate.take(limit, key)
            self.metrics.refused(type(error).__name__)
            raise
        if reply.refused is not None:
            self.metrics.refused(reply.refused)
        # each success of an identity is one more certificate, for which it needs no challenge; other successes spend one, or
        # tell of one that was spent
        light = reply.refused is None and limit is Limit.SCEP_ADDRESS
        self.gate.take(limit, key, SUCCESS if light else FAILURE)
        return Response(200, reply.message, PKI_MESSAGE_TYPE)

    async def _whose(self, signed: SignedMessage | None, request: Request) -> tuple[Limit, str]:
        if signed is None:
            return Limit.SCEP_ADDRESS, request.origin
        signer = certificates.sha256(signed.signer_certificate)
        known = await self.live.installation.store.presented(signer, None)
        if known is None:
            return Limit.SCEP_ADDRESS, request.origin
        return Limit.SCEP_ENROLLMENT, known.enrollment_key


def _signed(message: bytes) -> SignedMessage | None:
    """None where its signature does not hold."""
    try:
        return check_signature(message)
    except SCEPError:
        return None


def query_parameters(query: bytes) -> dict[bytes, bytes]:
    """Names and raw values of a query string. Raises MalformedMessage for a name that comes twice."""
    parameters: dict[bytes, bytes] = {}
    for part in query.split(b"&"):
        name, _equals, value = part.partition(b"=")
        if name in parameters:
            raise MalformedMessage("Expected each parameter of a SCEP request once; one came twice.")
        if name:
            parameters[name] = value
    return parameters


def _require_repetition(raw_query_value: bytes, message: bytes, *, allowed: bool) -> None:
    """A POST that holds its message in the query too, as clients older than RFC 8894 send it: one message, or none.

    Raises MalformedMessage where the two differ, and where that is not `allowed`.
    """
    if not allowed:
        raise MalformedMessage(
            "Expected the message of a POST in its body alone (RFC 8894 section 4.1); one came in the query as well.",
            advice="Where old clients do this, set scep.legacy_algorithms.",
        )
    if decode_get_message(raw_query_value) != message:
        raise MalformedMessage("Expected the message in the query of a POST to be the one in its body; another came.")


def _secret(request: Request) -> str:
    path: str = request.scope["path"]
    return path.removeprefix(f"{PATH}/")


def _not_offered() -> Response:
    return text(400, "Expected operation=GetCACaps, GetCACert, GetNextCACert or PKIOperation (RFC 8894 section 4).")
