"""What every answer has, and how keys are read from one.

A device's answer is its own word about itself: what is missing or of another type in a list is refused, so that nobody
takes half a list for a whole one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from bramley.mdm.errors import BadMessage
from bramley.mdm.messages import read_dictionary
from bramley.mdm.plist import PlistValue
from bramley.mdm.report import MAX_REPORT_BYTES


class Answer(Protocol):
    """What an Acknowledged report carries."""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """From a report's body. Raises BadMessage for a body that is not such an answer."""
        ...


def dictionary(raw: bytes, key: str) -> dict[str, PlistValue]:
    """The dictionary under `key` of a report."""
    value = read_dictionary(raw, MAX_REPORT_BYTES).get(key)
    if not isinstance(value, dict):
        raise BadMessage(f"Expected an answer with a dictionary {key}; none came.")
    return value


def dictionaries(raw: bytes, key: str) -> list[dict[str, PlistValue]]:
    """The array of dictionaries under `key` of a report."""
    value = read_dictionary(raw, MAX_REPORT_BYTES).get(key)
    if not isinstance(value, list):
        raise BadMessage(f"Expected an answer with an array {key}; none came.")
    items = [item for item in value if isinstance(item, dict)]
    if len(items) != len(value):
        raise BadMessage(f"Expected {key} to hold dictionaries only; it holds something else.")
    return items


def string(item: Mapping[str, PlistValue], key: str) -> str:
    """A string that must be there."""
    value = item.get(key)
    if not isinstance(value, str):
        raise BadMessage(f"Expected {key} to be a string; it is not.")
    return value


def data(item: Mapping[str, PlistValue], key: str) -> bytes:
    """Data that must be there."""
    value = item.get(key)
    if not isinstance(value, bytes):
        raise BadMessage(f"Expected {key} to be data; it is not.")
    return value


def boolean(item: Mapping[str, PlistValue], key: str) -> bool:
    """A boolean that must be there."""
    value = item.get(key)
    if not isinstance(value, bool):
        raise BadMessage(f"Expected {key} to be a boolean; it is not.")
    return value
