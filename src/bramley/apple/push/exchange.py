"""HTTP requests on their way through the engine, and what has come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bramley.apple.push.stages import Stage

ANSWER_LIMIT: Final = 16 * 1024
"""Octets of a body that are read; APNs' longest is under a hundred."""


@dataclass(frozen=True, slots=True)
class Request:
    """A POST to one URL."""

    url: str = field(repr=False)
    headers: tuple[str, ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` 0 is no answer: `error` says why, `failed_at` where. `lines` are those of the header."""

    status: int
    lines: Sequence[bytes] = ()
    body: bytes = b""
    error: str = ""
    failed_at: Stage | None = None

    def header(self, name: bytes) -> str | None:
        """The value of a header field. Its name is in lower case, as in HTTP/2 every name is (RFC 9113 section 8.2.1)."""
        for line in self.lines:
            if line.startswith(name) and line[len(name) : len(name) + 1] == b":":
                return line[len(name) + 1 :].strip().decode("latin-1")
        return None


class Batch:
    """Requests that are reported together. Only the engine's thread touches it once it is handed over."""

    __slots__ = ("answers", "left", "report")

    def __init__(self, size: int, report: Callable[[list[Answer]], None]) -> None:
        self.answers = [Answer(0, error="not sent")] * size
        self.left = size
        self.report = report

    def put(self, index: int, answer: Answer) -> None:
        self.answers[index] = answer
        self.left -= 1
        if not self.left:
            self.report(self.answers)


class Exchange:
    """One request on its way, with what has been received of its answer."""

    __slots__ = ("batch", "body", "index", "lines", "request", "second_try")

    def __init__(self, request: Request, batch: Batch, index: int) -> None:
        self.request, self.batch, self.index = request, batch, index
        self.second_try = False
        self.begin()

    def begin(self) -> None:
        """Forgets what an earlier try received."""
        self.lines: list[bytes] = []
        self.body = b""

    def answer(self, status: int) -> Answer:
        """What has been received, under the status that came with it."""
        return Answer(status, self.lines, self.body)

    def take_body(self, piece: bytes) -> int:
        if len(self.body) + len(piece) > ANSWER_LIMIT:
            return 0  # fewer octets than came: libcurl ends the transfer with E_WRITE_ERROR
        self.body += piece
        return len(piece)
