"""What Apple's portals and their like refuse, in their own words where those are known."""

from __future__ import annotations

from typing import Final

from bramley.errors import BadInput
from bramley.sandbox.errors import SandboxError

SIGNATURE_INVALID: Final = -80018
"""The number that Apple's portal shows where the vendor's signature does not fit."""


class PortalRefused(SandboxError, BadInput):
    """A portal does not do what was asked, and changed nothing."""


class UploadRefused(PortalRefused):
    """The push certificates portal does not take a file. `code` is Apple's number for it, where one is known."""

    def __init__(self, message: str, *, code: int | None = None, advice: str = "") -> None:
        super().__init__(message if code is None else f"{message} ({code})", advice=advice)
        self.code = code


class NotVisible(PortalRefused):
    """A push certificate that this account does not see: it never was, or belongs to another account."""


class NotAMember(PortalRefused):
    """An account without the membership that this needs, or an account that nobody has."""


class LimitReached(PortalRefused):
    """An account that has as many certificates of the kind as it may have."""
