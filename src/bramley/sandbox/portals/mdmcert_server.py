"""The web server of mdmcert.download: HTTPS on one port, with a certificate of the sandbox's root."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec

from bramley.pki import certificates
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals.mdmcert import PATH
from bramley.sandbox.tls import load_identity

LARGEST: Final = 256 * 1024

_Event = dict[str, Any]


class MdmcertServer:
    """Gives each request's body to `answer` and sends what that returns, as JSON."""

    def __init__(self, ca: SandboxAppleCA, answer: Callable[[bytes], Mapping[str, str]]) -> None:
        self._ca, self._answer = ca, answer
        self._serving: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, certificate_from: datetime) -> None:
        """Listens; `url` then tells where. The server certificate is for `host` and localhost, a year from `certificate_from`.

        Where the clock is simulated give the machine's time: the client's TLS library knows no other. Raises OSError where the
        address cannot be had.
        """
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        context = _tls(self._ca, (host, "localhost"), certificate_from)
        config = uvicorn.Config(
            self._respond,
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            ssl_context_factory=lambda _config, _default: context,
            timeout_graceful_shutdown=2,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[bound]))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"https://{shown}:{bound.getsockname()[1]}{PATH}"

    async def stop(self) -> None:
        """Answers what is under way; then nothing listens."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving

    async def _respond(
        self, scope: _Event, receive: Callable[[], Awaitable[_Event]], send: Callable[[_Event], Awaitable[None]]
    ) -> None:
        body = bytearray()
        more = True
        while more and len(body) <= LARGEST:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        if scope["path"] != PATH:
            status, said = 404, b"Not Found"
        elif scope["method"] != "POST":
            status, said = 405, b"Method Not Allowed"
        elif len(body) > LARGEST:
            status, said = 413, b"Content Too Large"
        else:
            status, said = 200, json.dumps(self._answer(bytes(body))).encode()
        kind = b"application/json" if status == 200 else b"text/plain"
        headers = [(b"content-type", kind), (b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": said})


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to the process that it is a part of."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _tls(ca: SandboxAppleCA, names: tuple[str, ...], now: datetime) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    key = ec.generate_private_key(ec.SECP256R1())
    load_identity(context, certificates.pem(ca.issue_server_certificate(key.public_key(), names, now=now)), key)
    return context
