"""The root of every error that Bramley raises on purpose.

Each package grows its own tree from here. A message says what was expected and what came; `advice` says what to do next.
Neither may hold a secret: both end up in logs, answers and terminals.
"""

from __future__ import annotations


class BramleyError(Exception):
    """Something that a caller, an operator or a device did or met, explained."""

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message} {self.advice}".rstrip()


class BadInput(BramleyError):
    """What was given cannot be used; nothing was changed. The command line exits 2."""


class OutsideTrouble(BramleyError):
    """Something outside (disk, network, another service) failed; trying again may help. The command line exits 3."""
