"""What goes back to a device after a check-in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a 200, and its media type; None for both is an empty body."""

    body: bytes | None = field(default=None, repr=False)
    content_type: str | None = None


DONE: Final = Answer()
"""Received, and nothing to say."""

PLIST_TYPE: Final = "application/xml"
