"""Commands that change a device: done by the rules of its system, or refused with nothing changed."""

from __future__ import annotations

import plistlib
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from bramley.sandbox.device import SimulatedDevice
from bramley.sandbox.device.commands import QUERIES, Knowledge
from bramley.sandbox.device.condition import Condition
from bramley.sandbox.device.filevault import FileVault
from bramley.sandbox.device.identity import DeviceIdentity
from bramley.sandbox.device.orders import ORDERS, CannotDo, Malformed
from tests.sandbox.tiny_server import TinyServer

HASH = plistlib.dumps({"SALTED-SHA512-PBKDF2": {"entropy": b"x" * 128, "salt": b"x" * 32, "iterations": 100_000}})


def a_device(*, mac: bool = True, user_enrollment: bool = False, **stands: Any) -> Knowledge:
    chance = random.Random(1)
    condition = Condition(**{"unlock_token": b"unlock", **stands})
    return Knowledge(DeviceIdentity.make(chance, mac=mac), [], [], [], user_enrollment, FileVault(chance), condition)


MAC, PHONE = {"mac": True}, {"mac": False}
WAITING, OWN = {"waiting": True}, {"user_enrollment": True}
ACCOUNT = {"shortName": "admin", "passwordHash": HASH}


@pytest.mark.parametrize(
    ("device", "request_type", "keys", "changed"),
    [
        (MAC, "DeviceLock", {"PIN": "907351", "Message": "Lost"}, {"pin": "907351"}),
        (PHONE, "DeviceLock", {"PhoneNumber": "+49 30", "PIN": "no matter"}, {}),
        (PHONE | OWN, "DeviceLock", {}, {}),
        (MAC, "EraseDevice", {"PIN": "907351"}, {"pin": "907351"}),
        (PHONE, "ClearPasscode", {"UnlockToken": b"unlock"}, {"passcode": False}),
        (MAC, "RestartDevice", {"RebuildKernelCache": True, "KextPaths": ["/x"]}, {"restarts": 1}),
        (PHONE, "RestartDevice", {}, {"restarts": 1}),
        (MAC, "ShutDownDevice", {}, {"off": True}),
        (MAC | WAITING, "DeviceConfigured", {}, {"waiting": False}),
        (
            MAC | WAITING,
            "AccountConfiguration",
            {"AutoSetupAdminAccounts": [ACCOUNT, {"shortName": "b"}]},
            {"accounts": ["admin"]},
        ),
        (MAC, "InstalledApplicationList", {}, {}),
    ],
)
def test_what_it_does(
    apple_schema: Callable[..., Any], device: dict[str, Any], request_type: str, keys: dict[str, Any], changed: dict[str, Any]
) -> None:
    known = a_device(**device)
    before = asdict(known.condition)
    told = ORDERS[request_type]({"RequestType": request_type, **keys}, known)
    after = asdict(known.condition)
    assert {name: after[name] for name in after if after[name] != before[name]} == changed
    checker = apple_schema("macOS" if known.device.is_mac else "iOS", known.user_enrollment)
    assert list(checker.result(request_type, {"Status": "Acknowledged", **told})) == []


@pytest.mark.parametrize(
    ("device", "request_type", "keys", "error"),
    [
        (MAC, "DeviceLock", {"PIN": "12345"}, CannotDo),
        (MAC, "DeviceLock", {"PIN": 123456}, Malformed),
        (MAC, "DeviceLock", {"Message": True}, Malformed),
        (MAC | OWN, "DeviceLock", {"PIN": "907351"}, CannotDo),
        (MAC, "EraseDevice", {"PIN": ""}, CannotDo),
        (PHONE | OWN, "EraseDevice", {}, CannotDo),
        (PHONE, "ClearPasscode", {}, Malformed),
        (PHONE, "ClearPasscode", {"UnlockToken": "unlock"}, Malformed),
        (PHONE, "ClearPasscode", {"UnlockToken": b"another"}, CannotDo),
        (PHONE | OWN, "ClearPasscode", {"UnlockToken": b"unlock"}, CannotDo),
        (MAC, "ClearPasscode", {"UnlockToken": b"unlock"}, CannotDo),
        (PHONE | OWN, "RestartDevice", {}, CannotDo),
        (MAC, "RestartDevice", {"KextPaths": ["/x"]}, CannotDo),
        (MAC, "RestartDevice", {"RebuildKernelCache": True, "KextPaths": [1]}, Malformed),
        (PHONE | OWN, "ShutDownDevice", {}, CannotDo),
        (MAC, "DeviceConfigured", {}, CannotDo),
        (MAC, "AccountConfiguration", {"AutoSetupAdminAccounts": [ACCOUNT]}, CannotDo),
        (PHONE | WAITING, "AccountConfiguration", {}, CannotDo),
        (MAC | WAITING, "AccountConfiguration", {"SkipPrimarySetupAccountCreation": True}, CannotDo),
        (MAC | WAITING, "AccountConfiguration", {"AutoSetupAdminAccounts": [{"fullName": "x"}]}, Malformed),
        (MAC | WAITING, "AccountConfiguration", {"AutoSetupAdminAccounts": [{**ACCOUNT, "passwordHash": b"x"}]}, CannotDo),
        (MAC | OWN, "InstalledApplicationList", {}, CannotDo),
        (MAC, "InstalledApplicationList", {"Identifiers": "x"}, Malformed),
        (MAC, "Settings", {}, Malformed),
        (MAC, "Settings", {"Settings": ["DeviceName"]}, Malformed),
    ],
)
def test_what_it_does_not_do(device: dict[str, Any], request_type: str, keys: dict[str, Any], error: type[Exception]) -> None:
    known = a_device(**device)
    before = asdict(known.condition)
    with pytest.raises(error):
        ORDERS[request_type]({"RequestType": request_type, **keys}, known)
    assert asdict(known.condition) == before


@pytest.mark.parametrize(
    ("device", "item", "status", "changed"),
    [
        (MAC, {"Item": "DeviceName", "DeviceName": "Reception"}, "Acknowledged", {"device_name": "Reception"}),
        (MAC, {"Item": "HostName", "HostName": "reception"}, "Acknowledged", {"host_name": "reception"}),
        (PHONE, {"Item": "TimeZone", "TimeZone": "Europe/Berlin"}, "Acknowledged", {"time_zone": "Europe/Berlin"}),
        (MAC, {"Item": "Bluetooth", "Enabled": False}, "Acknowledged", {"bluetooth": False}),
        (
            PHONE | OWN,
            {"Item": "OrganizationInfo", "OrganizationInfo": {"OrganizationName": "Orchard"}},
            "Acknowledged",
            {"organization": {"OrganizationName": "Orchard"}},
        ),
        (MAC, {"Item": "MDMOptions", "MDMOptions": {"ActivationLockAllowedWhileSupervised": True}}, "Acknowledged", {}),
        (PHONE | OWN, {"Item": "DeviceName", "DeviceName": "x"}, "Error", {}),
        (PHONE, {"Item": "HostName", "HostName": "x"}, "Error", {}),
        (MAC, {"Item": "TimeZone", "TimeZone": "x"}, "Error", {}),
        (MAC, {"Item": "Wallpaper"}, "Error", {}),
        (MAC, {}, "Error", {}),
        (MAC, {"Item": "DeviceName"}, "CommandFormatError", {}),
        (MAC, {"Item": "OrganizationInfo", "OrganizationInfo": {"OrganizationPhone": "x"}}, "CommandFormatError", {}),
        (MAC, {"Item": "MDMOptions", "MDMOptions": {"BootstrapTokenAllowed": 1}}, "CommandFormatError", {}),
    ],
)
def test_each_setting_has_its_own_answer(
    device: dict[str, Any], item: dict[str, Any], status: str, changed: dict[str, Any]
) -> None:
    known = a_device(**device)
    before = asdict(known.condition)
    (other, told) = ORDERS["Settings"]({"Settings": [{"Item": "MDMOptions", "MDMOptions": {}}, item]}, known)["Settings"]
    after = asdict(known.condition)
    assert {name: after[name] for name in after if after[name] != before[name]} == changed
    assert (told["Status"], "ErrorChain" in told) == (status, status == "Error")
    assert other["Status"] == ("Error" if known.device.is_mac and known.user_enrollment else "Acknowledged")


def test_what_was_changed_is_told() -> None:
    known = a_device(mac=False)
    items = [
        {"Item": "DeviceName", "DeviceName": "Reception"},
        {"Item": "TimeZone", "TimeZone": "Europe/Berlin"},
        {"Item": "OrganizationInfo", "OrganizationInfo": {"OrganizationName": "Orchard"}},
    ]
    ORDERS["Settings"]({"Settings": items}, known)
    ORDERS["ClearPasscode"]({"UnlockToken": b"unlock"}, known)
    queries = ["DeviceName", "TimeZone", "OrganizationInfo", "AwaitingConfiguration"]
    assert QUERIES["DeviceInformation"]({"Queries": queries}, known)["QueryResponses"] == {
        "DeviceName": "Reception",
        "TimeZone": "Europe/Berlin",
        "OrganizationInfo": {"OrganizationName": "Orchard"},
        "AwaitingConfiguration": False,
    }
    assert QUERIES["SecurityInfo"]({}, known)["SecurityInfo"]["PasscodePresent"] is False


def test_apps_are_listed_as_asked() -> None:
    known, listed = a_device(mac=False), ORDERS["InstalledApplicationList"]
    everything = listed({}, known)["InstalledApplicationList"]
    (one,) = listed({"Identifiers": ["org.orchard.notes"], "Items": ["Name"]}, known)["InstalledApplicationList"]
    assert len(everything) == 2
    assert one == {"Identifier": "org.orchard.notes", "Name": "Orchard Notes"}
    assert listed({"ManagedAppsOnly": True}, known)["InstalledApplicationList"] == []


async def test_over_the_wire(device: SimulatedDevice, server: TinyServer) -> None:
    server.send("InstalledApplicationList")
    server.send("ShutDownDevice")
    server.send("DeviceConfigured")
    server.send("DeviceLock", PIN=123456)
    server.send("EraseDevice", PIN="12")
    await device.connect()
    reports = [request.plist for request in server.seen[-5:]]
    assert [each["Status"] for each in reports] == ["Acknowledged", "Acknowledged", "Error", "CommandFormatError", "Error"]
    assert reports[2]["ErrorChain"][0]["ErrorDomain"] == "MCMDMErrorDomain"
    assert device.enrolled, "an erasure that is refused erases nothing"
