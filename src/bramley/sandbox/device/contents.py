"""What a device looks at in a profile before it installs anything of it (Apple, "Configuration profiles")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from bramley.sandbox.device.forms import Form, misfits
from bramley.sandbox.errors import BadProfile

ESCROW: Final = "com.apple.security.FDERecoveryKeyEscrow"
ESCROW_CERTIFICATE: Final = "com.apple.security.pkcs1"

_TEXT, _FLAG = Form(str, required=True), Form(bool)
_COMMON: Final = {
    "PayloadIdentifier": _TEXT,
    "PayloadUUID": _TEXT,
    "PayloadType": _TEXT,
    "PayloadVersion": Form(int, required=True),
}
_SCEP: Final = {"URL": _TEXT, "Subject": Form(list, items=list), "Challenge": Form(str), "Keysize": Form(int)}
_CERTIFICATE: Final = {"PayloadContent": Form(bytes, required=True)}

_FORMS: Final[Mapping[str, Mapping[str, Form]]] = MappingProxyType(
    {
        "com.apple.security.root": _CERTIFICATE,
        "com.apple.security.pem": _CERTIFICATE,
        ESCROW_CERTIFICATE: _CERTIFICATE,
        "com.apple.security.scep": {"PayloadContent": Form(dict, required=True, keys=_SCEP)},
        ESCROW: {"Location": _TEXT, "EncryptCertPayloadUUID": _TEXT},
        "com.apple.mdm": {
            "IdentityCertificateUUID": _TEXT,
            "Topic": _TEXT,
            "ServerURL": _TEXT,
            "CheckInURL": Form(str),
            "SignMessage": _FLAG,
            "CheckOutWhenRemoved": _FLAG,
            "ServerCapabilities": Form(list, items=str),
        },
    }
)
"""By the type of the payload, beside what all have in common."""

_NAMING: Final = ("CertificateUUID", "CertificateUUIDs", "CertificateAnchorUUID", "CertPayloadUUID")
"""Keys that end so name payloads of certificates in the same profile."""


def require_sound(profile: object) -> dict[str, Any]:
    """The profile, if it and its payloads have what all have in common, and no two of them one UUID. Raises BadProfile."""
    found = _require_common(profile, "the profile")
    payloads = found.get("PayloadContent")
    if found["PayloadType"] != "Configuration" or not isinstance(payloads, list):
        raise BadProfile("Expected a Configuration with an array of payloads; something else came.")
    seen: set[str] = set()
    for number, payload in enumerate(payloads, 1):
        _require_form(payload, number)
        if payload["PayloadUUID"] in seen:
            raise BadProfile(f"Expected each payload to have a UUID of its own; {payload['PayloadUUID']} came twice.")
        seen.add(payload["PayloadUUID"])
    return found


def require_named(payloads: list[dict[str, Any]]) -> None:
    """BadProfile where a payload names another that is not in the profile, or one to escrow to that is no certificate."""
    kinds = {payload["PayloadUUID"]: payload["PayloadType"] for payload in payloads}
    for payload in payloads:
        for key, uuid in _named(payload):
            if not isinstance(uuid, str) or uuid not in kinds:
                raise BadProfile(f"{key} of {payload['PayloadIdentifier']} names no payload of the profile: {uuid!r}.")
        if payload["PayloadType"] == ESCROW and kinds.get(payload.get("EncryptCertPayloadUUID")) != ESCROW_CERTIFICATE:
            raise BadProfile(f"Expected EncryptCertPayloadUUID to name a {ESCROW_CERTIFICATE} payload; it does not.")


def require_for(payloads: list[dict[str, Any]], *, mac: bool, user_enrollment: bool, user_channel: bool) -> None:
    """BadProfile for a payload that this device, so enrolled, or this user of it does not take."""
    if any(payload["PayloadType"] == ESCROW for payload in payloads) and (not mac or user_enrollment or user_channel):
        raise BadProfile(f"{ESCROW} is for Macs that are fully enrolled, and not for their users.")


def _require_common(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadProfile(f"Expected {what} to be a dictionary; something else came.")
    if wrong := misfits(_COMMON, value):
        raise BadProfile(f"Expected {what} to have its common keys; missing, or of another type: {', '.join(wrong)}.")
    return value


def _require_form(payload: object, number: int) -> None:
    found = _require_common(payload, f"payload {number}")
    if wrong := misfits(_FORMS.get(found["PayloadType"], {}), found):
        words = f"Expected a {found['PayloadType']} payload with what belongs there; missing, or of another type"
        raise BadProfile(f"{words}: {', '.join(wrong)}.")


def _named(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Every UUID that a payload names, at any depth, with the key that it stands under."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _named(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, key)
    elif key.endswith(_NAMING):
        yield key, value
