"""What an operation says no to."""

from __future__ import annotations

from bramley.errors import BadInput, BramleyError


class OperationError(BramleyError):
    """An operation was not carried out; nothing was changed."""


class NotFound(OperationError, BadInput):
    """What was named does not exist here."""


class Invalid(OperationError, BadInput):
    """What was given cannot be used."""


class Conflict(OperationError, BadInput):
    """It is not possible in the state things are in."""


class NotReady(OperationError):
    """The installation lacks something first."""


class LinkUnusable(OperationError):
    """An enrollment link that is expired or used up."""


class TopicWouldChange(Conflict):
    """A push certificate of another topic than the enrolled devices', which it could never reach.

    `devices` is how many listen elsewhere: whoever means it repeats that number.
    """

    def __init__(self, message: str, *, devices: int, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.devices = devices
