"""The enrollment profile of a former MDM, and the renewal that is made out of it.

A device takes a replacement of its enrollment profile only where that has the same PayloadIdentifier, and changes nothing in
its MDM payload that may not change (`profiles.immutable`). So a device that another MDM enrolled goes on with that MDM's
profile: all of it stays as it was, but for the identity, which is ours from its first renewal on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from bramley.mdm import plist
from bramley.mdm.plist import PlistValue, Writable
from bramley.profiles import documents
from bramley.profiles.build import Profile
from bramley.profiles.errors import BadProfile
from bramley.profiles.payloads import MDMPayload
from bramley.profiles.rules import Rule

LARGEST: Final = 1024 * 1024
"""Octets of a former enrollment profile without its identity."""

_MDM: Final = MDMPayload.payload_type
_IDENTITY: Final = "IdentityCertificateUUID"
_IDENTITY_TYPES: Final = ("com.apple.security.scep", "com.apple.security.pkcs12", "com.apple.security.acme")
_PINS: Final = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")

_Payload = Mapping[str, PlistValue]


@dataclass(frozen=True, slots=True)
class FormerProfile:
    """What is kept of one: an XML property list without the identity that its MDM payload went by, and so without its secret.

    `id` is the beginning of the SHA-256 of `content`. `warnings` deserve a look, and stand in nothing's way.
    """

    id: str
    topic: str
    content: bytes = field(repr=False)
    warnings: tuple[str, ...] = ()


def read(data: bytes, *, host: str, topics: Collection[str], paths: Collection[str]) -> FormerProfile:
    """The profile in a `.mobileconfig`, signed or not, as devices have it.

    Its devices must find us by it: `host` is the name they reach this server by, `paths` are where their messages are taken,
    `topics` are those of our push certificates. Raises BadProfile, with key and rule, where they would not, or where it is no
    enrollment profile that can be read.
    """
    document = documents.read(data)
    if document.content is None or document.encrypted:
        raise _bad(
            "PayloadContent", Rule.HAS_PAYLOADS, "payloads that can be read", "encrypted ones", "Give the profile unencrypted."
        )
    at, mdm = _mdm_payload(document.content)
    _check_topic(at, mdm, topics)
    for key in ("ServerURL", "CheckInURL"):
        if key == "ServerURL" or key in mdm:
            _check_url(f"{at}.{key}", mdm.get(key), host, paths)
    identity = _identity_of(at, mdm, document.content)
    stays = [each for each in _payloads(document.content) if each is not identity]
    content = plist.dumps({**document.content, "PayloadContent": stays})
    if len(content) > LARGEST:
        raise _bad("", Rule.IS_A_PROFILE, f"an enrollment profile of at most {LARGEST} octets", f"one of {len(content)}")
    warnings = tuple(_warnings(mdm, stays))
    return FormerProfile(hashlib.sha256(content).hexdigest()[:16], str(mdm["Topic"]), content, warnings)


def renewal(kept: bytes, ours: Profile) -> bytes:
    """The replacement of a former enrollment profile, unsigned: `kept` with the identity and the anchors of our own profile.

    `kept` is a FormerProfile's content. What has the same PayloadIdentifier in both stays as it was.
    """
    former = plist.loads(kept, max_bytes=LARGEST)
    if not isinstance(former, dict):
        raise AssertionError("a former profile is kept as a dictionary")
    identity = next(payload.identity_uuid for payload in ours.payloads if isinstance(payload, MDMPayload))
    stays = _payloads(former)
    taken = {payload.get("PayloadIdentifier") for payload in stays}
    brought: list[Writable] = [
        payload.to_plist()
        for payload in ours.payloads
        if not isinstance(payload, MDMPayload) and (payload.uuid == identity or payload.identifier not in taken)
    ]
    goes_on = [{**payload, _IDENTITY: identity} if payload.get("PayloadType") == _MDM else payload for payload in stays]
    return plist.dumps({**former, "PayloadContent": [*brought, *goes_on]})


def _payloads(profile: _Payload) -> list[_Payload]:
    content = profile.get("PayloadContent")
    return [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []


def _mdm_payload(profile: _Payload) -> tuple[str, _Payload]:
    """The MDM payload and where it stands; `documents.read` has seen to it that there are not two."""
    for at, payload in enumerate(_payloads(profile)):
        if payload.get("PayloadType") == _MDM:
            return f"PayloadContent[{at}]", payload
    raise _bad(
        "PayloadContent",
        Rule.ONE_MDM_PAYLOAD,
        f"one payload of the type {_MDM}",
        "none",
        "Give the enrollment profile that the devices have.",
    )


def _check_topic(at: str, mdm: _Payload, topics: Collection[str]) -> None:
    topic = mdm.get("Topic")
    if not isinstance(topic, str) or topic not in topics:
        raise _bad(
            f"{at}.Topic",
            Rule.ALLOWED_VALUE,
            f"the topic of a push certificate here ({', '.join(sorted(topics)) or 'there is none'})",
            repr(topic)[:255],
            "Import the former server's push certificate: `bramley push import`.",
        )


def _check_url(key: str, value: PlistValue | None, host: str, paths: Collection[str]) -> None:
    """Devices never change this URL: its host must be ours, and its path one that is served."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        named = parts.hostname if parts else None
    except ValueError:
        parts = named = None
    if parts is None or parts.scheme != "https" or named != host.casefold():
        raise _bad(
            key,
            Rule.ALLOWED_VALUE,
            f"an https URL of this server's host, {host}",
            repr(value)[:255],
            "A device goes on with the URLs that it enrolled with: this server must be reached by the former one's name "
            "(the setting url).",
        )
    if parts.path not in paths:
        raise _bad(
            key,
            Rule.ALLOWED_VALUE,
            f"a path where devices are served ({', '.join(sorted(paths))})",
            repr(parts.path)[:255],
            f"Add {parts.path or '/'} to the setting former_paths.",
        )


def _identity_of(at: str, mdm: _Payload, profile: _Payload) -> _Payload:
    """The payload of the identity that the MDM payload goes by."""
    uuid = mdm.get(_IDENTITY)
    found = [each for each in _payloads(profile) if isinstance(uuid, str) and each.get("PayloadUUID") == uuid]
    if len(found) != 1 or found[0].get("PayloadType") not in _IDENTITY_TYPES:
        came = repr(found[0].get("PayloadType"))[:255] if found else "none"
        raise _bad(
            f"{at}.{_IDENTITY}",
            Rule.REFERENCE_FITS if found else Rule.REFERENCE_EXISTS,
            f"the UUID of one payload of an identity ({', '.join(_IDENTITY_TYPES)})",
            came,
            "Give the enrollment profile as devices get it, with the identity in it.",
        )
    return found[0]


def _warnings(mdm: _Payload, payloads: Collection[_Payload]) -> Iterator[str]:
    if mdm.get("SignMessage") is not True:
        yield (
            "SignMessage is not set: these devices show their identity by TLS alone, to a proxy that passes it on "
            "or to the device listener at their URLs."
        )
    if any(mdm.get(key) for key in _PINS):
        yield "It pins certificates of the former HTTPS server: this one must present a chain that they are in."
    for payload in payloads:
        if payload.get("PayloadType") in _IDENTITY_TYPES:
            name = repr(payload.get("PayloadIdentifier"))[:255]
            yield f"The payload {name} has a secret of its own, which is kept, sealed, and given to the devices again."


def _bad(key: str, rule: Rule, expected: str, came: str, advice: str = "") -> BadProfile:
    where = f"{key}: expected" if key else "Expected"
    return BadProfile(f"{where} {expected}; {came} came.", key=key, rule=rule, advice=advice)
