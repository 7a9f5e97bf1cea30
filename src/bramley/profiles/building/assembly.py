"""From a description to the property list of a profile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid5

from bramley.profiles.building.forms import FORMS, Field
from bramley.profiles.building.spec import plain
from bramley.profiles.building.takes import Place, ReadFile, flag, moment, raw, text
from bramley.profiles.payloads import common_keys
from bramley.profiles.rules import Rule
from bramley.profiles.validate import require

_NAMESPACE: Final = UUID("6b1d3c3e-0f1b-5c0a-9a59-3f9f5d0c7e21")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")

_TOP: Final = (
    Field("organization", "PayloadOrganization"),
    Field("description", "PayloadDescription"),
    Field("scope", "PayloadScope"),
    Field("removal_disallowed", "PayloadRemovalDisallowed", flag),
    Field("removal_date", "RemovalDate", moment),
)
_COMMON: Final = (Field("organization", "PayloadOrganization"), Field("description", "PayloadDescription"))
_OWN: Final = frozenset({"identifier", "name", "payloads", "keys"})
_OF_PAYLOAD: Final = frozenset({"type", "name", "display_name", "keys"})


def build(spec: Mapping[str, Any], *, read_file: ReadFile | None = None) -> dict[str, Any]:
    """The profile that a description stands for, as a property list that `validate.check` finds no error in.

    A PayloadUUID comes of the profile's identifier and the payload's name: a profile that is built again replaces what was
    built before, payload by payload. `read_file` gives the octets of the files that are named.

    Raises BadProfile, with the key of the description, or of the profile, and the rule.
    """
    described = plain(spec)
    top = Place("", MappingProxyType({}), read_file)
    identifier = _matching(described, "identifier", _IDENTIFIER, top)
    name = _required(described, "name", top)
    payloads = described.get("payloads")
    if not isinstance(payloads, list) or not payloads:
        top.at("payloads").fail(Rule.HAS_PAYLOADS, "Expected a list of payloads; there is none, or nothing in it.")
    names = _names(payloads, top)
    place = Place("", MappingProxyType({each: _uuid(identifier, each) for each in names}), read_file)
    profile: dict[str, Any] = dict(common_keys("Configuration", identifier, _uuid(identifier), name))
    _take(profile, described, _TOP, _OWN, place)
    profile["PayloadContent"] = [
        _payload(each, f"{identifier}.{payload_name}", payload_name, place.at(f"payloads[{at}]"))
        for at, (each, payload_name) in enumerate(zip(payloads, names, strict=True))
    ]
    _merge(profile, raw(described.get("keys", {}), place.at("keys")), place.at("keys"))
    require(profile)
    return profile


def _names(payloads: Sequence[Any], top: Place) -> list[str]:
    """The name of each payload, which is its type where it has none; each is there once, so that references are clear."""
    names: list[str] = []
    for at, payload in enumerate(payloads):
        place = top.at(f"payloads[{at}]")
        if not isinstance(payload, dict):
            place.fail(Rule.TYPE, "Expected keys and values for a payload; something else came.")
        name = _matching(payload, "name" if "name" in payload else "type", _NAME, place)
        if name in names:
            place.at("name").fail(Rule.UNIQUE_IDENTIFIER, f"Expected a name of its own; {name!r} is another payload's.")
        names.append(name)
    return names


def _payload(described: Mapping[str, Any], identifier: str, name: str, place: Place) -> dict[str, Any]:
    kind = _required(described, "type", place)
    form = FORMS.get(kind)
    if form is None and "." not in kind:
        advice = f"The short names are {', '.join(FORMS)}; any PayloadType may be given, with its own keys under keys."
        place.at("type").fail(Rule.KNOWN_TYPE, f"Expected a type of payload; {kind[:80]!r} is none.", advice)
    display_name = text(described.get("display_name", name), place.at("display_name"))
    payload_type = form.payload_type if form else kind
    payload: dict[str, Any] = dict(common_keys(payload_type, identifier, place.uuids[name], display_name))
    fields = (*_COMMON, *(form.fields if form else ()))
    _take(payload, described, fields, _OF_PAYLOAD, place)
    _merge(payload, raw(described.get("keys", {}), place.at("keys")), place.at("keys"))
    for path, value in form.implied(payload).items() if form else ():
        _put(payload, path, value, replace=False)
    return payload


def _take(
    into: dict[str, Any], described: Mapping[str, Any], fields: Sequence[Field], others: frozenset[str], place: Place
) -> None:
    """Puts what the fields describe into a dictionary; what is no field is refused."""
    known = {field.name for field in fields} | others
    for name in [each for each in described if each not in known]:
        near = get_close_matches(name, known, 1)
        advice = f"Did you mean {near[0]}? " if near else ""
        place.at(name).fail(
            Rule.KNOWN_KEY, "Expected a key that is known here; this one is not.", f"{advice}Apple's own go under keys."
        )
    for field in fields:
        if field.name in described:
            _put(into, field.path, field.take(described[field.name], place.at(field.name)))
        elif field.required:
            place.at(field.name).fail(Rule.REQUIRED, f"Expected {field.name}, which is required; it is missing.")
        elif field.default is not None:
            _put(into, field.path, field.default)


def _put(into: dict[str, Any], path: str, value: Any, *, replace: bool = True) -> None:
    *outer, last = path.split(".")
    for key in outer:
        inner = into.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # given so under `keys`, and for the validation to refuse
        into = inner
    if replace or last not in into:
        into[last] = value


def _merge(into: dict[str, Any], given: Any, place: Place) -> None:
    """Apple's own keys come last, dictionaries key by key. Names and identifiers are not theirs to change."""
    if not isinstance(given, dict):
        place.fail(Rule.TYPE, "Expected keys and values; something else came.")
    for key, value in given.items():
        if key in _FIXED and key in into:
            place.at(key).fail(Rule.UNIQUE_IDENTIFIER, "Expected a key that is not made by the builder; this one is.")
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, place.at(key))
        else:
            into[key] = value


_FIXED: Final = frozenset({"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"})


def _required(described: Mapping[str, Any], name: str, place: Place) -> str:
    value: str = text(described.get(name, ""), place.at(name))
    if not value:
        place.at(name).fail(Rule.REQUIRED, f"Expected {name}, which is required; it is missing, or empty.")
    return value


def _matching(described: Mapping[str, Any], name: str, form: re.Pattern[str], place: Place) -> str:
    value = _required(described, name, place)
    if not form.fullmatch(value):
        place.at(name).fail(Rule.FORM, f"Expected letters, digits, points and hyphens; {value[:40]!r} came.")
    return value


def _uuid(*parts: str) -> str:
    """A version 5 UUID (RFC 9562 section 5.5) of these parts, none of which can hold a slash."""
    return str(uuid5(_NAMESPACE, "/".join(parts))).upper()
