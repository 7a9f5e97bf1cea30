"""What can go wrong before APNs answers; what APNs answers is a `PushResult`, never an exception."""

from __future__ import annotations

from bramley.errors import BadInput, BramleyError, OutsideTrouble


class PushError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadPushCertificate(PushError, BadInput):
    """A certificate that cannot push: expired, for another key or topic, or not an MDM push certificate at all."""


class CannotConnect(PushError, OutsideTrouble):
    """This machine lacks what a connection to APNs needs, such as a set of trusted roots."""


class ClientClosed(PushError):
    """A push was handed to a client that had been closed."""
