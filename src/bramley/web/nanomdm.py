"""GET and PUT /v1/pushcert, as NanoMDM has it: tools that bring it push certificates bring them here unchanged.

The path, the sign-in and the JSON are those of its docs/openapi.yaml. What it takes without looking, the devices' topic above
all, is checked here as for everybody else.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from bramley.model.admins import AdminToken
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations import records
from bramley.operations.errors import Invalid, NotFound
from bramley.operations.live import Live
from bramley.operations.push import importing, lineages
from bramley.pki import pairs
from bramley.storage.protocols import Tx
from bramley.web import answers
from bramley.web.asgi import Request, Response
from bramley.web.sign_in import SignIn

PATH: Final = "/v1/pushcert"
USER: Final = "nanomdm"
"""Its one user; the password is an admin token here."""

_CHALLENGE: Final = ((b"www-authenticate", b'Basic realm="bramley", charset="UTF-8"'),)


@dataclass(frozen=True, slots=True)
class PushCertificates:
    """The route's two methods. Whoever is not signed in is answered 401 before anything else is read."""

    live: Live
    sign_in: SignIn

    async def put(self, request: Request) -> Response:
        """Takes in the certificate and the key of a body, by `importing.import_files`, whose errors it raises."""
        admin = await self._admin(request)
        if admin is None:
            return _unknown()
        body = await request.body(min(pairs.LARGEST, self.live.installation.settings.limits.api_bytes))
        done = await importing.import_files(self.live.installation, [body], None, actor=f"admin:{admin.name}")
        return _facts(done.topic, done.certificate.not_valid_after_utc)

    async def get(self, request: Request) -> Response:
        """The certificate that is in force for the topic in the query. Raises Invalid, NotFound."""
        if await self._admin(request) is None:
            return _unknown()
        (topic, *more) = parse_qs(request.query.decode("latin-1")).get("topic", [""])
        if not topic or more:
            raise Invalid("Expected one topic in the query: ?topic=com.apple.mgmt.External.…")

        def read(tx: Tx) -> Version | None:
            return records.active(tx, Kind.PUSH, lineages.of_topic(tx, topic).name)

        found = await self.live.installation.store.read(read)
        if found is None or found.not_after is None:
            raise NotFound(f"No push certificate is in force for the topic {topic}.")
        return _facts(topic, found.not_after)

    async def _admin(self, request: Request) -> AdminToken | None:
        """Who is signed in (RFC 7617 section 2); None for nobody."""
        shown = _basic(request.header(b"authorization"))
        if shown is None:
            return None
        user, token = shown
        if user != USER:
            await self.sign_in.refuse("unknown-user", request.origin)
            return None
        return await self.sign_in.admit(token, request.origin)


def explain(error: BaseException) -> Response:
    """The answer to an error, as NanoMDM words one."""
    status = answers.operator_status(error)
    words = " ".join(answers.operator_words(error, status)).rstrip()
    return _json(status, {"error": words}, answers.retry_after(error, status))


def _basic(header: bytes) -> tuple[str, str] | None:
    scheme, _space, shown = header.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(shown.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon and password else None


def _unknown() -> Response:
    words = f"Expected HTTP Basic authentication: the user {USER}, and an admin token as the password."
    return _json(401, {"error": words}, _CHALLENGE)


def _facts(topic: str, not_after: datetime) -> Response:
    return _json(200, {"topic": topic, "not_after": f"{not_after.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"})


def _json(status: int, value: object, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    return Response(status, json.dumps(value, indent="\t").encode() + b"\n", "application/json", headers)
