"""DeviceInformation and SecurityInfo: what a device says of itself. Answers differ by system, so they stay mappings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from bramley.mdm.commands import answers
from bramley.mdm.errors import BadValue
from bramley.mdm.plist import PlistValue, Writable


@dataclass(frozen=True, slots=True)
class DeviceInformation:
    """Asks for properties by Apple's names; a device leaves out those it does not know. Raises BadValue for none."""

    request_type: ClassVar[str] = "DeviceInformation"
    queries: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.queries:
            raise BadValue("Expected at least one query for DeviceInformation; none came.")

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type, "Queries": self.queries}


@dataclass(frozen=True, slots=True)
class DeviceInformationAnswer:
    responses: Mapping[str, PlistValue]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        return cls(answers.dictionary(raw, "QueryResponses"))


@dataclass(frozen=True, slots=True)
class SecurityInfo:
    """Asks for passcode, encryption, firewall, bootstrap token and management state."""

    request_type: ClassVar[str] = "SecurityInfo"

    def to_plist(self) -> dict[str, Writable]:
        return {"RequestType": self.request_type}


@dataclass(frozen=True, slots=True)
class SecurityInfoAnswer:
    info: Mapping[str, PlistValue]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        return cls(answers.dictionary(raw, "SecurityInfo"))
