"""The table of payloads against Apple's schema: the same keys, and the same verdicts on profiles made from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bramley.model.profiles import Scope
from bramley.model.systems import modes, offer, only
from bramley.profiles.rules import COMMON, TOP_LEVEL, TYPES, Finding, Key, Kind, Rule, Severity, System, Target
from bramley.profiles.rules.keys import UUID_FORM
from bramley.profiles.validate import check

from .kit import payload, profile

ROOT, CA, IDENTITY = (f"{n:08X}-0000-4000-8000-000000000000" for n in (1, 2, 3))
"""UUIDs of the payloads that others may name; what is in them is judged by other tests."""

SCHEMA_RULES = {
    Rule.IS_A_PROFILE, Rule.TYPE, Rule.REQUIRED, Rule.ALLOWED_VALUE, Rule.RANGE, Rule.FORM, Rule.COUNT, Rule.REFERENCE_EXISTS,
    Rule.OFFERED, Rule.USER_ENROLLMENT, Rule.KNOWN_KEY,
}  # fmt: skip
OTHERS: tuple[Any, ...] = (
    1,
    "other",
    True,
    2.5,
    b"x",
    [],
    {},
    datetime(2026, 1, 1, tzinfo=UTC),
    -1,
    70_000,
    "https://x.example",
    ["x"],
    [1],
)
FORMS = {UUID_FORM: IDENTITY, "https://.*": "https://mdm.example/", "[0-9]{6}": "310410"}


def schema_shape(keys: list[dict[str, Any]]) -> dict[str, Any]:
    return {key["key"]: one_of_schema(key) for key in keys}


def schema_span(one: dict[str, Any]) -> str:
    since, until = one.get("introduced", ""), one.get("removed")
    return "no" if since == "n/a" else f"{since}-{until}" if until else since


def one_of_schema(key: dict[str, Any]) -> dict[str, Any]:
    bounds, systems = key.get("range") or {}, key.get("supportedOS") or {}
    inside = key.get("subkeys") or []
    return {
        "kind": key["type"].strip("<>"),
        "required": key.get("presence") == "required",
        "one_of": tuple(key.get("rangelist", ())),
        "bounds": (bounds.get("min"), bounds.get("max")),
        "default": key.get("default"),
        "on": {System(name): span for name, one in systems.items() if (span := schema_span(one))},
        "forbidden": {name: one["userenrollment"]["mode"] for name, one in systems.items()
                      if one.get("userenrollment", {}).get("mode") in ("forbidden", "required")},
        "keys": schema_shape(inside) if key["type"] == "<dictionary>" else {},
        "items": {**one_of_schema(inside[0]), "required": False} if key["type"] == "<array>" else None,
    }  # fmt: skip


def our_shape(key: Key) -> dict[str, Any]:
    return {
        "kind": key.kind.value,
        "required": key.required,
        "one_of": key.one_of,
        "bounds": (key.least, key.most),
        "default": key.default,
        "on": {system: str(span) for system, span in key.on.items()},
        "forbidden": dict(key.user_enrollment),
        "keys": {each.name: our_shape(each) for each in key.keys},
        "items": {**our_shape(key.items), "required": False} if key.items else None,
    }


@pytest.mark.parametrize("name", TYPES)
def test_the_table_has_the_keys_of_the_schema(schema: Any, name: str) -> None:
    found = schema.find("mdm/profiles", "payloadtype", name)
    common = {key.name for key in COMMON}

    assert {key.name: our_shape(key) for key in TYPES[name].keys} == {
        key: shape for key, shape in schema_shape(found["payloadkeys"]).items() if key not in common
    }
    spans = {system: str(span) for system, span in TYPES[name].on.items()}
    assert spans == {system: schema_span(one) for system, one in found["payload"]["supportedOS"].items()}


@pytest.mark.parametrize("name", TYPES)
def test_macs_take_it_on_the_channels_of_the_schema(schema: Any, name: str) -> None:
    mac = schema.find("mdm/profiles", "payloadtype", name)["payload"]["supportedOS"].get("macOS", {})
    only = {(False, True): Scope.USER, (True, False): Scope.SYSTEM}
    assert TYPES[name].scope is only.get((mac.get("devicechannel"), mac.get("userchannel")))


def test_what_is_around_payloads_is_that_of_the_schema(schema: Any) -> None:
    documents = {each["title"]: schema_shape(each["payloadkeys"]) for each in schema.documents("mdm/profiles")
                 if each.get("title") in ("Top Level", "Common Payload Keys")}  # fmt: skip
    # texts by language, of any names; and payloads, whose keys other tests compare
    odd = {"ConsentText", "PayloadContent"}

    assert {key.name: our_shape(key) for key in COMMON} == documents["Common Payload Keys"]
    assert {key.name for key in TOP_LEVEL} == documents["Top Level"].keys()
    assert {key.name: our_shape(key) for key in TOP_LEVEL if key.name not in odd} == {
        name: shape for name, shape in documents["Top Level"].items() if name not in odd
    }


def made(key: Key, random: Random) -> Any:
    """A value that the table allows."""
    match key.kind:
        case Kind.DICTIONARY:
            return {each.name: made(each, random) for each in key.keys if each.required or random.random() < 0.4}
        case Kind.ARRAY:
            assert key.items is not None
            return [made(key.items, random) for _ in range(key.count or random.randint(0, 3))]
        case Kind.INTEGER | Kind.STRING if key.one_of:
            return random.choice(key.one_of)
        case Kind.INTEGER:
            return random.randint(key.least or 0, key.most or 9)
        case Kind.REAL:
            return random.choice([3, 2.5])
        case Kind.BOOLEAN:
            return random.random() < 0.5
        case Kind.DATE:
            return datetime(2027, 1, 1, tzinfo=UTC)
        case Kind.DATA:
            return b"octets"
        case Kind.STRING:
            if key.names:
                return CA if "com.apple.security.pkcs1" in key.names else IDENTITY
            return next((text for form, text in FORMS.items() if key.form == form), "abcdef")


def generated(random: Random) -> dict[str, Any]:
    """A profile of one payload of each of a few types, and those that they name."""
    named = [
        payload("com.apple.security.root", ROOT, PayloadContent=b""),
        payload("com.apple.security.pkcs1", CA, PayloadContent=b""),
        payload("com.apple.security.pkcs12", IDENTITY, PayloadContent=b""),
    ]
    kinds = random.sample([*TYPES], 3)
    around = {key.name: made(key, random) for key in TOP_LEVEL if random.random() < 0.3 and key.name not in (
        "ConsentText", "EncryptedPayloadContent", "PayloadContent", "PayloadUUID", "PayloadIdentifier")}  # fmt: skip
    return profile(*named, *(payload(kind, f"U{at}", **made(_whole(kind), random)) for at, kind in enumerate(kinds)), **around)


def _whole(kind: str) -> Key:
    return Key("", Kind.DICTIONARY, keys=TYPES[kind].keys)


def broken(content: dict[str, Any], random: Random) -> None:
    """Changes one value somewhere: to another, or to nothing, or adds a key that does not exist."""
    inside = random.choice([content, *content["PayloadContent"] * 2])
    places = [place for place in _places(inside) if place[1] not in ("PayloadType", "PayloadContent") or inside is not content]
    holder, key = random.choice([place for place in places if place[1] != "PayloadType"])
    match random.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder["Bogus"] = 1
        case _:
            holder[key] = random.choice(OTHERS)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        if key == "PayloadContent" and value.get("PayloadType") == "Configuration":
            continue
        yield value, key
        yield from _places(item)


def theirs(schema: Any, content: dict[str, Any]) -> set[tuple[str, str]]:
    """The schema's verdicts as (error or note, path)."""
    found = set()
    for line in schema.profile(deepcopy(content)):
        severity, _, rest = line.partition(" ")
        at, _, words = rest.partition(": ")
        if name := re.match(r"(.+) is (missing|unknown to the schema)", words):
            at = f"{at}.{name[1]}"
        if number := re.match(r"payload\[(\d+)\]", at):
            kind = content["PayloadContent"][int(number[1])]["PayloadType"]
            at = at.replace(f"{number[0]} {kind}", f"PayloadContent[{number[1]}]", 1)
        found.add((severity, _plain(at.removeprefix("profile."))))
    return found


def ours(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    found = set()
    for each in findings:
        nested = not re.fullmatch(r"PayloadContent\[\d+\]\.\w+CertificateUUIDs?(\[\d+\])?", each.path)
        whole = re.fullmatch(r"PayloadContent\[\d+\]", each.path)
        if each.rule in SCHEMA_RULES and not (each.rule is Rule.REFERENCE_EXISTS and nested) and not whole:
            found.add(("error" if each.severity is Severity.ERROR else "note", _plain(each.path)))
    return found


def _plain(path: str) -> str:
    return re.sub(r"(CertificateUUIDs)\[\d+\]$", r"\1", path)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    random=st.randoms(use_true_random=False), system=st.sampled_from([None, *System]), user=st.booleans(), breaks=st.booleans()
)
def test_verdicts_are_those_of_the_schema(
    apple_schema: Any, random: Random, system: System | None, user: bool, breaks: bool
) -> None:
    content = generated(random)
    if breaks:
        broken(content, random)
    found = check(content, systems=[Target(system)] if system else (), user_enrollment=user)

    assert ours(found) == theirs(apple_schema(system and system.value, user), content)


def test_the_words_of_the_tables_are_read() -> None:
    found = offer("iOS 13.1-18.0, macOS no, tvOS 9")
    assert [found[System.IOS].covers(v) for v in ((13, 0), (13, 1), (17, 9), (18, 0), ())] == [False, True, True, False, True]
    assert not found[System.MACOS].covers(())
    assert str(found[System.TVOS]) == "9"
    assert only("iOS 4.0")[System.WATCHOS].never
    assert modes("iOS forbidden, macOS required") == {System.IOS: "forbidden", System.MACOS: "required"}
