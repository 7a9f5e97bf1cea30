"""What a replacement of an enrollment profile may never change.

Apple ("MDM"): when the payload is updated, Topic, ServerURL, CheckInURL (without one: ServerURL), AssignedManagedAppleID,
EnrollmentMode and RequiredAppIDForMDM must not change, the per-user-connections capability must be neither added nor removed,
and no access right may be added: any of these is an error, and the update rejected. A profile with an MDM payload under
another PayloadIdentifier is no replacement, and a device that is managed refuses it. What a device was enrolled with it can
lose only by enrolling anew.

Property lists of any shape are compared, values of wrong types too; nothing else is judged here, and a query in a URL is never
repeated, since it may hold a secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bramley.mdm.plist import Kind, kind_of
from bramley.profiles import addresses
from bramley.profiles.enrollment import CHECK_IN_PATH, CONNECT_PATH, EnrollmentProfileSettings
from bramley.profiles.errors import BadProfile
from bramley.profiles.payloads import ALL_ACCESS_RIGHTS
from bramley.profiles.rules import Rule
from bramley.profiles.rules.finding import Finding, error
from bramley.profiles.rules.keys import Payload
from bramley.profiles.rules.structure import MDM

PER_USER_CONNECTIONS: Final = "com.apple.mdm.per-user-connections"

_NEVER_CHANGES: Final = (
    "Topic",
    "ServerURL",
    "CheckInURL",
    "AssignedManagedAppleID",
    "EnrollmentMode",
    "RequiredAppIDForMDM",
)
_LONGEST: Final = 120
"""Characters of a value in a message."""


def promised(settings: EnrollmentProfileSettings) -> dict[str, Any]:
    """What devices hold for good of the profiles that `enrollment_profile` makes with these settings, as a profile.

    It is put together here a second time, and not taken from there: a change there is then found before a device finds it.
    """
    base, query = settings.base_url.rstrip("/"), f"?{settings.query}" if settings.query else ""
    mdm = {
        "PayloadType": MDM,
        "Topic": settings.topic,
        "ServerURL": f"{base}{CONNECT_PATH}{query}",
        "CheckInURL": f"{base}{CHECK_IN_PATH}{query}",
        "AccessRights": settings.access_rights,
        "ServerCapabilities": [PER_USER_CONNECTIONS] if settings.per_user_connections else [],
    }
    return {"PayloadIdentifier": f"{settings.identifier_prefix}.enrollment", "PayloadContent": [mdm]}


def compare(former: Payload, replacement: Payload) -> Iterator[Finding]:
    """One error for each thing that `replacement` changes and may not; its path is that of the key in `replacement`.

    `former` is the profile that the device was enrolled with. Raises BadProfile where that has not exactly one MDM payload.
    """
    enrolled = managing(former)
    if len(enrolled) != 1:
        raise BadProfile(
            f"Expected an enrollment profile to be replaced, with one payload of the type {MDM}; it has {len(enrolled)}.",
            key="PayloadContent",
            rule=Rule.ONE_MDM_PAYLOAD,
            advice="Give the profile that the devices were enrolled with, in clear or signed.",
        )
    identifier, name = former.get("PayloadIdentifier"), replacement.get("PayloadIdentifier")
    if not _same(identifier, name):
        words = f"Expected {_words(identifier)}, whose place it is to take; {_words(name)} came. A managed device refuses it."
        yield error("PayloadIdentifier", Rule.SAME_IDENTIFIER, words)
    new = managing(replacement)
    if len(new) != 1:
        words = f"Expected one payload of the type {MDM}; {len(new) or 'none'} came."
        yield error("PayloadContent", Rule.ONE_MDM_PAYLOAD, words)
    for at, mdm in new:
        yield from _keys(enrolled[0][1], mdm, f"PayloadContent[{at}]")


def require(former: Payload, replacement: Payload) -> None:
    """Raises BadProfile for the first thing that `compare` finds, which says how many more there are."""
    found = list(compare(former, replacement))
    if found:
        first, more = found[0], len(found) - 1
        raise BadProfile(
            f"{first.path}: {first.words}" + (f" ({more} more are wrong.)" if more else ""),
            key=first.path,
            rule=first.rule,
            advice=f"The rule is {first.rule}; docs/reference/payloads.md has what an update may not change. "
            "Only a new enrollment changes it.",
        )


def managing(profile: Payload) -> list[tuple[int, Payload]]:
    """Its MDM payloads, each with its place in PayloadContent."""
    content = profile.get("PayloadContent")
    payloads = enumerate(content if isinstance(content, list) else ())
    return [(at, each) for at, each in payloads if isinstance(each, dict) and each.get("PayloadType") == MDM]


def _keys(old: Payload, new: Payload, path: str) -> Iterator[Finding]:
    for key in _NEVER_CHANGES:
        if key == "CheckInURL" and key not in old and key not in new:
            continue  # it is ServerURL, of which all has been said
        before, after = _value(old, key), _value(new, key)
        if not _same(before, after):
            yield error(f"{path}.{key}", Rule.IMMUTABLE, _changed(before, after, url=key.endswith("URL")))
    before, after = _per_user(old), _per_user(new)
    if before != after:
        words = f"Expected it {before}, as before; it came {after}."
        yield error(f"{path}.ServerCapabilities", Rule.IMMUTABLE, words)
    yield from _rights(old.get("AccessRights"), new.get("AccessRights"), f"{path}.AccessRights")


def _value(mdm: Payload, key: str) -> Any:
    return mdm.get("CheckInURL", mdm.get("ServerURL")) if key == "CheckInURL" else mdm.get(key)


def _same(before: Any, after: Any) -> bool:
    """To Python, and to no device, `true` is 1 and 1.0."""
    return type(before) is type(after) and bool(before == after)


def _per_user(mdm: Payload) -> str:
    """Whether the server says that it can do connections of users, in words."""
    value = mdm.get("ServerCapabilities", [])
    if not isinstance(value, list):
        return f"as something else than an array ({kind_of(value)})"
    return f"{'with' if PER_USER_CONNECTIONS in value else 'without'} {PER_USER_CONNECTIONS}"


def _rights(before: Any, after: Any, path: str) -> Iterator[Finding]:
    """Apple does not say which rights a payload without the key gives: where they were none is known, now all are asked for."""
    if _same(before, after):
        return
    held = before if _is_number(before) else 0
    asked = ALL_ACCESS_RIGHTS if after is None else after
    if not _is_number(asked):
        words = f"Expected an integer, which has no bit that was not there before; {_words(after)} came."
    elif added := asked & ~held:
        words = f"Expected no right beyond those of before ({_words(before)}); {_words(after)} came, which adds {_words(added)}."
    else:
        return
    yield error(path, Rule.RIGHTS_NEVER_GROW, words)


def _is_number(rights: Any) -> bool:
    return Kind.INTEGER.holds(rights) and rights >= 0


def _changed(before: Any, after: Any, *, url: bool) -> str:
    expected, came = (repr(addresses.shown(each)) if url and isinstance(each, str) else _words(each) for each in (before, after))
    if expected == came:
        came = "another, which differs in what is not shown here,"
    return f"Expected {expected}, as before; {came} came."


def _words(value: Any) -> str:
    if isinstance(value, str):
        return repr(value[:_LONGEST])
    if Kind.INTEGER.holds(value) and value.bit_length() <= 64:
        return str(value)
    return "none" if value is None else f"a value of the type {kind_of(value)}"
