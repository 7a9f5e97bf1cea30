"""What a device does on commands that change it (Apple, "Commands and Queries"), by the rules of its system."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final
from xml.parsers.expat import ExpatError

from bramley.sandbox.device.commands import COMMAND_ERRORS, NOT_ALLOWED, Knowledge, unknown
from bramley.sandbox.device.messages import Message, error_chain

_BAD_VALUE: Final = 12010
"""A number of our choice, as NOT_ALLOWED is."""

_LARGEST_HASH: Final = 64 * 1024


class Malformed(Exception):
    """The command has not the form that Apple gives it: CommandFormatError."""


class CannotDo(Exception):
    """The device does not do it: Error, with `chain` as the reason."""

    def __init__(self, chain: Message) -> None:
        super().__init__(chain["ErrorChain"][0]["USEnglishDescription"])
        self.chain = chain


def _refuse(words: str, code: int = NOT_ALLOWED) -> CannotDo:
    return CannotDo(error_chain(code, COMMAND_ERRORS, words))


def _take(command: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    """A value of this type, or the default where there is none. Raises Malformed for another type."""
    value = command.get(key, default)
    if key in command and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
        raise Malformed
    return value


def _texts(command: Mapping[str, Any], key: str) -> list[str]:
    values: list[str] = _take(command, key, list, [])
    if not all(isinstance(value, str) for value in values):
        raise Malformed
    return values


def _require_full_enrollment(known: Knowledge) -> None:
    if known.user_enrollment:
        raise _refuse("The command is not allowed with User Enrollment.")


def _require_waiting(known: Knowledge) -> None:
    if not known.condition.waiting:
        raise _refuse("The device is not awaiting configuration.")


def _keep_pin(command: Mapping[str, Any], known: Knowledge) -> None:
    """A PIN of six digits, which only Macs take notice of."""
    pin = _take(command, "PIN", str)
    if known.device.is_mac and pin is not None:
        if not re.fullmatch(r"[0-9]{6}", pin, re.ASCII):
            raise _refuse("The PIN must have six digits.", _BAD_VALUE)
        known.condition.pin = pin


def _device_lock(command: Mapping[str, Any], known: Knowledge) -> Message:
    shown = _take(command, "Message", str) or _take(command, "PhoneNumber", str)
    if known.device.is_mac:
        _require_full_enrollment(known)
    _keep_pin(command, known)
    return {"MessageResult": "Success" if known.condition.passcode else "NoPasscodeSet"} if shown else {}


def _erase_device(command: Mapping[str, Any], known: Knowledge) -> Message:
    _require_full_enrollment(known)
    _keep_pin(command, known)
    return {}


def _clear_passcode(command: Mapping[str, Any], known: Knowledge) -> Message:
    if known.device.is_mac:
        raise CannotDo(unknown("ClearPasscode"))
    token = _take(command, "UnlockToken", bytes)
    if token is None:
        raise Malformed
    _require_full_enrollment(known)
    if token != known.condition.unlock_token:
        raise _refuse("The UnlockToken is not this device's.", _BAD_VALUE)
    known.condition.passcode = False
    return {}


def _require_power(known: Knowledge) -> None:
    """Restarting and switching off: Macs, and what is supervised."""
    _require_full_enrollment(known)
    if not known.supervised:
        raise _refuse("The device is not supervised.")


def _restart(command: Mapping[str, Any], known: Knowledge) -> Message:
    _take(command, "NotifyUser", bool)
    rebuild = _take(command, "RebuildKernelCache", bool, False)
    if _texts(command, "KextPaths") and not rebuild:
        raise _refuse("KextPaths needs RebuildKernelCache.", _BAD_VALUE)
    _require_power(known)
    known.condition.restarts += 1
    return {}


def _shut_down(_command: Mapping[str, Any], known: Knowledge) -> Message:
    _require_power(known)
    known.condition.off = True
    return {}


_APPS: Final[tuple[Message, ...]] = (
    {
        "Identifier": "com.apple.Numbers",
        "Name": "Numbers",
        "Version": "7040.0.73",
        "ShortVersion": "14.2",
        "BundleSize": 629145600,
    },
    {"Identifier": "org.orchard.notes", "Name": "Orchard Notes", "Version": "12", "ShortVersion": "1.2", "BundleSize": 4194304},
)


def _applications(command: Mapping[str, Any], known: Knowledge) -> Message:
    identifiers, items = _texts(command, "Identifiers"), _texts(command, "Items")
    if known.device.is_mac:
        _require_full_enrollment(known)
    elif items:
        items = [*items, "Identifier"]  # always told
    wanted = () if _take(command, "ManagedAppsOnly", bool, False) else _APPS  # no app here was installed by MDM
    found = [app for app in wanted if not identifiers or app["Identifier"] in identifiers]
    if items and not known.device.is_mac:
        found = [{key: value for key, value in app.items() if key in items} for app in found]
    return {"InstalledApplicationList": found}


def _settings(command: Mapping[str, Any], known: Knowledge) -> Message:
    """Each item by itself: one that fails leaves the others in force."""
    items = _take(command, "Settings", list)
    if items is None or not all(isinstance(item, dict) for item in items):
        raise Malformed
    return {"Settings": [_setting(item, known) for item in items]}


def _setting(item: Mapping[str, Any], known: Knowledge) -> Message:
    try:
        act = _ITEMS.get(str(item.get("Item")))
        if act is None:
            raise _refuse(f"The setting {str(item.get('Item'))[:40]} is not supported.")
        act(item, known)
    except Malformed:
        return {"Status": "CommandFormatError"}
    except CannotDo as error:
        return {"Status": "Error", **error.chain}
    return {"Status": "Acknowledged"}


def _value(item: Mapping[str, Any], key: str, kind: type) -> Any:
    value = _take(item, key, kind)
    if value is None:
        raise Malformed
    return value


def _set_device_name(item: Mapping[str, Any], known: Knowledge) -> None:
    name = _value(item, "DeviceName", str)
    _require_power(known)
    known.condition.device_name = name


def _set_host_name(item: Mapping[str, Any], known: Knowledge) -> None:
    name = _value(item, "HostName", str)
    _require_full_enrollment(known)
    if not known.device.is_mac:
        raise _refuse("The setting HostName is not supported.")
    known.condition.host_name = name


def _set_time_zone(item: Mapping[str, Any], known: Knowledge) -> None:
    zone = _value(item, "TimeZone", str)
    _require_power(known)
    if known.device.is_mac:
        raise _refuse("The setting TimeZone is not supported.")
    known.condition.time_zone = zone


def _set_bluetooth(item: Mapping[str, Any], known: Knowledge) -> None:
    enabled = _value(item, "Enabled", bool)
    _require_power(known)
    known.condition.bluetooth = enabled


def _set_organization(item: Mapping[str, Any], known: Knowledge) -> None:
    told = _take(item, "OrganizationInfo", dict, {})
    if told and not isinstance(told.get("OrganizationName"), str):
        raise Malformed
    known.condition.organization = {key: value for key, value in told.items() if isinstance(value, str)}


def _set_options(item: Mapping[str, Any], known: Knowledge) -> None:
    options = _value(item, "MDMOptions", dict)
    if not all(isinstance(value, bool) for value in options.values()):
        raise Malformed
    if known.device.is_mac:
        _require_full_enrollment(known)


_ITEMS: Final[Mapping[str, Callable[[Mapping[str, Any], Knowledge], None]]] = MappingProxyType(
    {
        "DeviceName": _set_device_name,
        "HostName": _set_host_name,
        "TimeZone": _set_time_zone,
        "Bluetooth": _set_bluetooth,
        "OrganizationInfo": _set_organization,
        "MDMOptions": _set_options,
    }
)


def _configured(_command: Mapping[str, Any], known: Knowledge) -> Message:
    _require_waiting(known)
    known.condition.waiting = False
    return {}


def _accounts(command: Mapping[str, Any], known: Knowledge) -> Message:
    if not known.device.is_mac:
        raise CannotDo(unknown("AccountConfiguration"))
    accounts = _take(command, "AutoSetupAdminAccounts", list, [])
    for account in accounts:
        if not isinstance(account, dict) or not isinstance(account.get("shortName"), str):
            raise Malformed
        if "passwordHash" in account and not _is_hash(_take(account, "passwordHash", bytes)):
            raise _refuse("The passwordHash is not a salted PBKDF2 SHA-512 hash.", _BAD_VALUE)
    for key in ("SkipPrimarySetupAccountCreation", "SetPrimarySetupAccountAsRegularUser"):
        if _take(command, key, bool, False) and not accounts:
            raise _refuse(f"{key} needs AutoSetupAdminAccounts.", _BAD_VALUE)
    _require_waiting(known)
    known.condition.accounts += [account["shortName"] for account in accounts[:1]]  # the others are ignored
    return {}


def _is_hash(value: bytes) -> bool:
    try:
        found = plistlib.loads(value[:_LARGEST_HASH])["SALTED-SHA512-PBKDF2"]
        return {"entropy", "salt", "iterations"} == set(found)
    except (ValueError, ExpatError, plistlib.InvalidFileException, KeyError, TypeError):
        return False


ORDERS: Final[Mapping[str, Callable[[Mapping[str, Any], Knowledge], Message]]] = MappingProxyType(
    {
        "DeviceLock": _device_lock,
        "EraseDevice": _erase_device,
        "ClearPasscode": _clear_passcode,
        "RestartDevice": _restart,
        "ShutDownDevice": _shut_down,
        "InstalledApplicationList": _applications,
        "Settings": _settings,
        "DeviceConfigured": _configured,
        "AccountConfiguration": _accounts,
    }
)
"""RequestType → what it does, and the keys of its answer. Raises Malformed and CannotDo, and then nothing was changed."""
