"""From what the command line says to a request for a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bramley.cli.arguments import assignment, read_file
from bramley.errors import BadInput
from bramley.mdm import plist
from bramley.mdm.commands import DeviceInformation, InstallProfile, RemoveProfile, Request, envelope, read_raw
from bramley.mdm.errors import BadMessage
from bramley.mdm.plist import Writable
from bramley.model.commands import CommandUUID
from bramley.operations.enrollment_profiles import IDENTIFIER_PREFIX

ENROLLMENT_PROFILE = f"{IDENTIFIER_PREFIX}.enrollment"
"""PayloadIdentifier of the profile that an enrollment hangs on."""

LARGEST = 8 * 1024 * 1024
_DER_SEQUENCE = b"\x30"

_ABOUT = ("UDID", "SerialNumber", "DeviceName", "OSVersion", "BuildVersion", "ModelName", "ProductName", "IsSupervised")
"""What DeviceInformation asks for where nothing is named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says."""

    request_type: str | None
    assignments: Sequence[str] = ()
    profile: Path | None = None
    identifier: str | None = None
    queries: Sequence[str] = ()
    raw: Path | None = None


def build(wanted: Wanted) -> Request:
    """The request. BadInput, or BadMessage for a bad property list, before anything is opened or queued."""
    if wanted.raw is not None:
        if wanted.request_type or wanted.assignments or wanted.profile or wanted.identifier or wanted.queries:
            raise BadInput("With --plist the file says everything.", advice="Leave the request type and the other options out.")
        return read_raw(read_file(wanted.raw, "command", most=LARGEST))
    if not wanted.request_type:
        raise BadInput("Expected a request type such as DeviceInformation, or --plist FILE.")
    _refuse_strays(wanted)
    request = _typed(wanted)
    if wanted.assignments or request is None:
        keys: dict[str, Writable] = {} if request is None else request.to_plist()
        for key, value in map(assignment, wanted.assignments):
            keys[key] = value
        request = read_raw(plist.dumps(keys | {"RequestType": wanted.request_type}))
    envelope(CommandUUID("-"), request)  # raises now for what a property list cannot hold
    return request


def what_it_destroys(request: Request) -> str:
    """What cannot be undone about it; empty where nothing is."""
    match request.request_type:
        case "EraseDevice":
            return "erases everything on the device"
        case "RemoveProfile" if request.to_plist().get("Identifier") == ENROLLMENT_PROFILE:
            return "ends the device's enrollment"
    return ""


def _typed(wanted: Wanted) -> Request | None:
    match wanted.request_type:
        case "DeviceInformation":
            return DeviceInformation(tuple(wanted.queries) or _ABOUT)
        case "InstallProfile":
            if wanted.profile is None:
                raise BadInput("InstallProfile needs --profile FILE.")
            return InstallProfile(_profile(wanted.profile))
        case "RemoveProfile":
            if not wanted.identifier:
                raise BadInput("RemoveProfile needs --identifier, the PayloadIdentifier of the profile.")
            return RemoveProfile(wanted.identifier)
    return None


def _refuse_strays(wanted: Wanted) -> None:
    """An option that would be ignored is a mistake."""
    for option, given, belongs in (
        ("--profile", wanted.profile is not None, "InstallProfile"),
        ("--identifier", wanted.identifier is not None, "RemoveProfile"),
        ("--query", bool(wanted.queries), "DeviceInformation"),
    ):
        if given and wanted.request_type != belongs:
            raise BadInput(f"{option} belongs to {belongs}; the request type given is {wanted.request_type}.")


def _profile(path: Path) -> bytes:
    """A configuration profile: XML, or signed (DER CMS), which is taken as it is."""
    content = read_file(path, "profile", most=LARGEST)
    if content.startswith(_DER_SEQUENCE):
        return content
    try:
        profile = plist.loads(content, max_bytes=LARGEST)
    except BadMessage as error:
        raise BadInput(f"{path} is neither a signed profile nor one in XML: {error.message}") from None
    if not isinstance(profile, dict) or profile.get("PayloadType") != "Configuration":
        raise BadInput(f"{path} is not a configuration profile: its PayloadType should be Configuration.")
    return content
