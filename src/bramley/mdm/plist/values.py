"""What a property list can hold, as Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

PlistValue = str | int | float | bool | bytes | datetime | list["PlistValue"] | dict[str, "PlistValue"]
"""What `loads` gives; times are aware and in UTC."""

Writable = str | int | float | bool | bytes | datetime | Sequence["Writable"] | Mapping[str, "Writable"]
"""What `dumps` takes; times must be aware."""

MAX_DEPTH: Final = 64
"""Containers inside containers: the outermost one is at depth 0."""

INTEGERS: Final = range(-(1 << 63), 1 << 64)
"""What Core Foundation can read back."""
