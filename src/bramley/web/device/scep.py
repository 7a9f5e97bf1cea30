"""GET and POST /scep (RFC 8894 section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from bramley.operations import issuing
from bramley.operations.live import Live
from bramley.pki.scep.errors import MalformedMessage, SCEPError
from bramley.pki.scep.server import PKI_MESSAGE_TYPE, ca_certificates, capabilities, decode_get_message
from bramley.web.asgi import Request, Response, text
from bramley.web.metrics import Metrics


@dataclass(frozen=True, slots=True)
class SCEP:
    """GetCACaps, GetCACert and PKIOperation; any other operation is answered 400.

    The query stays as it came: a form decoder would turn the `+` of base64 into a space, and macOS escapes padding only.
    """

    live: Live
    metrics: Metrics

    async def get(self, request: Request) -> Response:
        parameters = query_parameters(request.query)
        operation = parameters.get(b"operation", b"")
        if operation == b"GetCACaps":
            return Response(200, capabilities(), "text/plain")
        if operation == b"GetCACert":
            identity = self.live.current().authorities.identity.authority
            content_type, body = ca_certificates([identity.certificate, *identity.chain])
            return Response(200, body, content_type)
        if operation == b"PKIOperation":
            return await self._answer(decode_get_message(parameters.get(b"message", b"")))
        return _not_offered()

    async def post(self, request: Request) -> Response:
        if query_parameters(request.query).get(b"operation", b"") != b"PKIOperation":
            return _not_offered()
        return await self._answer(await request.body(self.live.installation.settings.limits.scep_bytes))

    async def _answer(self, message: bytes) -> Response:
        try:
            reply = await issuing.respond(self.live, message)
        except SCEPError as error:
            self.metrics.refused(type(error).__name__)
            raise
        if reply.refused is not None:
            self.metrics.refused(reply.refused)
        return Response(200, reply.message, PKI_MESSAGE_TYPE)


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


def _not_offered() -> Response:
    return text(400, "Expected operation=GetCACaps, GetCACert or PKIOperation (RFC 8894 section 4).")
