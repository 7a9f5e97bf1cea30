"""References to certificates in payloads of types that the table lacks, found by how Apple calls such keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from bramley.profiles.rules.finding import within
from bramley.profiles.rules.keys import Payload

_NAME: Final = re.compile(r"\w*Cert(ificate)?(Anchor|Payload)?UUIDs?")
"""PayloadCertificateUUID, PayloadCertificateAnchorUUID, EncryptCertPayloadUUID, DeviceCACertificateUUIDs and their like."""

_SETTINGS_OF_APPS: Final = "com.apple.ManagedClient.preferences"
"""What is in it are the keys of any app, which mean what that app makes of them."""


def named_in(payload: Payload, path: str) -> Iterator[tuple[str, str]]:
    """Each PayloadUUID that a payload names, at any depth, with its path."""
    if payload.get("PayloadType") != _SETTINGS_OF_APPS:
        yield from _in(payload, path)


def _in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            look = _texts if _NAME.fullmatch(name) else _in
            yield from look(item, within(path, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _in(item, f"{path}[{at}]")


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from ((f"{path}[{at}]", item) for at, item in enumerate(value) if isinstance(item, str))
