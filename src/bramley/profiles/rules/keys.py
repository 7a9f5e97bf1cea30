"""The language of the tables: what a key may hold, and on which systems."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from bramley.mdm.plist import Kind, Writable
from bramley.model.profiles import Scope
from bramley.model.systems import EVERY_MODE, EVERYWHERE, Offer, System, modes, offer, only
from bramley.profiles.rules.finding import Finding


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its value, or, without a name, what an array holds.

    `keys` are those of a dictionary, which may have others where there are none here; `items` is what an array holds, exactly
    `count` of them if that is given. `least` and `most` bound a number. `form` is a regular expression for the whole text, and
    `form_words` says it in words. `names` are the PayloadTypes that the value, a PayloadUUID, may name; neither that nor what is
    `fixed` may have a variable in it, since profiles and payloads are found by it.
    """

    name: str
    kind: Kind
    required: bool = False
    one_of: tuple[str | int, ...] = ()
    least: int | None = None
    most: int | None = None
    form: str = ""
    form_words: str = ""
    default: Writable | None = None
    names: frozenset[str] = frozenset()
    fixed: bool = False
    keys: tuple[Key, ...] = ()
    items: Key | None = None
    count: int | None = None
    on: Offer = field(default_factory=lambda: EVERYWHERE)
    user_enrollment: Mapping[System, str] = field(default_factory=lambda: EVERY_MODE)


Payload = Mapping[str, Any]
"""A payload as a property list has it, nothing of it checked."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a payload's own rules may look at: the profile around it, and its payloads by PayloadUUID."""

    profile: Payload = field(repr=False)
    payloads: Mapping[str, Payload] = field(repr=False)


Check = Callable[[Payload, str, Context], Iterator[Finding]]
"""A rule that types and ranges cannot say: the payload, whose keys are of the right types, its path, and what is around it."""


@dataclass(frozen=True, slots=True)
class PayloadType:
    """A PayloadType: its keys without those that every payload has, and the rules beyond them."""

    name: str
    title: str
    purpose: str
    keys: tuple[Key, ...]
    on: Offer
    checks: tuple[Check, ...] = ()
    user_enrollment: Mapping[System, str] = field(default_factory=lambda: EVERY_MODE)
    scope: Scope | None = None
    """The only one in which MDM can install it on a Mac; None where both will do."""


def payload_type(
    name: str,
    title: str,
    purpose: str,
    *,
    on: str,
    keys: Sequence[Key],
    checks: Sequence[Check] = (),
    ue: str = "",
    scope: Scope | None = None,
) -> PayloadType:
    """A row of the table. `on` names every system that has it; `ue` what User Enrollment says of it."""
    return PayloadType(name, title, purpose, tuple(keys), only(on), tuple(checks), modes(ue), scope)


def text(name: str = "", *, on: str = "", ue: str = "", **rest: Any) -> Key:
    """A string."""
    return _key(name, Kind.STRING, on, ue, rest)


def integer(name: str = "", *, on: str = "", ue: str = "", **rest: Any) -> Key:
    """An integer."""
    return _key(name, Kind.INTEGER, on, ue, rest)


def switch(name: str, default: int | None = 0, *, on: str = "") -> Key:
    """An integer that stands for no (0) or yes (1), as the VPN payload has them."""
    return _key(name, Kind.INTEGER, on, "", {"default": default, "one_of": (0, 1)})


def boolean(name: str, default: bool | None = False, *, on: str = "", ue: str = "", **rest: Any) -> Key:
    """A boolean."""
    return _key(name, Kind.BOOLEAN, on, ue, {"default": default, **rest})


def data(name: str = "", *, on: str = "", **rest: Any) -> Key:
    """Octets."""
    return _key(name, Kind.DATA, on, "", rest)


def date(name: str, *, on: str = "") -> Key:
    """A moment."""
    return _key(name, Kind.DATE, on, "", {})


def array(name: str, items: Key, *, on: str = "", **rest: Any) -> Key:
    """Any number of the same thing."""
    return _key(name, Kind.ARRAY, on, "", {"items": items, **rest})


def texts(name: str, *, on: str = "", **rest: Any) -> Key:
    """Any number of strings."""
    return array(name, text(), on=on, **rest)


def dictionary(name: str = "", keys: Sequence[Key] = (), *, on: str = "", **rest: Any) -> Key:
    """Keys in a key."""
    return _key(name, Kind.DICTIONARY, on, "", {"keys": tuple(keys), **rest})


UUID_FORM: Final = r"[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}"
CERTIFICATES: Final = frozenset({"com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem"})
IDENTITIES: Final = frozenset({"com.apple.security.pkcs12", "com.apple.security.scep", "com.apple.security.acme"})


def names_identity(name: str, *, on: str = "", **rest: Any) -> Key:
    """The PayloadUUID of a certificate with its key."""
    return text(name, on=on, names=IDENTITIES, **rest)


def names_certificates(name: str, *, on: str = "", formed: bool = False) -> Key:
    """The PayloadUUIDs of certificates without keys."""
    item = text(names=CERTIFICATES, **(UUID if formed else {}))
    return array(name, item, on=on)


UUID: Final[Mapping[str, str]] = MappingProxyType({"form": UUID_FORM, "form_words": "a UUID"})


def _key(name: str, kind: Kind, on: str, ue: str, rest: Mapping[str, Any]) -> Key:
    return Key(name, kind, on=offer(on), user_enrollment=modes(ue), **rest)
