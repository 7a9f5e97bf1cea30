"""From what the command line says to a request for a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bramley.cli.arguments import assignment, read_file, read_password
from bramley.errors import BadInput
from bramley.mdm import plist
from bramley.mdm.commands import TABLE, Receiver, RemoveProfile, Request, build, read_raw, require

LARGEST = 8 * 1024 * 1024

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
    password: Path | None = None
    raw: Path | None = None


def request_of(wanted: Wanted) -> Request:
    """The request, as far as it can be checked without its device. BadInput, or BadMessage and BadValue, before anything is
    opened or queued.
    """
    request = _raw(wanted) if wanted.raw is not None else _built(wanted)
    require(request, Receiver())
    plist.dumps(request.to_plist())  # raises now for what a property list cannot hold
    return request


def may_destroy(request: Request) -> bool:
    """Whether something about it may not be undone. Which profile a removal ends the enrollment with, its device decides."""
    known = TABLE.get(request.request_type)
    return request.request_type == RemoveProfile.request_type or (known is not None and bool(known.destroys))


def _raw(wanted: Wanted) -> Request:
    others = (wanted.request_type, wanted.assignments, wanted.profile, wanted.identifier, wanted.queries, wanted.password)
    if any(others) or wanted.raw is None:
        raise BadInput("With --plist the file says everything.", advice="Leave the request type and the other options out.")
    return read_raw(read_file(wanted.raw, "command", most=LARGEST))


def _built(wanted: Wanted) -> Request:
    if not wanted.request_type:
        raise BadInput("Expected a request type such as DeviceInformation, or --plist FILE.")
    _refuse_strays(wanted)
    keys: dict[str, Any] = dict(map(assignment, wanted.assignments))
    match wanted.request_type:
        case "DeviceInformation":
            keys.setdefault("Queries", list(wanted.queries or _ABOUT))
        case "InstallProfile":
            if wanted.profile is None:
                raise BadInput("InstallProfile needs --profile FILE.")
            keys["Payload"] = read_file(wanted.profile, "profile", most=LARGEST)
        case "RemoveProfile":
            if not wanted.identifier:
                raise BadInput("RemoveProfile needs --identifier, the PayloadIdentifier of the profile.")
            keys["Identifier"] = wanted.identifier
    return build(wanted.request_type, keys, password=read_password(wanted.password))


def _refuse_strays(wanted: Wanted) -> None:
    """An option that would be ignored is a mistake."""
    for option, given, belongs in (
        ("--profile", wanted.profile is not None, "InstallProfile"),
        ("--identifier", wanted.identifier is not None, "RemoveProfile"),
        ("--query", bool(wanted.queries), "DeviceInformation"),
        ("--password-file", wanted.password is not None, "AccountConfiguration"),
    ):
        if given and wanted.request_type != belongs:
            raise BadInput(f"{option} belongs to {belongs}; the request type given is {wanted.request_type}.")
