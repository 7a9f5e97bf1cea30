"""Apple's systems: from and until when each of them has something, and which of them a product runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from bramley.errors import BadInput

Version = tuple[int, ...]
"""(17, 4) is 17.4; () stands for a version that is not known."""


class System(StrEnum):
    """The operating systems that are managed."""

    IOS = "iOS"
    MACOS = "macOS"
    TVOS = "tvOS"
    WATCHOS = "watchOS"
    VISIONOS = "visionOS"


@dataclass(frozen=True, slots=True)
class Target:
    """A system that something is for, or that a device runs, of a version or of any."""

    system: System
    version: Version = ()

    @classmethod
    def parse(cls, text: str) -> Target:
        """From `iOS`, or `iOS 17.4`. Raises BadInput."""
        name, _, number = text.strip().partition(" ")
        system = next((each for each in System if each.lower() == name.lower()), None)
        parts = number.strip().split(".") if number.strip() else []
        if system is None or not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
            raise BadInput(f"Expected a system such as iOS or macOS 15.1, one of {', '.join(System)}; {text[:40]!r} came.")
        return cls(system, tuple(map(int, parts)))


@dataclass(frozen=True, slots=True)
class Span:
    """From which version on a system has something, and from which on no more; `never` says that it has it in none."""

    since: Version = ()
    until: Version = ()
    never: bool = False

    def covers(self, version: Version) -> bool:
        """Whether a system of this version has it; one whose version is not known does, unless none has."""
        if self.never:
            return False
        return not version or (version >= self.since and not (self.until and version >= self.until))

    def __str__(self) -> str:
        if self.never:
            return "no"
        return f"{_shown(self.since)}-{_shown(self.until)}" if self.until else _shown(self.since)


Offer = Mapping[System, Span]
"""By system; one that is not named has it in every version."""

EVERYWHERE: Final[Offer] = MappingProxyType({})

EVERY_MODE: Final[Mapping[System, str]] = MappingProxyType({})
"""Of something that User Enrollment has like any other enrollment."""


def offer(text: str) -> Offer:
    """From the words of the tables: `iOS 13.1-18.0, macOS no`, where a second number is the first version without it."""
    found: dict[System, Span] = {}
    for part in filter(None, text.split(", ")):
        name, _, when = part.partition(" ")
        since, _, until = when.partition("-")
        found[System(name)] = Span(never=True) if when == "no" else Span(_version(since), _version(until))
    return MappingProxyType(found)


def only(text: str) -> Offer:
    """As `offer`, where a system that is not named does not have it at all."""
    named = offer(text)
    return MappingProxyType({system: named.get(system, Span(never=True)) for system in System})


def modes(text: str) -> Mapping[System, str]:
    """From the words of the tables: `iOS forbidden, macOS forbidden`, how User Enrollment sees something."""
    return MappingProxyType({System(name): mode for name, mode in _pairs(text)})


def without(offered: Offer, targets: tuple[Target, ...]) -> tuple[System, ...]:
    """The targets that do not have it; where none are named, every system if none has it."""
    if not targets:
        nobody = bool(offered) and all(offered.get(system, Span()).never for system in System)
        return tuple(System) if nobody else ()
    return tuple(each.system for each in targets if not offered.get(each.system, Span()).covers(each.version))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for part in filter(None, text.split(", ")):
        name, _, mode = part.partition(" ")
        yield name, mode


def _version(text: str) -> Version:
    return tuple(map(int, text.split("."))) if text else ()


def _shown(version: Version) -> str:
    return ".".join(map(str, version))


def systems(text: str) -> frozenset[System]:
    """From the words of the tables: `iOS, tvOS`."""
    return frozenset(System(name) for name in filter(None, text.split(", ")))


_PRODUCTS: Final = (
    (("iPhone", "iPad", "iPod"), System.IOS),
    (("AppleTV",), System.TVOS),
    (("Watch",), System.WATCHOS),
    (("RealityDevice",), System.VISIONOS),
    (("Mac", "iMac", "VirtualMac"), System.MACOS),
)


def target_of(product_name: str | None, os_version: str | None) -> Target | None:
    """What a device of this ProductName runs (`iPad13,18`, `Mac14,2`); None for a product that is not known."""
    for prefixes, system in _PRODUCTS:
        if (product_name or "").startswith(prefixes):
            parts = (os_version or "").split(".")
            known = all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts)
            return Target(system, tuple(map(int, parts)) if known else ())
    return None
