"""Commands for devices, and what devices answer: one table says what each RequestType holds.

`TABLE` is the table: `build` makes a request by it, `require` checks one, `read_answer` reads what came back, and help and
reference are made from it. What the server itself asks for has a class, whose plist is held to the same table by `envelope`.
A RequestType that the table lacks goes as its operator wrote it (`read_raw`).
"""

from __future__ import annotations

from bramley.mdm.commands.answers import ENVELOPE, SettingAnswer, Told, read_answer, settings_answers
from bramley.mdm.commands.building import build
from bramley.mdm.commands.certificates import CertificateList, CertificateListAnswer, ListedCertificate
from bramley.mdm.commands.checking import Receiver
from bramley.mdm.commands.explaining import Explained, explain, receivers
from bramley.mdm.commands.finding import BadCommand, Finding, Rule, Severity
from bramley.mdm.commands.information import DeviceInformation, DeviceInformationAnswer, SecurityInfo
from bramley.mdm.commands.profiles import InstallProfile, ListedProfile, ProfileList, ProfileListAnswer, RemoveProfile
from bramley.mdm.commands.requests import Raw, Request, envelope, read_raw, require, shown
from bramley.mdm.commands.table import TABLE, AccessRight, Fill, Key, Kind, RequestType
from bramley.model.systems import System, Target, target_of

__all__ = [
    "ENVELOPE",
    "TABLE",
    "AccessRight",
    "BadCommand",
    "CertificateList",
    "CertificateListAnswer",
    "DeviceInformation",
    "DeviceInformationAnswer",
    "Explained",
    "Fill",
    "Finding",
    "InstallProfile",
    "Key",
    "Kind",
    "ListedCertificate",
    "ListedProfile",
    "ProfileList",
    "ProfileListAnswer",
    "Raw",
    "Receiver",
    "RemoveProfile",
    "Request",
    "RequestType",
    "Rule",
    "SecurityInfo",
    "SettingAnswer",
    "Severity",
    "System",
    "Target",
    "Told",
    "build",
    "envelope",
    "explain",
    "read_answer",
    "read_raw",
    "receivers",
    "require",
    "settings_answers",
    "shown",
    "target_of",
]
