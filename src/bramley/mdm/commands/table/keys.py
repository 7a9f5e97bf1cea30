"""The language of the table: what a command's keys may hold, on which systems, and what an answer brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from types import MappingProxyType
from typing import Any

from bramley.mdm.commands.finding import Finding
from bramley.mdm.plist import Kind, Writable
from bramley.model.systems import EVERYWHERE, Offer, System, modes, offer, only, systems


class Fill(StrEnum):
    """What the server puts under a key that nobody gave."""

    PIN = "six digits, made up, for a Mac"
    UNLOCK_TOKEN = "the UnlockToken that the device told"  # noqa: S105 - words, not a token


class AccessRight(IntFlag):
    """The AccessRights of an enrollment profile (Apple, "MDM") that commands need."""

    NONE = 0
    INSPECT_PROFILES = 1
    CHANGE_PROFILES = 2
    LOCK = 4
    ERASE = 8
    QUERY_DEVICE = 16
    QUERY_APPS = 256
    QUERY_SECURITY = 1024
    SETTINGS = 2048


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its value, or, without a name, what an array holds.

    `keys` are those of a dictionary, which may have others where there are none here. `items` is what an array holds, at least
    `fewest` of it. `choices` are what an array of dictionaries may hold, by what each has under `Item`. `known` are texts that
    have a meaning today; others are let pass with a note. `form` is a regular expression for the whole text, `form_words` says
    it in words. `secret`: the value is in no message, and in nothing that is shown. `fill`: what the server puts there itself.
    """

    name: str
    kind: Kind
    required: bool = False
    one_of: tuple[str | int, ...] = ()
    known: Mapping[str, Key] = field(default_factory=lambda: MappingProxyType({}))
    form: str = ""
    form_words: str = ""
    default: Writable | None = None
    secret: bool = False
    fill: Fill | None = None
    keys: tuple[Key, ...] = ()
    items: Key | None = None
    choices: Mapping[str, Key] = field(default_factory=lambda: MappingProxyType({}))
    fewest: int = 0
    on: Offer = field(default_factory=lambda: EVERYWHERE)
    supervised: frozenset[System] = frozenset()
    user_enrollment: Mapping[System, str] = field(default_factory=lambda: MappingProxyType({}))


Body = Mapping[str, Any]
"""A command's keys without its RequestType, nothing of it checked."""

Check = Callable[[Body], Iterator[Finding]]
"""A rule that types and values cannot say; the keys it looks at are of the right types."""


@dataclass(frozen=True, slots=True)
class RequestType:
    """A row of the table: a command's keys, what an answer brings beside the envelope, and who may be sent it.

    `supervised` are the systems on which only a supervised device takes it, `ade` those on which only one that waits in Setup
    Assistant after Automated Device Enrollment does, `user_channel` those on which users have channels that take it.
    `destroys` says what cannot be undone, in words; then the serial number must be repeated. `in_quarantine`: a quarantined
    device is given it.
    """

    name: str
    purpose: str
    on: Offer
    right: AccessRight
    keys: tuple[Key, ...] = ()
    answer: tuple[Key, ...] = ()
    checks: tuple[Check, ...] = ()
    supervised: frozenset[System] = frozenset()
    ade: frozenset[System] = frozenset()
    user_enrollment: Mapping[System, str] = field(default_factory=lambda: MappingProxyType({}))
    user_channel: frozenset[System] = frozenset()
    destroys: str = ""
    in_quarantine: bool = False

    def filled(self, fill: Fill) -> Key | None:
        """The key that the server puts this under."""
        return next((key for key in self.keys if key.fill is fill), None)


def request_type(
    name: str,
    purpose: str,
    right: AccessRight,
    *,
    on: str,
    keys: Sequence[Key] = (),
    answer: Sequence[Key] = (),
    supervised: str = "",
    ade: str = "",
    ue: str = "",
    user_channel: str = "",
    **rest: Any,
) -> RequestType:
    """A row of the table. `on` names every system that has it; `ue` is what User Enrollment says of it."""
    return RequestType(
        name,
        purpose,
        only(on),
        right,
        tuple(keys),
        tuple(answer),
        supervised=systems(supervised),
        ade=systems(ade),
        user_enrollment=modes(ue),
        user_channel=systems(user_channel),
        **rest,
    )


def text(name: str = "", **rest: Any) -> Key:
    """A string."""
    return _key(name, Kind.STRING, **rest)


def integer(name: str = "", **rest: Any) -> Key:
    """An integer."""
    return _key(name, Kind.INTEGER, **rest)


def real(name: str, **rest: Any) -> Key:
    """A number with a fraction."""
    return _key(name, Kind.REAL, **rest)


def boolean(name: str, **rest: Any) -> Key:
    """A boolean."""
    return _key(name, Kind.BOOLEAN, **rest)


def date(name: str, **rest: Any) -> Key:
    """A moment."""
    return _key(name, Kind.DATE, **rest)


def data(name: str = "", **rest: Any) -> Key:
    """Octets."""
    return _key(name, Kind.DATA, **rest)


def array(name: str, items: Key | None = None, **rest: Any) -> Key:
    """Any number of the same thing."""
    return _key(name, Kind.ARRAY, items=items, **rest)


def texts(name: str, **rest: Any) -> Key:
    """Any number of strings."""
    return array(name, text(), **rest)


def dictionary(name: str = "", keys: Sequence[Key] = (), **rest: Any) -> Key:
    """Keys in a key."""
    return _key(name, Kind.DICTIONARY, keys=tuple(keys), **rest)


def _key(name: str, kind: Kind, *, on: str = "", ue: str = "", supervised: str = "", **rest: Any) -> Key:
    return Key(name, kind, on=offer(on), user_enrollment=modes(ue), supervised=systems(supervised), **rest)
