"""Commands, and answers to them, held to the table. Pure: what a device is comes as an argument."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from re import fullmatch
from typing import Any, Final

from bramley.mdm.commands.finding import Finding, Rule, Severity, error, note, within
from bramley.mdm.commands.table import Key, Kind, RequestType
from bramley.mdm.plist import kind_of
from bramley.model.systems import Span, System, Target

AROUND: Final = frozenset({"RequestType", "RequestRequiresNetworkTether"})
"""Keys that every command may have."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom a command is for, as far as that is known; `user_channel` says that it is for a user of a device."""

    target: Target | None = None
    user_enrollment: bool = False
    user_channel: bool = False


def check(known: RequestType, command: Mapping[str, Any], receiver: Receiver, *, filled: bool) -> tuple[Finding, ...]:
    """Everything that is wrong with a command, or worth knowing about it.

    Without `filled` it may lack what the server puts in (`Key.fill`). What nobody can tell, such as whether a device is
    supervised, is a note. The rules beyond the keys are asked only where every key is right.
    """
    body = {key: value for key, value in command.items() if key not in AROUND}
    walker = _Walker(receiver, filled=filled)
    found = [*_for_whom(known, receiver), *walker.keys(known.keys, body, "", known.name)]
    if not any(each.severity is Severity.ERROR for each in found):
        for rule in known.checks:
            found += rule(body)
    return tuple(found)


def check_answer(known: RequestType, content: Mapping[str, Any]) -> tuple[Finding, ...]:
    """What is wrong with an answer's keys beside the envelope; an error where a required key is missing or of another type.

    A device's answer is kept whatever it holds: of the other findings, and of keys that are not in the table, all are notes.
    """
    return tuple(_Walker(Receiver(), filled=True, answer=True).keys(known.answer, content, "", known.name))


@dataclass(frozen=True, slots=True)
class _Walker:
    receiver: Receiver
    filled: bool
    answer: bool = False

    def wrong(self, path: str, rule: Rule, words: str, *, essential: bool) -> Finding:
        """An error; but what a device tells besides what must be there is no reason to lose the rest of it."""
        return note(path, rule, words) if self.answer and not essential else error(path, rule, words)

    def keys(
        self, keys: Sequence[Key], values: Mapping[str, Any], path: str, owner: str, *, essential: bool = True
    ) -> Iterator[Finding]:
        by_name = {key.name: key for key in keys}
        for key in keys:
            if key.required and key.name not in values and (self.filled or key.fill is None):
                words = f"Expected {key.name}, which is required; it is missing."
                yield self.wrong(within(path, key.name), Rule.REQUIRED, words, essential=essential)
        for name, value in values.items():
            at = within(path, name)
            found = by_name.get(name)
            if found is None:
                yield note(at, Rule.KNOWN_KEY, f"Expected a key of {owner}; this one is not known.{_near(name, by_name)}")
            else:
                yield from self.offered(found, at)
                yield from self.value(found, value, at, essential=essential and found.required)

    def offered(self, key: Key, path: str) -> Iterator[Finding]:
        """Whether who gets it has the key."""
        target = self.receiver.target
        if self.answer or target is None:
            return
        span = key.on.get(target.system, Span())
        if not span.covers(target.version):
            yield note(path, Rule.OFFERED, f"Expected a system that has {key.name}: {_when(span, target.system)}.")
        elif target.system in key.supervised:
            yield note(path, Rule.SUPERVISED, f"Only a supervised device takes {key.name} on {target.system}.")
        if self.receiver.user_enrollment and key.user_enrollment.get(target.system) == "forbidden":
            words = f"Expected no {key.name} with User Enrollment, which forbids it on {target.system}."
            yield note(path, Rule.USER_ENROLLMENT, words)

    def value(self, key: Key, value: Any, path: str, *, essential: bool) -> Iterator[Finding]:
        if not key.kind.holds(value):
            words = f"Expected a value of the type {key.kind}; a {kind_of(value)} came."
            yield self.wrong(path, Rule.TYPE, words, essential=essential)
            return
        if key.fewest and len(value) < key.fewest:
            yield error(path, Rule.COUNT, f"Expected {key.name} not to be empty; it is.")
        if key.kind is Kind.DICTIONARY and key.keys:
            yield from self.keys(key.keys, value, path, key.name or path, essential=essential)
        elif key.kind is Kind.ARRAY:
            for at, item in enumerate(value):
                yield from self.item(key, item, f"{path}[{at}]", essential=essential)
        else:
            yield from self.scalar(key, value, path)

    def item(self, key: Key, item: Any, path: str, *, essential: bool) -> Iterator[Finding]:
        """One of an array: of one kind for all, or of the kind that its `Item` names."""
        if key.items is not None:
            yield from self.value(key.items, item, path, essential=essential)
        if not key.choices or not isinstance(item, Mapping):
            return
        name = item.get("Item")
        if not isinstance(name, str):
            yield error(within(path, "Item"), Rule.REQUIRED, "Expected an Item that is a string; there is none.")
        elif name not in key.choices:
            words = f"Expected the Item to be known; {name[:40]!r} is not.{_near(name, key.choices)}"
            yield note(within(path, "Item"), Rule.ALLOWED_VALUE, words)
        else:
            yield from self.offered(key.choices[name], path)
            yield from self.value(key.choices[name], item, path, essential=essential)

    def scalar(self, key: Key, value: Any, path: str) -> Iterator[Finding]:
        came = "something else" if key.secret else repr(str(value)[:40])
        if key.one_of and value not in key.one_of:
            words = f"Expected one of {', '.join(map(str, key.one_of))}; {came} came."
            yield self.wrong(path, Rule.ALLOWED_VALUE, words, essential=False)
        if key.known and value not in key.known:
            yield note(path, Rule.ALLOWED_VALUE, f"Expected a name that is known; {came} is not.{_near(value, key.known)}")
        elif key.known:
            yield from self.offered(key.known[value], path)
        if key.form and not fullmatch(key.form, value):
            yield error(path, Rule.FORM, f"Expected {key.form_words}; something else came.")


def _for_whom(known: RequestType, receiver: Receiver) -> Iterator[Finding]:
    """Whether who gets it takes such commands at all."""
    if receiver.user_channel and not known.user_channel:
        yield error("", Rule.CHANNEL, "Expected a device; this command is not for a user of one.")
    target = receiver.target
    if target is None:
        if receiver.user_enrollment and all(known.user_enrollment.get(each) == "forbidden" for each in _with_users(known)):
            yield error("", Rule.USER_ENROLLMENT, "Expected no User Enrollment, which forbids this command everywhere.")
        return
    span = known.on[target.system]
    if not span.covers(target.version):
        yield error("", Rule.OFFERED, f"Expected a device that has this command: {_when(span, target.system)}.")
        return
    if receiver.user_enrollment and known.user_enrollment.get(target.system) == "forbidden":
        yield error("", Rule.USER_ENROLLMENT, f"Expected no User Enrollment, which forbids this command on {target.system}.")
    if receiver.user_channel and known.user_channel and target.system not in known.user_channel:
        yield error("", Rule.CHANNEL, f"Expected a device; on {target.system} this command is not for a user of one.")
    if target.system in known.supervised:
        yield note("", Rule.SUPERVISED, f"Only a supervised device takes this command on {target.system}.")


def _with_users(known: RequestType) -> list[System]:
    """The systems that have both the command and User Enrollment."""
    return [each for each in (System.IOS, System.MACOS, System.VISIONOS) if not known.on[each].never]


def _near(name: Any, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, 1) if isinstance(name, str) else []
    return f" {near[0]} is one." if near else ""


def _when(span: Span, system: System) -> str:
    if span.never:
        return f"{system} has it in no version"
    since, _, until = str(span).partition("-")
    parts = [*([f"from {since} on"] if since else []), *([f"no more from {until} on"] if until else [])]
    return f"{system} has it {' and '.join(parts)}"
