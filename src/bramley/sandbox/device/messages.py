"""The messages of a device, as dictionaries for a property list (Apple, "Check-in" and "Commands and Queries")."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping
from typing import Any, Final
from xml.parsers.expat import ExpatError

from bramley.sandbox.device.identity import DeviceIdentity, UserAccount
from bramley.sandbox.errors import BadCommand

CHECK_IN_TYPE: Final = "application/x-apple-aspen-mdm-checkin"
CONNECT_TYPE: Final = "application/x-apple-aspen-mdm; charset=UTF-8"

Message = dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """The XML property list, keys sorted, as devices write them."""
    return plistlib.dumps(dict(message), fmt=plistlib.FMT_XML)


def sender(device: DeviceIdentity, *, user_enrollment: bool = False, user: UserAccount | None = None) -> Message:
    """The keys that say who speaks: exactly one of UDID and EnrollmentID, and the user on a user channel."""
    said: Message = {"EnrollmentID": device.enrollment_id} if user_enrollment else {"UDID": device.udid}
    if user is not None:
        said["EnrollmentUserID" if user_enrollment else "UserID"] = user.user_id
        said |= {"UserShortName": user.short_name, "UserLongName": user.long_name}
    return said


def authenticate(who: Message, device: DeviceIdentity, topic: str, *, user_enrollment: bool = False) -> Message:
    """The first message of an enrollment. The serial number stays out of User Enrollment."""
    said: Message = {
        "MessageType": "Authenticate",
        "Topic": topic,
        "OSVersion": device.os_version,
        "BuildVersion": device.build_version,
        "ProductName": device.product_name,
        **who,
    }
    if device.is_mac:
        said |= {"DeviceName": device.device_name, "Model": device.model, "ModelName": device.model_name}
    if not user_enrollment:
        said["SerialNumber"] = device.serial_number
    return said


def token_update(who: Message, topic: str, token: bytes, push_magic: str, *, unlock_token: bytes | None = None) -> Message:
    """How to wake the device, or the user's session; `who` says which."""
    said: Message = {"MessageType": "TokenUpdate", "Topic": topic, "Token": token, "PushMagic": push_magic, **who}
    if "UserShortName" in who:
        said["NotOnConsole"] = False
    else:
        said["AwaitingConfiguration"] = False
    if unlock_token is not None:
        said["UnlockToken"] = unlock_token
    return said


def check_out(who: Message, topic: str) -> Message:
    return {"MessageType": "CheckOut", "Topic": topic, **who}


def set_bootstrap_token(who: Message, token: bytes | None) -> Message:
    """Escrows the token; None, as a missing key, has the server delete it."""
    said: Message = {"MessageType": "SetBootstrapToken", "AwaitingConfiguration": False, **who}
    if token is not None:
        said["BootstrapToken"] = token
    return said


def get_bootstrap_token(who: Message) -> Message:
    return {"MessageType": "GetBootstrapToken", "AwaitingConfiguration": False, **who}


def idle(who: Message) -> Message:
    return {"Status": "Idle", **who}


def report(who: Message, command_uuid: str, status: str, result: Mapping[str, Any] | None = None) -> Message:
    """The answer to a command."""
    return {"CommandUUID": command_uuid, "Status": status, **who, **(result or {})}


def error_chain(code: int, domain: str, text: str) -> Message:
    """The part of an Error that says what went wrong."""
    described = {"ErrorCode": code, "ErrorDomain": domain, "LocalizedDescription": text, "USEnglishDescription": text}
    return {"ErrorChain": [described]}


def decode_command(body: bytes) -> tuple[str, Message]:
    """CommandUUID and Command out of the server's answer. Raises BadCommand."""
    try:
        said = plistlib.loads(body, fmt=plistlib.FMT_XML)
        command_uuid, command = said["CommandUUID"], said["Command"]
    except (ValueError, ExpatError, plistlib.InvalidFileException, KeyError, TypeError) as error:
        raise BadCommand(f"Expected a property list with CommandUUID and Command, or nothing; {error!r}.") from None
    if not isinstance(command_uuid, str) or not isinstance(command, dict):
        raise BadCommand("Expected a CommandUUID that is a string and a Command that is a dictionary.")
    return command_uuid, command
