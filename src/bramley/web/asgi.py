"""ASGI in few words: what a handler is given, what it returns, and how a body is read within its limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from bramley.web.addresses import origin
from bramley.web.errors import Disconnected, TooLarge

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `trace` names it in the log and in the answer's X-Request-ID."""

    scope: Scope
    receive: Receive
    trace: str

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    @property
    def client(self) -> str:
        """The address of whoever sent it; empty where it is not known."""
        return str((self.scope.get("client") or ("",))[0])

    @property
    def origin(self) -> str:
        """What stands for its sender where requests are counted."""
        return origin(self.client)

    @property
    def query(self) -> bytes:
        """The query string as it came: nothing is unescaped."""
        query: bytes = self.scope["query_string"]
        return query

    def headers(self, name: bytes) -> list[bytes]:
        """Every value of a header, by its name in lower case."""
        return [value for key, value in self.scope["headers"] if key == name]

    def header(self, name: bytes) -> bytes:
        """The first value of a header; empty where it is missing."""
        return next(iter(self.headers(name)), b"")

    async def body(self, limit: int) -> bytes:
        """The body, of at most `limit` bytes. Raises TooLarge, as early as can be, and Disconnected."""
        declared = self.header(b"content-length")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected("The peer went away in the middle of its request.")
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back: always whole, so its length is always told."""

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


def text(status: int, message: str) -> Response:
    """A short answer for people."""
    return Response(status, f"{message}\n".encode(), "text/plain; charset=utf-8")


async def respond(send: Send, response: Response, trace: str) -> None:
    """Sends a response with its X-Request-ID."""
    headers = [(b"x-request-id", trace.encode()), *response.headers]
    if response.status != 304:  # whose length would be that of the answer it stands for (RFC 9110 8.6)
        headers.insert(0, (b"content-length", b"%d" % len(response.body)))
    if response.content_type is not None:
        headers.append((b"content-type", response.content_type.encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"Expected a request body of at most {limit} bytes; more came.")
