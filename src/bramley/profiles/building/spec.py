"""Descriptions of profiles as text: JSON, TOML or YAML, all of them only as far as JSON goes, and moments."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import yaml

from bramley.errors import BramleyError
from bramley.mdm import plist
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import Rule
from bramley.profiles.rules.finding import within

LARGEST: Final = 256 * 1024
_POSITION: Final = re.compile(r"line \d+,? column \d+")
_REFUSALS: Final = (ValueError, LookupError, ArithmeticError, AttributeError, TypeError, RecursionError, yaml.YAMLError)
"""What parsers raise; that of YAML lets through whatever its scalars with a tag run into."""

_DEEPEST: Final = 32
_MOST: Final = 50_000
"""Values in one description."""


def read_spec(data: bytes, name: str) -> Mapping[str, Any]:
    """The description in a file, of the form that its name ends in: `.json`, `.toml`, `.yaml` or `.yml`. Raises BadProfile."""
    if len(data) > LARGEST:
        raise _unreadable(f"Expected a description of at most {LARGEST} octets; {len(data)} came.")
    ending = name.rpartition(".")[2].lower()
    try:
        match ending:
            case "json":
                found = json.loads(data, object_pairs_hook=_without_duplicates)
            case "toml":
                found = tomllib.loads(data.decode())
            case "yaml" | "yml":
                found = yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe one
            case _:
                raise _unreadable(f"Expected a file name that ends in .json, .toml, .yaml or .yml; {name[-80:]!r} came.")
    except _REFUSALS as error:
        # the rest of what parsers say may quote the text, secrets in it
        where = _POSITION.search(str(error))
        raise _unreadable(f"Expected {ending.upper()}; what came cannot be read{f', at {where[0]}' if where else ''}.") from None
    if not isinstance(found, dict):
        came = "nothing" if found is None else "something else"
        raise _unreadable(f"Expected keys and values in a description; {came} came.")
    return found


class _Loader(yaml.SafeLoader):
    """Plain values alone. That in Python, since the one in C recurses until the process ends."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        # a few lines of references to references stand for more than memory holds
        if self.check_event(yaml.AliasEvent):
            raise _unreadable("Expected YAML without references (*name); one came.")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        made = super().construct_mapping(node, deep=deep)
        if len(made) < len(node.value):
            _without_duplicates([(self.construct_object(key, deep=True), None) for key, _ in node.value])
        return made


def _without_duplicates(pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
    """A dictionary, in which of two values for one key neither would be a guess."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadProfile(
            f"{str(twice)[:80]}: Expected each key once in its dictionary; this one came twice.",
            key=str(twice)[:80],
            rule=Rule.UNIQUE_KEY,
            advice="Leave one of them out; payloads of one type go into a list.",
        )
    return found


def plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same description, made of nothing but dictionaries with texts as keys, lists, and what a property list can hold.

    Raises BadProfile for anything else, and for what is nested too deep or too long.
    """
    return _Copy().dictionary(spec, "", 0)


class _Copy:
    """One copy in the making, which counts its values."""

    def __init__(self) -> None:
        self.left = _MOST

    def value(self, value: Any, path: str, depth: int) -> Any:
        self.left -= 1
        if depth > _DEEPEST or self.left < 0:
            raise BadProfile(
                f"{path[:200]}: Expected at most {_MOST} values, nested {_DEEPEST} deep; there are more.",
                key=path[:200],
                rule=Rule.COUNT,
            )
        if isinstance(value, Mapping):
            return self.dictionary(value, path, depth)
        if isinstance(value, list | tuple):
            return [self.value(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(value)]
        if isinstance(value, datetime) and value.tzinfo is None:
            raise BadProfile(
                f"{path}: Expected a moment with its time zone; one without came.", key=path, rule=Rule.TYPE, advice="Write …Z."
            )
        if isinstance(value, date) and not isinstance(value, datetime):
            raise BadProfile(
                f"{path}: Expected a moment; a day without a time came.", key=path, rule=Rule.TYPE, advice="Write …T12:00:00Z."
            )
        if value is None:
            raise BadProfile(f"{path}: Expected a value; nothing came.", key=path, rule=Rule.TYPE)
        self.require_writable(value, path)
        return value

    def require_writable(self, value: Any, path: str) -> None:
        try:
            plist.dumps(value)
        except BramleyError as error:
            rule = Rule.FORM if isinstance(value, str | int | datetime) else Rule.TYPE
            raise BadProfile(f"{path}: {error.message}", key=path, rule=rule) from None

    def dictionary(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        for key in value:
            if not isinstance(key, str):
                raise BadProfile(
                    f"{path}: Expected texts as keys; {key!r:.40} came.", key=path, rule=Rule.TYPE, advice="Quote it."
                )
            self.require_writable(key, path)
        return {key: self.value(item, within(path, key), depth + 1) for key, item in value.items()}


def _unreadable(words: str) -> BadProfile:
    return BadProfile(words, key="", rule=Rule.IS_A_PROFILE, advice="docs/how-to/build-a-profile.md has examples.")
