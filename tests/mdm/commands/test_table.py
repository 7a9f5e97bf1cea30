"""The table against Apple's schema: the same keys, and the same verdicts on commands and answers made from it."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bramley.mdm.commands import TABLE, AccessRight, Finding, Key, Receiver, Rule, Severity, System, Target, read_answer
from bramley.mdm.commands.checking import check, check_answer
from bramley.model.systems import Span, offer

from .kit import broken, dictionary_of

OURS_ALONE = {Rule.FORM, Rule.COUNT, Rule.NEEDS, Rule.PASSWORD_HASH}
"""Rules that Apple has in words only."""

RIGHTS = {
    "AllowInspection": AccessRight.INSPECT_PROFILES,
    "AllowInstallationRemoval": AccessRight.CHANGE_PROFILES,
    "AllowPasscodeRemovalAndLock": AccessRight.LOCK,
    "DeviceLockAndRemovePasscode": AccessRight.LOCK,
    "AllowDeviceErase": AccessRight.ERASE,
    "AllowQueryApplications": AccessRight.QUERY_APPS,
    "AllowQuerySecurity": AccessRight.QUERY_SECURITY,
    "AllowSettings": AccessRight.SETTINGS,
    "Special Case": AccessRight.QUERY_DEVICE,
    "None": AccessRight.NONE,
}
LATER = {"PayloadUUID"}
"""Keys of a payload in ProfileList that only later systems owe."""

Shape = dict[str, Any]


def schema_keys(keys: Iterable[Shape], *, answer: bool) -> Shape:
    return {key["key"]: schema_key(key, answer=answer) for key in keys if not key["key"].startswith("ANY")}


def spans(systems: Shape) -> Shape:
    return {System(name): "no" if one["introduced"] == "n/a" else one["introduced"] for name, one in systems.items()
            if one.get("introduced")}  # fmt: skip


def modes(systems: Shape) -> Shape:
    return {name: mode for name, one in systems.items()
            if (mode := one.get("userenrollment", {}).get("mode")) in ("forbidden", "required")}  # fmt: skip


def schema_key(key: Shape, *, answer: bool) -> Shape:
    inside, systems = key.get("subkeys") or [], key.get("supportedOS") or {}
    shape = {
        "kind": key["type"].strip("<>"),
        "required": key.get("presence") == "required",
        "one_of": tuple(key.get("rangelist", ())),
        "keys": schema_keys(inside, answer=answer) if key["type"] == "<dictionary>" else {},
        "items": None,
    }
    if key["type"] == "<array>" and len(inside) == 1 and key["key"] != "Queries":
        shape["items"] = {**schema_key(inside[0], answer=answer), "required": False}
    if not answer:
        shape |= {
            "default": key.get("default"),
            "on": spans(systems),
            "modes": modes(systems),
            "supervised": {name for name, one in systems.items() if one.get("supervised")},
        }
    return shape


def our_keys(keys: Iterable[Key], *, answer: bool) -> Shape:
    return {key.name: our_key(key, answer=answer) for key in keys}


def our_key(key: Key, *, answer: bool) -> Shape:
    plain = key.items is not None and not key.choices and not key.items.known
    shape: Shape = {
        "kind": key.kind.value,
        "required": key.required,
        "one_of": key.one_of,
        "keys": our_keys(key.keys, answer=answer),
        "items": {**our_key(key.items, answer=answer), "required": False} if plain and key.items else None,
    }
    if not answer:
        shape |= {
            "default": key.default,
            "on": {system: str(span) for system, span in key.on.items()},
            "modes": {**key.user_enrollment},
            "supervised": set(key.supervised),
        }
    return shape


def found(schema: Any, name: str) -> Shape:
    document: Shape = schema.find("mdm/commands", "requesttype", name)
    return document


@pytest.mark.parametrize("name", TABLE)
def test_it_has_the_keys_of_the_schema(schema: Any, name: str) -> None:
    asked = found(schema, name).get("payloadkeys") or []

    assert our_keys(TABLE[name].keys, answer=False) == schema_keys(asked, answer=False)
    if name == "Settings":
        (items,) = asked
        (ours,) = TABLE[name].keys
        assert our_keys(ours.choices.values(), answer=False) == schema_keys(items["subkeys"], answer=False)
    if name == "DeviceInformation":
        properties = asked[0]["subkeys"][0]["subkeys"]
        told = TABLE[name].keys[0].items
        assert told is not None
        keys = ("on", "modes", "supervised")
        assert {each: {key: our_key(one, answer=False)[key] for key in keys} for each, one in told.known.items()} == {
            each["key"]: {key: schema_key(each, answer=False)[key] for key in keys} for each in properties
        }


@pytest.mark.parametrize("name", TABLE)
def test_it_has_the_answers_of_the_schema(schema: Any, name: str) -> None:
    told = schema_keys(found(schema, name).get("responsekeys") or [], answer=True)
    if name == "Settings":  # the schema has one dictionary, Apple's documentation and devices have an array
        told["Settings"] = {**told["Settings"], "kind": "array", "keys": {}, "items": {**told["Settings"], "required": False}}
        told["Settings"]["items"]["keys"]["ErrorChain"]["items"] = {
            **schema_key({"key": "", "type": "<dictionary>"}, answer=True)
        }
    if name == "ProfileList":
        for each in LATER:
            told["ProfileList"]["items"]["keys"]["PayloadContent"]["items"]["keys"][each]["required"] = False

    assert our_keys(TABLE[name].answer, answer=True) == told


@pytest.mark.parametrize("name", TABLE)
def test_it_says_who_may_be_sent_it(schema: Any, name: str) -> None:
    known, systems = TABLE[name], found(schema, name)["payload"]["supportedOS"]

    assert {system: str(span) for system, span in known.on.items()} == spans(systems)
    assert set(known.supervised) == {name for name, one in systems.items() if one.get("supervised")}
    assert set(known.ade) == {name for name, one in systems.items() if one.get("requiresdep")}
    assert dict(known.user_enrollment) == modes(systems)
    assert set(known.user_channel) == {
        name for name, one in systems.items() if one.get("userchannel") or one.get("sharedipad", {}).get("userchannel")
    }
    assert {known.right} == {RIGHTS[one["accessrights"]] for one in systems.values() if "accessrights" in one}


def test_what_destroys_is_marked() -> None:
    assert {name for name, known in TABLE.items() if known.destroys} == {"DeviceLock", "EraseDevice"}
    assert {name for name, known in TABLE.items() if known.in_quarantine} == {"DeviceLock", "EraseDevice", "EnableLostMode"}


def theirs(lines: Iterable[str], name: str) -> set[tuple[str, str]]:
    """The schema's verdicts as (error or note, path)."""
    seen = set()
    for line in lines:
        severity, _, rest = line.partition(" ")
        at, _, words = rest.partition(": ")
        if missing := re.match(r"(.+) is (missing|unknown to the schema)", words):
            at = f"{at}.{missing[1]}"
        seen.add((severity, at.removeprefix(name).removeprefix(".")))
    return seen


def ours(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    return {(each.severity.value, each.path) for each in findings if each.rule not in OURS_ALONE and each.path}


def owed_later(path: str) -> bool:
    return any(re.fullmatch(rf"ProfileList\[\d+\]\.PayloadContent\[\d+\]\.{name}", path) for name in LATER)


SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RANDOM = st.randoms(use_true_random=False)
NAMES = st.sampled_from(sorted(TABLE))


@SETTINGS
@given(random=RANDOM, name=NAMES, system=st.sampled_from([None, *System]), breaks=st.booleans())
def test_verdicts_on_commands_are_those_of_the_schema(
    apple_schema: Callable[..., Any], random: Random, name: str, system: System | None, breaks: bool
) -> None:
    command = dictionary_of(TABLE[name].keys, random)
    if breaks:
        broken(command, random)
    receiver = Receiver(Target(system) if system else None)
    said = list(check(TABLE[name], deepcopy(command), receiver, filled=True))
    # these are judged beside the schema's own walk: it has items and properties as alternatives, which it does not follow
    whole = [each for each in said if not re.match(r"(Settings|Queries)\[", each.path) and each.rule is not Rule.SUPERVISED]
    checker = apple_schema(system and system.value)
    lines = [
        line
        for line in checker.command({"CommandUUID": "u", "Command": {"RequestType": name, **command}})
        if not re.match(r"\w+ \w+\.(Settings|Queries)\[", line)
    ]
    assert ours(whole) == theirs(lines, name)
    if name == "Settings" and isinstance(command.get("Settings"), list):
        alternatives = {each["key"]: each for each in found(checker, name)["payloadkeys"][0]["subkeys"]}
        for at, item in enumerate(command["Settings"]):
            kind = alternatives.get(item.get("Item")) if isinstance(item, dict) and isinstance(item.get("Item"), str) else None
            if kind is not None:
                within = {
                    (severity, path)
                    for severity, path in ours(each for each in said if each.rule is not Rule.SUPERVISED)
                    if path.startswith(f"Settings[{at}].")
                }
                assert within == theirs(checker.value(kind, item, f"Settings[{at}]"), "")


@SETTINGS
@given(random=RANDOM, name=NAMES, breaks=st.booleans())
def test_verdicts_on_answers_are_those_of_the_schema(schema: Any, random: Random, name: str, breaks: bool) -> None:
    content = dictionary_of(TABLE[name].answer, random)
    if breaks:
        broken(content, random)
    if name == "Settings":
        return  # the schema has another type for it, see above
    said = check_answer(TABLE[name], deepcopy(content))
    lines = list(schema.result(name, {"Status": "Acknowledged", **content}))

    # what is odd beside what must be there is a note with us
    assert {path for _severity, path in ours(said)} == {path for _severity, path in theirs(lines, name) if not owed_later(path)}
    if not breaks:
        assert said == ()


@pytest.mark.parametrize("name", ["CertificateList", "DeviceInformation", "ProfileList", "SecurityInfo"])
def test_what_real_devices_said_is_right(vectors: Path, name: str) -> None:
    files = sorted((vectors / "messages" / name).glob("*.xml"))

    assert files
    for file in files:
        told = read_answer(name, file.read_bytes())
        assert [each for each in told.findings if each.severity is Severity.ERROR] == [], file
        kept = set(plistlib.loads(file.read_bytes())) - {"Status", "CommandUUID", "UDID", "RequestType"}
        assert set(told.content) == kept


def test_the_words_of_the_table_are_read() -> None:
    spoken = offer("iOS 13.1-18.0, macOS no, tvOS 9.0")
    covered = [spoken[System.IOS].covers(version) for version in ((13, 0), (13, 1), (17, 9), (18, 0), ())]

    assert covered == [False, True, True, False, True]
    assert spoken[System.MACOS] == Span(never=True)
    assert [str(span) for span in spoken.values()] == ["13.1-18.0", "no", "9.0"]
