"""Whether devices will take a profile, key by key, by the table in `rules`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from bramley.mdm.plist import kind_of
from bramley.model.profiles import Scope
from bramley.model.systems import Offer, Span, without
from bramley.profiles import variables
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import COMMON, TOP_LEVEL, TYPES, Finding, Key, Kind, PayloadType, Rule, Severity, System, Target
from bramley.profiles.rules.finding import error, warning, within
from bramley.profiles.rules.keys import Context, Payload
from bramley.profiles.rules.references import named_in
from bramley.profiles.rules.structure import faults, payloads_of

_HINTS: Final = 100
"""How many unknown keys of a profile are told which is like them: looking for that takes its time."""


def check(
    content: Payload, *, systems: Iterable[Target] = (), user_enrollment: bool = False, as_it_is: bool = False
) -> tuple[Finding, ...]:
    """Everything that is wrong with a profile, given as its property list, in its order.

    `systems` are those that it is for; without any it is judged by what all systems have in common. Strings with variables
    are not held to a form or to a choice of values; in one that goes out `as_it_is` braces are text like any other. Payloads of
    types that are not in the table are told, and only their common keys are checked, and what they refer to.
    """
    found = list(faults(content))
    if any(each.path == "PayloadType" for each in found):
        return tuple(found)
    wrong = {each.path for each in found}
    context = Context(content, {p["PayloadUUID"]: p for p in payloads_of(content) if isinstance(p.get("PayloadUUID"), str)})
    checker = _Checker(tuple(systems), user_enrollment, context, as_it_is)
    found += [each for each in checker.profile() if each.path not in wrong]
    if not as_it_is:
        found += [error(each.path, Rule.KNOWN_VARIABLE, each.message) for each in variables.unknown(content)]
    return tuple(found)


def require(content: Payload, *, systems: Iterable[Target] = (), user_enrollment: bool = False) -> tuple[Finding, ...]:
    """As `check` for a plain profile, and refuses it for an error, as `refuse` does."""
    found = check(content, systems=systems, user_enrollment=user_enrollment)
    refuse(found)
    return found


def refuse(found: Iterable[Finding]) -> None:
    """Raises BadProfile for the first error among findings, which says how many more there are; nothing where there is none."""
    errors = [each for each in found if each.severity is Severity.ERROR]
    if errors:
        first, more = errors[0], len(errors) - 1
        message = f"{first.path}: {first.words}" if first.path else first.words
        raise BadProfile(
            f"{message} ({more} more are wrong.)" if more else message,
            key=first.path,
            rule=first.rule,
            advice=f"The rule is {first.rule}; docs/reference/payloads.md has the keys.",
        )


@dataclass(frozen=True, slots=True)
class _Checker:
    """A point of view (systems, enrollment) on one profile."""

    targets: tuple[Target, ...]
    user_enrollment: bool
    context: Context
    as_it_is: bool
    hints: Iterator[int] = field(default_factory=lambda: iter(range(_HINTS)))

    def profile(self) -> Iterator[Finding]:
        profile = self.context.profile
        around = {key: value for key, value in profile.items() if key != "PayloadContent"}
        yield from self.keys(TOP_LEVEL, around, "")
        if profile.get("PayloadContent") == []:
            yield warning("PayloadContent", Rule.HAS_PAYLOADS, "Expected payloads; there are none in it.")
        yield from self.unique("PayloadUUID", Rule.UNIQUE_UUID, Severity.ERROR)
        yield from self.unique("PayloadIdentifier", Rule.UNIQUE_IDENTIFIER, Severity.WARNING)
        for at, payload in self.payloads():
            yield from self.payload(payload, f"PayloadContent[{at}]")

    def payloads(self) -> Iterator[tuple[int, Payload]]:
        content = self.context.profile.get("PayloadContent")
        return ((at, each) for at, each in enumerate(content if isinstance(content, list) else ()) if isinstance(each, dict))

    def unique(self, name: str, rule: Rule, severity: Severity) -> Iterator[Finding]:
        """Two payloads with the same name would be one to references, and to a replacement; so would one named as the profile."""
        own = self.context.profile.get(name)
        seen = {own} if isinstance(own, str) else set()
        for at, payload in self.payloads():
            value = payload.get(name)
            if not isinstance(value, str):
                continue
            if value in seen:
                words = f"Expected a {name} of its own; another payload, or the profile, has the same."
                yield Finding(severity, f"PayloadContent[{at}].{name}", rule, words)
            seen.add(value)

    def payload(self, payload: Payload, path: str) -> Iterator[Finding]:
        kind = payload.get("PayloadType")
        known = TYPES.get(kind) if isinstance(kind, str) else None
        if known is None:
            common = {key.name: payload[key.name] for key in COMMON if key.name in payload}
            yield from self.keys(COMMON, common, path)
            if isinstance(kind, str):
                yield Finding(Severity.NOTE, path, Rule.KNOWN_TYPE, f"Not checked: payloads of the type {kind[:80]!r}.")
                yield from self.references(payload, path)
            return
        found = [*self.type(known, path), *self.scope(known, path), *self.keys((*COMMON, *known.keys), payload, path, known.name)]
        yield from found
        # the rules of a type rely on the types and values that the table demands
        if not any(each.severity is Severity.ERROR for each in found):
            for rule in known.checks:
                yield from rule(payload, path, self.context)

    def type(self, known: PayloadType, path: str) -> Iterator[Finding]:
        """Whether the systems have this type at all."""
        asked = {target.system for target in self.targets}
        lacking = without(known.on, self.targets)
        if lacking:
            severity = Severity.ERROR if len(lacking) == len(self.targets) else Severity.WARNING
            yield Finding(
                severity, path, Rule.OFFERED, f"Expected systems that have {known.name}; {_where(known.on, lacking)}.", lacking
            )
        forbidden = {system for system, mode in known.user_enrollment.items() if mode == "forbidden"}
        if self.user_enrollment and (met := forbidden & asked if asked else forbidden):
            severity = Severity.ERROR if met == (asked or forbidden) else Severity.WARNING
            words = f"Expected no {known.name} with User Enrollment, which forbids it on {', '.join(sorted(met))}."
            yield Finding(severity, path, Rule.USER_ENROLLMENT, words, tuple(sorted(met)))

    def scope(self, known: PayloadType, path: str) -> Iterator[Finding]:
        """Whether MDM can install this type on Macs in the profile's scope. By hand all go to whoever installs them."""
        asked = {target.system for target in self.targets}
        if known.scope is None or (asked and System.MACOS not in asked):
            return
        given = Scope.USER if self.context.profile.get("PayloadScope") == Scope.USER else Scope.SYSTEM
        if given is not known.scope:
            words = f"Expected the PayloadScope {known.scope} for {known.name}: over MDM, Macs take it in no other."
            yield Finding(Severity.WARNING, path, Rule.SCOPE, words, (System.MACOS,))

    def keys(self, keys: Sequence[Key], values: Payload, path: str, owner: str = "") -> Iterator[Finding]:
        known = {key.name: key for key in keys}
        for key in keys:
            if key.required and key.name not in values:
                yield error(within(path, key.name), Rule.REQUIRED, f"Expected {key.name}, which is required; it is missing.")
        for name, value in values.items():
            at = within(path, name)
            if name in known:
                yield from self.offered(known[name], at)
                yield from self.value(known[name], value, at)
            else:
                near = get_close_matches(name, known, 1) if next(self.hints, None) is not None else []
                hint = f" {near[0]} is one." if near else ""
                yield warning(
                    at, Rule.KNOWN_KEY, f"Expected a key of {owner or path or 'a profile'}; this one is not known.{hint}"
                )

    def offered(self, key: Key, path: str) -> Iterator[Finding]:
        """Whether the systems, and this way of enrollment, have the key."""
        lacking = without(key.on, self.targets)
        if lacking:
            yield Finding(
                Severity.WARNING,
                path,
                Rule.OFFERED,
                f"Expected systems that have {key.name}; {_where(key.on, lacking)}.",
                lacking,
            )
        against = "forbidden" if self.user_enrollment else "required"
        asked = {target.system for target in self.targets}
        met = tuple(s for s, mode in key.user_enrollment.items() if mode == against and (not asked or s in asked))
        if met:
            which = "without" if self.user_enrollment else "with"
            words = f"Expected {key.name} only {which} User Enrollment, on {', '.join(met)}."
            yield Finding(Severity.WARNING, path, Rule.USER_ENROLLMENT, words, met)

    def value(self, key: Key, value: Any, path: str) -> Iterator[Finding]:
        if not key.kind.holds(value):
            yield error(path, Rule.TYPE, f"Expected a value of the type {key.kind}; a {kind_of(value)} came.")
            return
        if key.kind is Kind.DICTIONARY and key.keys:
            yield from self.keys(key.keys, value, path)
        elif key.kind is Kind.ARRAY:
            if key.count is not None and len(value) != key.count:
                yield error(path, Rule.COUNT, f"Expected {key.count} items; {len(value)} came.")
            for at, item in enumerate(value if key.items else ()):
                assert key.items is not None
                yield from self.value(key.items, item, f"{path}[{at}]")
        elif not self.varies(value):
            yield from self.scalar(key, value, path)
        elif key.fixed or key.names:
            yield _no_variable(path)

    def varies(self, value: Any) -> bool:
        """Whether the value is not known before the profile is made for a device."""
        return not self.as_it_is and isinstance(value, str) and variables.OPEN in value

    def scalar(self, key: Key, value: Any, path: str) -> Iterator[Finding]:
        if key.one_of and value not in key.one_of:
            choice = ", ".join(map(str, key.one_of))
            yield error(path, Rule.ALLOWED_VALUE, f"Expected one of {choice}; {str(value)[:40]!r} came.")
        if (key.least is not None and value < key.least) or (key.most is not None and value > key.most):
            yield error(path, Rule.RANGE, f"Expected a number from {key.least} to {key.most}; {value} came.")
        if key.form and not re.fullmatch(key.form, value):
            yield error(path, Rule.FORM, f"Expected {key.form_words}; something else came.")
        elif key.names:
            yield from self.reference(key.names, value, path)

    def reference(self, names: frozenset[str], uuid: str, path: str) -> Iterator[Finding]:
        """Whether a PayloadUUID is that of a payload here, and of one of these types; of others nobody can tell."""
        named = self.context.payloads.get(uuid)
        if named is None:
            words = f"Expected the PayloadUUID of a payload in the same profile; {uuid[:40]!r} is none."
            yield error(path, Rule.REFERENCE_EXISTS, words)
        elif names and (kind := named.get("PayloadType")) in TYPES and kind not in names:
            yield error(path, Rule.REFERENCE_FITS, f"Expected a payload of {' or '.join(sorted(names))}; it is a {kind}.")

    def references(self, payload: Payload, path: str) -> Iterator[Finding]:
        """Those of a type that the table lacks, by their names."""
        for at, uuid in named_in(payload, path):
            yield from [_no_variable(at)] if self.varies(uuid) else self.reference(frozenset(), uuid, at)


def _no_variable(path: str) -> Finding:
    words = "Expected a value that is the same on every device, since profiles and payloads are found by it; a variable came."
    return error(path, Rule.NO_VARIABLE, words)


def _where(offer: Offer, lacking: tuple[System, ...]) -> str:
    """From and until when the systems that lack something have it."""
    return ", and ".join(f"{system} {_when(offer.get(system, Span()))}" for system in lacking)


def _when(span: Span) -> str:
    if span.never:
        return "has it in no version"
    since, _, until = str(span).partition("-")
    return " and ".join([*([f"has it from {since} on"] if since else []), *([f"no more from {until} on"] if until else [])])
