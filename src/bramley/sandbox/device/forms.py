"""Which form values have in a property list; and commands: the type of each key (Apple, "Commands and Queries").

Written down apart from what servers check their commands with: a mistake there is to be found here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Form:
    """A value's: its type; that of each item, of a list; and the keys of a dictionary, of which others may be there too."""

    kind: type
    required: bool = False
    items: type | None = None
    keys: Mapping[str, Form] = field(default_factory=dict)

    def fits(self, value: object) -> bool:
        """Whether the value has this form. A boolean is no integer."""
        if type(value) is not self.kind:
            return False
        if isinstance(value, list):
            return all(type(item) is self.items for item in value)
        return not isinstance(value, dict) or not misfits(self.keys, value)


_TEXT, _DATA, _FLAG = Form(str), Form(bytes), Form(bool)
_UNLOCK: Final = {"Password": _TEXT, "PrivateKeyExport": _DATA, "PrivateKeyExportPassword": _TEXT}
_RETURN: Final = {"Enabled": Form(bool, required=True), "WiFiProfileData": _DATA, "MDMProfileData": _DATA}

FORMS: Final[Mapping[str, Mapping[str, Form]]] = MappingProxyType(
    {
        "DeviceInformation": {"Queries": Form(list, required=True, items=str), "DeviceAttestationNonce": _DATA},
        "CertificateList": {"ManagedOnly": _FLAG},
        "ProfileList": {"ManagedOnly": _FLAG},
        "InstallProfile": {"Payload": Form(bytes, required=True)},
        "RemoveProfile": {"Identifier": Form(str, required=True)},
        "InstalledApplicationList": {
            "Identifiers": Form(list, items=str),
            "ManagedAppsOnly": _FLAG,
            "Items": Form(list, items=str),
        },
        "DeviceLock": {"Message": _TEXT, "PhoneNumber": _TEXT, "PIN": _TEXT},
        "EraseDevice": {
            "PreserveDataPlan": _FLAG,
            "DisallowProximitySetup": _FLAG,
            "PIN": _TEXT,
            "ObliterationBehavior": _TEXT,
            "ReturnToService": Form(dict, keys=_RETURN),
        },
        "RestartDevice": {"RebuildKernelCache": _FLAG, "KextPaths": Form(list, items=str), "NotifyUser": _FLAG},
        "RotateFileVaultKey": {
            "KeyType": Form(str, required=True),
            "FileVaultUnlock": Form(dict, required=True, keys=_UNLOCK),
            "NewCertificate": _DATA,
            "ReplyEncryptionCertificate": _DATA,
        },
    }
)


def is_formed(command: Mapping[str, Any]) -> bool:
    """Whether a command has a RequestType, and what is known of its keys is so."""
    request_type = command.get("RequestType")
    return isinstance(request_type, str) and not misfits(FORMS.get(request_type, {}), command)


def misfits(keys: Mapping[str, Form], values: Mapping[str, Any]) -> list[str]:
    """The keys that are missing, or have another form."""
    return [name for name, form in keys.items() if (not form.fits(values[name]) if name in values else form.required)]
