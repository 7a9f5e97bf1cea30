"""What can go wrong with stand-ins and simulated devices."""

from __future__ import annotations

from bramley.errors import BramleyError, OutsideTrouble


class SandboxError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadProfile(SandboxError):
    """A configuration profile that a device would not install: unsigned, tampered, untrusted, or incomplete."""


class ServerRefused(SandboxError):
    """The server answered a device with something other than success; `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int, body: bytes = b"", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.status = status
        self.body = body


class ServerUnreachable(SandboxError, OutsideTrouble):
    """No answer came from the server within the device's patience."""


class Unenrolled(SandboxError):
    """The device is not, or no longer, enrolled: it never was, the server sent it away, or it removed the profile."""


class UnknownToken(SandboxError):
    """A push token that the stand-in for APNs never gave out, or that is dead."""


class BadCommand(SandboxError):
    """The server answered a session with something that is no command."""


class IdentityRefused(SandboxError):
    """No identity could be had by SCEP; the cause says whether the CA refused or its answer was not to be trusted."""
