"""InstallProfile, RemoveProfile and ProfileList."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from bramley.mdm.commands.answers import required_answer
from bramley.mdm.plist import Writable


@dataclass(frozen=True, slots=True)
class InstallProfile:
    """Installs a configuration profile, signed or not, or replaces the one of the same PayloadIdentifier."""

    request_type: ClassVar[str] = "InstallProfile"
    payload: bytes = field(repr=False)

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type, "Payload": self.payload}


@dataclass(frozen=True, slots=True)
class RemoveProfile:
    """Removes the profile of this PayloadIdentifier."""

    request_type: ClassVar[str] = "RemoveProfile"
    identifier: str

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type, "Identifier": self.identifier}


@dataclass(frozen=True, slots=True)
class ProfileList:
    """Asks for the installed profiles; with `managed_only`, for those that MDM installed."""

    request_type: ClassVar[str] = "ProfileList"
    managed_only: bool = False

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type, "ManagedOnly": self.managed_only}


@dataclass(frozen=True, slots=True)
class ListedProfile:
    """One installed profile; `signers` are DER certificates, leaf first; `payload_uuids` are its payloads', where told."""

    identifier: str
    uuid: str
    display_name: str
    signers: tuple[bytes, ...]
    payload_uuids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProfileListAnswer:
    profiles: tuple[ListedProfile, ...]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        listed: Any = required_answer("ProfileList", raw)["ProfileList"]
        return cls(tuple(_profile(item) for item in listed))


def _profile(item: Mapping[str, Any]) -> ListedProfile:
    """What is not there, or of another type where nothing hangs on it, counts as not told."""
    name, signers, payloads = item.get("PayloadDisplayName"), item.get("SignerCertificates"), item.get("PayloadContent")
    uuids = [p.get("PayloadUUID") for p in payloads if isinstance(p, dict)] if isinstance(payloads, list) else []
    return ListedProfile(
        identifier=item["PayloadIdentifier"],
        uuid=item["PayloadUUID"],
        display_name=name if isinstance(name, str) else "",
        signers=tuple(s for s in signers if isinstance(s, bytes)) if isinstance(signers, list) else (),
        payload_uuids=tuple(u for u in uuids if isinstance(u, str)),
    )
