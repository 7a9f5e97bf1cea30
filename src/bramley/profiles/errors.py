"""What can go wrong when a profile is made."""

from __future__ import annotations

from bramley.errors import BadInput, BramleyError


class ProfileError(BramleyError):
    """The root of everything that this package raises on purpose."""


class BadPayload(ProfileError):
    """Values that no device would accept in a payload or profile."""


class NoRecipient(ProfileError, BadInput):
    """A certificate that nothing can be encrypted to. What should be encrypted and cannot be is not sent."""


class CannotSign(ProfileError):
    """A profile that should be signed cannot be, and so must not be sent."""


class BadProfile(ProfileError, BadInput):
    """What is no configuration profile, or one that breaks a rule: `key` says where, `rule` which (a word of `rules.Rule`)."""

    def __init__(self, message: str, *, key: str, rule: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.key = key
        self.rule = rule


class BadVariable(ProfileError, BadInput):
    """A `{{ variable }}` of a profile that cannot be put in; `path` says where it stands."""

    def __init__(self, message: str, *, name: str, path: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.name = name
        self.path = path


class UnknownVariable(BadVariable):
    """There is no variable of this name, or what stands between the braces is none."""


class MissingVariable(BadVariable):
    """The variable exists, and has no value for this device or user."""
