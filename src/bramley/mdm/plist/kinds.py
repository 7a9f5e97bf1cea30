"""The types of values in property lists, by Apple's names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Kind(StrEnum):
    """The types of values, by Apple's names."""

    STRING = "string"
    INTEGER = "integer"
    REAL = "real"
    BOOLEAN = "boolean"
    DATE = "date"
    DATA = "data"
    ARRAY = "array"
    DICTIONARY = "dictionary"

    def holds(self, value: object) -> bool:
        """Whether a value is of this type; a real may be written as an integer, and no number as a boolean."""
        if isinstance(value, bool):
            return self is Kind.BOOLEAN
        return isinstance(value, _CLASSES[self])


_CLASSES: Final[Mapping[Kind, tuple[type, ...]]] = MappingProxyType(
    {
        Kind.STRING: (str,),
        Kind.INTEGER: (int,),
        Kind.REAL: (float, int),
        Kind.BOOLEAN: (bool,),
        Kind.DATE: (datetime,),
        Kind.DATA: (bytes,),
        Kind.ARRAY: (list, tuple),
        Kind.DICTIONARY: (Mapping,),
    }
)


def kind_of(value: object) -> str:
    """The type of a value by Apple's name, for messages."""
    return next((kind.value for kind in Kind if kind.holds(value)), type(value).__name__)
