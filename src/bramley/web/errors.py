"""What can go wrong at the edge before or around a request."""

from __future__ import annotations

from bramley.errors import BramleyError, OutsideTrouble


class WebError(BramleyError):
    """The root of everything that this package raises on purpose."""


class CannotListen(WebError, OutsideTrouble):
    """An address that this machine does not let us listen on."""


class TooLarge(WebError):
    """A request body beyond the limit of its path."""


class Disconnected(WebError):
    """The peer went away before its request was complete; nobody is left to answer."""
