"""Commands for devices, and what devices answer: one class a RequestType.

A request knows its `RequestType` and its keys; `envelope` makes the plist that a device gets. An answer is read from a stored
report. Whatever has no class here goes as a `Raw` request.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bramley.mdm.commands.answers import Answer
from bramley.mdm.commands.certificates import CertificateList, CertificateListAnswer, ListedCertificate
from bramley.mdm.commands.information import (
    DeviceInformation,
    DeviceInformationAnswer,
    SecurityInfo,
    SecurityInfoAnswer,
)
from bramley.mdm.commands.profiles import InstallProfile, ListedProfile, ProfileList, ProfileListAnswer, RemoveProfile
from bramley.mdm.commands.requests import Raw, Request, envelope, read_raw

__all__ = [
    "ANSWERS",
    "REQUESTS",
    "Answer",
    "CertificateList",
    "CertificateListAnswer",
    "DeviceInformation",
    "DeviceInformationAnswer",
    "InstallProfile",
    "ListedCertificate",
    "ListedProfile",
    "ProfileList",
    "ProfileListAnswer",
    "Raw",
    "RemoveProfile",
    "Request",
    "SecurityInfo",
    "SecurityInfoAnswer",
    "envelope",
    "read_raw",
]

REQUESTS: Final[Mapping[str, type[Request]]] = MappingProxyType(
    {
        "CertificateList": CertificateList,
        "DeviceInformation": DeviceInformation,
        "InstallProfile": InstallProfile,
        "ProfileList": ProfileList,
        "RemoveProfile": RemoveProfile,
        "SecurityInfo": SecurityInfo,
    }
)
"""RequestType to the class that builds it."""

ANSWERS: Final[Mapping[str, type[Answer]]] = MappingProxyType(
    {
        "CertificateList": CertificateListAnswer,
        "DeviceInformation": DeviceInformationAnswer,
        "ProfileList": ProfileListAnswer,
        "SecurityInfo": SecurityInfoAnswer,
    }
)
"""RequestType to the class that reads what an Acknowledged report carries."""
