"""What can go wrong when a profile is made."""

from __future__ import annotations

from bramley.errors import BramleyError


class ProfileError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadPayload(ProfileError):
    """Values that no device would accept in a payload or profile."""


class CannotSign(ProfileError):
    """A profile that should be signed cannot be, and so must not be sent."""
