"""Commands and answers made from the table at random, and ways to break them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

from bramley.mdm.commands import Key, Kind
from bramley.mdm.commands.passwords import password_hash

HASH = password_hash("correct horse")
OTHERS: tuple[Any, ...] = (1, "other", True, 2.5, b"x", [], {}, datetime(2026, 1, 1, tzinfo=UTC), -1, ["x"], [1], [{}])
"""Values of every type, of which most are wrong anywhere."""

_VALUES: Mapping[Kind, Any] = {
    Kind.STRING: "text",
    Kind.INTEGER: 3,
    Kind.REAL: 1.5,
    Kind.BOOLEAN: True,
    Kind.DATE: datetime(2026, 11, 24, tzinfo=UTC),
    Kind.DATA: b"\x00data",
}


def dictionary_of(keys: Sequence[Key], random: Random) -> dict[str, Any]:
    """All that must be there, and half of the rest."""
    return {key.name: value_of(key, random) for key in keys if key.required or random.random() < 0.5}


def value_of(key: Key, random: Random) -> Any:
    """A value that the key may have."""
    if key.kind is Kind.DICTIONARY:
        return dictionary_of(key.keys, random)
    if key.choices:
        return [value_of(each, random) for each in random.sample(list(key.choices.values()), 3)]
    if key.items is not None:
        return [value_of(key.items, random) for _ in range(random.randint(1, 3))]
    if key.one_of:
        return random.choice(key.one_of)
    if key.known:
        return random.choice(list(key.known))
    if key.form:
        return "907351"
    return HASH if key.name == "passwordHash" else _VALUES[key.kind]


def broken(values: dict[str, Any], random: Random) -> None:
    """Takes something away, puts something else in its place, or adds a key: somewhere in it."""
    places = list(_places(values))
    container, name = random.choice(places) if places else (values, "New")
    match random.randrange(3):
        case 0 if places:
            del container[name]
        case 1 if places:
            container[name] = random.choice(OTHERS)
        case _:
            values[f"New{random.randrange(9)}"] = random.choice(OTHERS)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for name in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, name
            yield from _places(value[name])
