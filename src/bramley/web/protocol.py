"""HTTP/1.1 on one connection: uvicorn's parser, kept within limits of size and time, and the peer's certificate for the app.

The parser itself bounds neither the size of a header nor the time it takes. All sizes here are checked before the
application hears of a request, except the size of a body, which depends on the path and is the application's to check.
"""

from __future__ import annotations

import asyncio
import ssl
from enum import Enum
from http import HTTPStatus
from typing import Any, Final, Protocol

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from bramley.settings import Limits

TLS_EXTENSION: Final = "tls"
"""`scope["extensions"]["tls"]`: {"client_cert_der": bytes | None}."""


class Place(Protocol):
    """What a connection takes up among the others."""

    @property
    def crowded(self) -> bool:
        """Whether this connection should end with its answer."""
        ...

    def leave(self) -> None: ...


class _Stage(Enum):
    BETWEEN = "between messages"
    HEADER = "in a header"
    BODY = "in a body"


class LimitedHTTP(HttpToolsProtocol):
    """One connection. Answers 414, 431 or 408 to a request line, a header or a sender beyond the limits, and closes.

    With `client_certificates` each scope carries the certificate that the TLS handshake brought, proven but not judged.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        *,
        limits: Limits,
        client_certificates: bool,
        place: Place,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self._limits = limits
        self._client_certificates = client_certificates
        self._place = place
        self._extensions: dict[str, Any] | None = None
        self._stage = _Stage.BETWEEN
        self._refusal = HTTPStatus.BAD_REQUEST
        self._header_fed = 0
        self._began_in_chunk = False
        self._body_moved = False
        self._gathered = 0
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        # Query strings hold SCEP messages, and paths hold tokens: uvicorn's access log would write them down.
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if self._client_certificates:
            connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
            self._extensions = {TLS_EXTENSION: {"client_cert_der": connection.getpeercert(binary_form=True)}}
        self._wait(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.leave()
        for timer in (self._timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._began_in_chunk = self._body_moved = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._stage is _Stage.BODY:
            self._check_framing(len(data))
        elif self._stage is _Stage.HEADER:
            # Where the header began behind an earlier message, its share of this chunk is unknown, and counts from the next.
            self._header_fed += 0 if self._began_in_chunk and self._latest() is not None else len(data)
            if self._header_fed > self._limits.header_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self.responding:
            self._deadline = None
            return
        if self._deadline is None:
            self._wait(self._limits.body_seconds if self._stage is _Stage.BODY else self._limits.header_seconds)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stage = _Stage.HEADER
        self._header_fed = 0
        self._began_in_chunk = True
        if self._extensions is not None:
            self.scope["extensions"] = self._extensions

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.request_line_bytes:
            self._stop_parsing(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_headers_complete(self) -> None:
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
        if size > self._limits.header_bytes:
            self._stop_parsing(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        super().on_headers_complete()
        self._stage = _Stage.BODY
        self._gathered = 0
        self._deadline = None
        # Trailers must not join the header that the application has already begun to read.
        self.headers = []
        if self.parser.should_upgrade() or self._place.crowded:
            # We never upgrade; and where the parser thinks so, it does not tell the body from the next request.
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        self._body_moved = True

    def on_body(self, body: bytes) -> None:
        self._body_moved = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.headers:
            self._stop_parsing(HTTPStatus.BAD_REQUEST)
        self._stage = _Stage.BETWEEN
        self._deadline = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where parsing failed; here also where one of our limits made it fail."""
        del msg
        self._refuse(self._refusal)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_framing(self, fed: int) -> None:
        """Bounds what the parser may gather without passing on any of it: chunk extensions and trailers (RFC 9112 7.1)."""
        self._gathered = 0 if self._body_moved else self._gathered + fed
        if self._gathered > self._limits.header_bytes or self.headers:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _stop_parsing(self, status: HTTPStatus) -> None:
        self._refusal = status
        raise _BeyondLimitError

    @property
    def responding(self) -> bool:
        """Whether an answer is due or under way."""
        cycle = self._latest()
        return cycle is not None and not cycle.response_complete

    def _latest(self) -> RequestResponseCycle | None:
        """The request that came last; None before the first. (uvicorn declares the attribute as never None.)"""
        return self.cycle

    def _wait(self, seconds: float) -> None:
        """Gives the peer so long from now. Most deadlines are met, so a timer that fires too early is left to look again."""
        self._deadline = self.loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._deadline is None or self.transport.is_closing():
            return
        if self.flow.read_paused:
            # We are the slow ones: nothing more can come until we read on.
            self._wait(self._limits.header_seconds)
        elif self.loop.time() < self._deadline:
            self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answers with the status where no other answer is due or under way, and closes."""
        cycle = self._latest()
        answerable = cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)
        silent = self._stage is _Stage.BETWEEN or (self._stage is _Stage.BODY and cycle is not None and cycle.response_complete)
        if answerable and not silent and not self.pipeline:
            body = f"{status.phrase}.\n".encode()
            head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


class _BeyondLimitError(Exception):
    """Leaves the parser from within one of its callbacks."""
