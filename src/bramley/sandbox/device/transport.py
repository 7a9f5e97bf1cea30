"""HTTP as a device does it: its own trust, patience with a server that is away, and the same body again until it is taken."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import httpx2
from cryptography import x509

from bramley.clock import Clock
from bramley.pki import certificates
from bramley.sandbox.errors import ServerRefused, ServerUnreachable, Unenrolled
from bramley.sandbox.signature import Identity
from bramley.sandbox.tls import load_identity

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""

_LONGEST_PAUSE: Final = 5.0
_UNRECOGNIZED: Final = "com.apple.unrecognized.device"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a device tries. Times in seconds of the machine, also where the clock is simulated.

    No answer, and any 5xx, is tried again for `whole` seconds; another refusal `refusals` times in all. The first pause is
    `pause`, each later one twice as long.
    """

    whole: float = 30.0
    refusals: int = 2
    pause: float = 0.1
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request. With `pins` the server's chain has to lead to one of them, and nothing else is trusted."""

    method: str
    url: str
    body: bytes = field(default=b"", repr=False)
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    pins: tuple[x509.Certificate, ...] = ()

    @property
    def place(self) -> str:
        """The URL without its query, which may hold a secret."""
        return self.url.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    content_type: str
    body: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Transport:
    """A device's HTTP client over HTTP/1.1 with keep-alive.

    It trusts `anchors`, or the machine's roots where none are given. With `own_time` the clock judges server certificates in
    place of the TLS library, which knows only real time: after the exchange, so for rehearsals only.
    """

    def __init__(
        self, anchors: Sequence[x509.Certificate], clock: Clock, *, patience: Patience | None = None, own_time: bool = False
    ) -> None:
        self._own, self._clock, self._own_time = tuple(anchors), clock, own_time
        self._patience = patience or Patience()
        self._added: tuple[x509.Certificate, ...] = ()
        self._identity: Identity | None = None
        self._clients: dict[tuple[x509.Certificate, ...], httpx2.AsyncClient] = {}

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Everything it trusts besides the machine's roots."""
        return (*self._own, *self._added)

    async def trust(self, added: Sequence[x509.Certificate]) -> None:
        """Trusts these besides its own, in place of those added before: what installed profiles hold."""
        if tuple(added) != self._added:
            self._added = tuple(added)
            await self.close()

    async def present(self, identity: Identity | None) -> None:
        """The TLS client certificate from now on."""
        if identity is not self._identity:
            self._identity = identity
            await self.close()

    async def close(self) -> None:
        """Ends its connections; the next request makes new ones."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    async def once(self, call: Call) -> Answer:
        """One request and its answer, whatever it is. Raises ServerUnreachable where there is none."""
        client = self._clients.get(call.pins)
        if client is None:
            client = httpx2.AsyncClient(verify=self._context(call.pins), timeout=self._patience.timeout, trust_env=False)
            self._clients[call.pins] = client
        sent = {"User-Agent": "MDM-Sandbox/1.0", **call.headers}
        if call.content_type:
            sent["Content-Type"] = call.content_type
        try:
            response = await client.request(call.method, call.url, content=call.body or None, headers=sent)
        except httpx2.TransportError as error:
            raise ServerUnreachable(f"No answer from {call.place}: {str(error) or type(error).__name__}.") from error
        if self._own_time:
            self._judge_time(response)
        return Answer(response.status_code, response.headers.get("content-type", ""), response.content)

    async def deliver(self, call: Call) -> Answer:
        """The same request until the server takes it. Raises ServerRefused or ServerUnreachable when patience ends.

        401, and 403 with Apple's com.apple.unrecognized.device, end the enrollment: Unenrolled.
        """
        deadline = asyncio.get_running_loop().time() + self._patience.whole
        pause, refusals = self._patience.pause, 0
        while True:
            try:
                answer = await self.once(call)
            except ServerUnreachable:
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise
            else:
                if answer.good:
                    return answer
                _require_still_enrolled(answer)
                refusals += answer.status < 500
                late = asyncio.get_running_loop().time() + pause > deadline
                if refusals >= self._patience.refusals or late:
                    raise ServerRefused(
                        f"The server answered {answer.status} to {call.method} {call.place}.",
                        status=answer.status,
                        body=answer.body,
                    )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _context(self, pins: tuple[x509.Certificate, ...]) -> ssl.SSLContext:
        text = b"".join(certificates.pem(each) for each in pins or self.anchors).decode()
        # cadata in place of the machine's roots where the device has its own, as a closed test network does
        context = ssl.create_default_context(cadata=text if pins or self._own else None)
        if text:
            context.load_verify_locations(cadata=text)
        if pins:
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a pin need not be a root
        if self._own_time:
            context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        if self._identity is not None:
            load_identity(context, certificates.pem(self._identity.certificate), self._identity.key)
        return context

    def _judge_time(self, response: httpx2.Response) -> None:
        tls = response.extensions["network_stream"].get_extra_info("ssl_object")
        if tls is None:
            return
        certificate = certificates.load(tls.getpeercert(binary_form=True))
        if not certificate.not_valid_before_utc <= self._clock.now() <= certificate.not_valid_after_utc:
            raise ServerUnreachable(
                f"The server's certificate is valid to {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; "
                f"it is {self._clock.now():%Y-%m-%d %H:%M} UTC."
            )


class SCEPTransport:
    """One SCEP URL, for `bramley.pki.scep.client`."""

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport, self._url = transport, url

    async def get(self, query: str) -> tuple[str, bytes]:
        answer = await self._transport.deliver(Call("GET", self._with(query)))
        return answer.content_type, answer.body

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
        answer = await self._transport.deliver(Call("POST", self._with(query), body, "application/x-pki-message"))
        return answer.content_type, answer.body

    def _with(self, query: str) -> str:
        return f"{self._url}{'&' if '?' in self._url else '?'}{query}"


def at_listener(url: str, base: str | None) -> str:
    """The same path at another scheme, host and port: the listener for devices that identify by TLS."""
    return url if base is None else urlunsplit((*urlsplit(base)[:2], *urlsplit(url)[2:]))


def _require_still_enrolled(answer: Answer) -> None:
    code = None
    if answer.status == 403:
        with suppress(ValueError, AttributeError):
            code = json.loads(answer.body).get("code")
    if answer.status == 401 or code == _UNRECOGNIZED:
        raise Unenrolled(f"The server answered {answer.status}: the device removes its enrollment.")
