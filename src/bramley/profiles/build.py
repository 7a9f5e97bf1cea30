"""The profile around its payloads (Apple, "TopLevel")."""

from __future__ import annotations

from dataclasses import dataclass

from bramley.mdm import plist
from bramley.mdm.plist import Writable
from bramley.model.profiles import Scope
from bramley.profiles.errors import BadPayload
from bramley.profiles.payloads import Payload, common_keys


@dataclass(frozen=True, slots=True)
class Profile:
    """A configuration profile. One of the same `identifier` replaces it on a device.

    `removal_disallowed` keeps people from removing it; devices heed it where they are supervised. Raises BadPayload where
    two payloads share a UUID, since references would not know which is meant, or where there is none.
    """

    identifier: str
    uuid: str
    display_name: str
    organization: str
    payloads: tuple[Payload, ...]
    description: str | None = None
    scope: Scope | None = None
    removal_disallowed: bool = False

    def __post_init__(self) -> None:
        uuids = {payload.uuid for payload in self.payloads} | {self.uuid}
        if not self.payloads or len(uuids) != len(self.payloads) + 1:
            raise BadPayload(f"Expected payloads in {self.identifier}, each with a UUID of its own; it has none, or one twice.")

    def to_plist(self) -> dict[str, Writable]:
        """The whole profile as a dictionary, keys that are not set left out."""
        keys = common_keys("Configuration", self.identifier, self.uuid, self.display_name)
        keys["PayloadOrganization"] = self.organization
        if self.description is not None:
            keys["PayloadDescription"] = self.description
        if self.scope is not None:
            keys["PayloadScope"] = self.scope
        if self.removal_disallowed:
            keys["PayloadRemovalDisallowed"] = True
        keys["PayloadContent"] = [payload.to_plist() for payload in self.payloads]
        return keys

    def to_bytes(self) -> bytes:
        """The profile as a device reads it, unsigned. Raises BadValue for text that XML cannot hold."""
        return plist.dumps(self.to_plist())
