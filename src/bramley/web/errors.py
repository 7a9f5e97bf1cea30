"""What can go wrong at the edge before or around a request."""

from __future__ import annotations

from bramley.errors import BramleyError, OutsideTrouble


class WebError(BramleyError):
    """The root of everything that this package raises on purpose."""


class CannotListen(WebError, OutsideTrouble):
    """An address that this machine does not let us listen on."""


class TooLarge(WebError):
    """A request body beyond the limit of its path."""


class TooMany(WebError):
    """More requests of one kind than are looked at; `retry_after` is when one will be again, in seconds."""

    retry_after: int = 60

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, advice=f"Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class Disconnected(WebError):
    """The peer went away before its request was complete; nobody is left to answer."""
