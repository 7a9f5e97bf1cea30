"""DeviceInformation and SecurityInfo: what a device says of itself. It differs by system, so answers stay mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from bramley.mdm.commands.answers import required_answer
from bramley.mdm.plist import PlistValue, Writable


@dataclass(frozen=True, slots=True)
class DeviceInformation:
    """Asks for properties by Apple's names, at least one; a device leaves out those it does not know."""

    request_type: ClassVar[str] = "DeviceInformation"
    queries: tuple[str, ...]

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type, "Queries": self.queries}


@dataclass(frozen=True, slots=True)
class DeviceInformationAnswer:
    responses: Mapping[str, PlistValue]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        responses: Any = required_answer("DeviceInformation", raw)["QueryResponses"]
        return cls(responses)


@dataclass(frozen=True, slots=True)
class SecurityInfo:
    """Asks for passcode, encryption, firewall, bootstrap token and management state."""

    request_type: ClassVar[str] = "SecurityInfo"

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type}
