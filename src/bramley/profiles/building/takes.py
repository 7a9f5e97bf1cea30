"""How a value of a description becomes a value of a payload."""

from __future__ import annotations

import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn

from cryptography import x509

from bramley.errors import BramleyError
from bramley.mdm import plist
from bramley.mdm.plist import kind_of
from bramley.pki import certificates, keys
from bramley.pki.errors import PKIError
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import Kind, Rule
from bramley.profiles.rules.finding import within

ReadFile = Callable[[str], bytes]
"""Gives the octets of a file that a description names. What it raises on purpose, `build` raises."""

_ATTRIBUTE: Final = re.compile(r"(?P<type>[A-Za-z]{1,20}|[0-2](\.[0-9]{1,12}){1,20})=(?P<value>[^/+]+)")


@dataclass(frozen=True, slots=True)
class Place:
    """A value's place in the description, and what it may refer to: payloads by name, and files."""

    path: str
    uuids: Mapping[str, str]
    read_file: ReadFile | None

    def at(self, name: str) -> Place:
        """The place of a key in it."""
        return replace(self, path=within(self.path, name))

    def item(self, number: int) -> Place:
        """The place of an item in it."""
        return replace(self, path=f"{self.path}[{number}]")

    def fail(self, rule: Rule, words: str, advice: str = "") -> NoReturn:
        """Raises BadProfile."""
        raise BadProfile(f"{self.path}: {words}" if self.path else words, key=self.path, rule=rule, advice=advice)


Take = Callable[[Any, Place], Any]


def of(kind: Kind) -> Take:
    """A value as it is, if it is of this type."""

    def take(value: Any, place: Place) -> Any:
        if not kind.holds(value):
            place.fail(Rule.TYPE, f"Expected a {kind}; a {kind_of(value)} came.")
        return value

    return take


def several(take: Take) -> Take:
    """A list of such values; one by itself is a list of one."""

    def take_all(value: Any, place: Place) -> Any:
        if not isinstance(value, list):
            return [take(value, place)]
        return [take(item, place.item(at)) for at, item in enumerate(value)]

    return take_all


text: Final = of(Kind.STRING)
number: Final = of(Kind.INTEGER)
flag: Final = of(Kind.BOOLEAN)
moment: Final = of(Kind.DATE)


def switch(value: Any, place: Place) -> int:
    """A boolean, which some payloads have as 0 or 1."""
    return int(flag(value, place))


def reference(value: Any, place: Place) -> str:
    """The name of a payload of the same description becomes its PayloadUUID."""
    name = text(value, place)
    if name not in place.uuids:
        known = ", ".join(place.uuids)
        place.fail(Rule.REFERENCE_EXISTS, f"Expected the name of a payload; {name[:80]!r} is none.", f"The names are {known}.")
    return place.uuids[name]


def content(value: Any, place: Place) -> bytes:
    """The octets of a file, by its name."""
    name = text(value, place)
    if place.read_file is None:
        place.fail(Rule.TYPE, "Expected no file name: files cannot be read here.", 'Give the octets: {"base64": "…"} under keys.')
    try:
        return place.read_file(name)
    except OSError as error:
        place.fail(Rule.REFERENCE_EXISTS, f"Expected a file that can be read; {name[:200]!r} cannot ({error.strerror}).")


def certificate_in_der(value: Any, place: Place) -> bytes:
    """A certificate's file, PEM or DER, as DER."""
    return certificates.der(_certificate(value, place))


def certificate_in_pem(value: Any, place: Place) -> bytes:
    """A certificate's file, PEM or DER, as PEM."""
    return certificates.pem(_certificate(value, place))


def key_digest(value: Any, place: Place) -> dict[str, Any]:
    """A certificate's file becomes the SHA-256 of its SubjectPublicKeyInfo."""
    found = _certificate(value, place)
    return {"Algorithm": "sha256", "Hash": hashlib.sha256(keys.spki(certificates.public_key(found))).digest()}


def subject(value: Any, place: Place) -> list[list[list[str]]]:
    """A name such as `/O=Orchard/CN={{ device.serial }}`, where a plus sign joins attributes of one RDN."""
    given = text(value, place)
    rdns = [[_ATTRIBUTE.fullmatch(part) for part in rdn.split("+")] for rdn in given.removeprefix("/").split("/")]
    found = [[[pair["type"], pair["value"]] for pair in rdn if pair] for rdn in rdns]
    if not given.startswith("/") or any(None in rdn for rdn in rdns):
        place.fail(Rule.FORM, "Expected a name such as /O=Orchard/CN=name, without other slashes or plus signs; another came.")
    return found


def raw(value: Any, place: Place) -> Any:
    """Apple's own keys, as they are, but for what JSON cannot say: `uuid_of` a payload, `file`, `base64` or `date`."""
    if isinstance(value, dict):
        if len(value) == 1 and (take := _MARKS.get(next(iter(value)))):
            name, given = next(iter(value.items()))
            return take(given, place.at(name))
        return {key: raw(item, place.at(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [raw(item, place.item(at)) for at, item in enumerate(value)]
    return value


def _base64(value: Any, place: Place) -> bytes:
    try:
        return a2b_base64("".join(text(value, place).split()), strict_mode=True)
    except (Base64Error, ValueError):
        place.fail(Rule.FORM, "Expected base64; something else came.")


def _date(value: Any, place: Place) -> datetime:
    given = value if isinstance(value, datetime) else text(value, place)
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(given)
        plist.dumps(found)
    except (ValueError, BramleyError):
        place.fail(Rule.FORM, "Expected a moment such as 2027-01-31T12:00:00Z; something else came.")
    return found


def _certificate(value: Any, place: Place) -> x509.Certificate:
    try:
        return certificates.load(content(value, place))
    except PKIError as error:
        place.fail(Rule.CERTIFICATE, error.message, error.advice)


_MARKS: Final[Mapping[str, Take]] = MappingProxyType({"uuid_of": reference, "file": content, "base64": _base64, "date": _date})
