"""The table in words: for help and for the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bramley.mdm.commands.table import AccessRight, Key, RequestType
from bramley.model.systems import Offer, System


@dataclass(frozen=True, slots=True)
class Explained:
    """A key in words. `path` is as in `Settings[DeviceName].DeviceName`, where the brackets name the Item."""

    path: str
    kind: str
    values: str
    systems: str


def explain(keys: Sequence[Key], path: str = "") -> Iterator[Explained]:
    """Every key, and those in it, in the order of the table."""
    for key in keys:
        at = f"{path}.{key.name}" if path else key.name
        inner = key.items or key
        kind = f"{key.kind} of {inner.kind}" if key.items else str(key.kind)
        yield Explained(at, f"{kind}, required" if key.required else kind, _values(inner, key), _systems(key))
        yield from explain(inner.keys, f"{at}[]" if key.items else at)
        for name, item in key.choices.items():
            yield Explained(f"{at}[{name}]", str(item.kind), "", _systems(item))
            yield from explain([each for each in item.keys if each.name != "Item"], f"{at}[{name}]")


def receivers(known: RequestType) -> Iterator[str]:
    """Who takes such a command, and what its sender must be allowed and must say; a sentence each."""
    yield f"From {_offer({system: span for system, span in known.on.items() if not span.never})} on."
    if known.right:
        yield f"Needs the AccessRight {known.right.value} ({_right(known.right)})."
    if known.supervised:
        yield f"Supervised devices only on {_names(known.supervised)}."
    if known.ade:
        yield f"Only while the device waits in Setup Assistant on {_names(known.ade)}."
    if forbidden := [system for system, mode in known.user_enrollment.items() if mode == "forbidden"]:
        yield f"User Enrollment forbids it on {_names(forbidden)}."
    if known.user_channel:
        yield f"User channels take it on {_names(known.user_channel)}."
    if known.destroys:
        yield f"It {known.destroys}: the serial number must be repeated."
    if known.in_quarantine:
        yield "A quarantined device is given it."


def _values(item: Key, key: Key) -> str:
    words = []
    if item.one_of:
        words.append(", ".join(map(str, item.one_of)))
    if item.known:
        words.append("names as in the answer")
    if item.form_words:
        words.append(item.form_words)
    if key.choices:
        words.append("by Item")
    if key.default is not None:
        words.append(f"default {str(key.default).lower() if isinstance(key.default, bool) else key.default}")
    if key.fill is not None:
        words.append(f"by default {key.fill}")
    if key.secret:
        words.append("secret")
    return "; ".join(words)


def _systems(key: Key) -> str:
    words = [_offer(key.on)] if key.on else []
    words += [f"{system} supervised" for system in sorted(key.supervised)]
    words += [f"{system}: {mode} with User Enrollment" for system, mode in key.user_enrollment.items()]
    return ", ".join(words)


def _offer(on: Offer | Mapping[System, object]) -> str:
    return ", ".join(f"{system} {span}" for system, span in on.items())


def _names(systems: Sequence[System] | frozenset[System]) -> str:
    return ", ".join(system for system in System if system in systems)


def _right(right: AccessRight) -> str:
    return (right.name or "").lower().replace("_", " ")
