"""What a device does with a command (Apple, "Commands and Queries")."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bramley.sandbox.device import commands, orders
from bramley.sandbox.device.contents import require_for
from bramley.sandbox.device.forms import is_formed
from bramley.sandbox.device.holdings import Holdings
from bramley.sandbox.device.messages import Message, error_chain
from bramley.sandbox.device.profile import Profile
from bramley.sandbox.errors import BadProfile, IdentityRefused

NEVER_NOT_NOW: Final = frozenset({"DeviceLock", "EraseDevice", "RemoveProfile"})
"""Commands that Apple's clients carry out whatever else is going on."""


class After(StrEnum):
    """What follows once the server has taken the answer: not before, or it would never come."""

    WIPE = "wipe"
    UNENROLL = "unenroll"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The status and the rest of a command's answer."""

    status: str
    result: Message = field(default_factory=dict)
    after: After | None = None


ACKNOWLEDGED: Final = Outcome("Acknowledged")

Renew = Callable[[Profile], Awaitable[None]]
"""Takes a replaced enrollment profile into use: a new identity, Authenticate and TokenUpdate with it."""

OpenProfile = Callable[[bytes], Profile]
"""Reads a profile under the device's trust. Raises BadProfile."""


async def execute(
    command: Mapping[str, Any], *, holdings: Holdings, knowledge: commands.Knowledge, renew: Renew, open_with: OpenProfile
) -> Outcome:
    """Carries out one command. Raises only what ends the session: no answer from the MDM server, or the end of enrollment."""
    if not is_formed(command):
        return Outcome("CommandFormatError")
    request_type: str = command["RequestType"]
    if not commands.is_for(request_type, knowledge):
        return Outcome("Error", commands.unknown(request_type))
    if (query := commands.QUERIES.get(request_type)) is not None:
        return Outcome("Acknowledged", query(command, knowledge))
    if request_type == "InstallProfile":
        return await _install(command["Payload"], holdings, knowledge, renew, open_with)
    if request_type == "RemoveProfile":
        return await _remove(command["Identifier"], holdings)
    if (order := orders.ORDERS.get(request_type)) is not None:
        try:
            result = order(command, knowledge)
        except orders.Malformed:
            return Outcome("CommandFormatError")
        except orders.CannotDo as error:
            return Outcome("Error", error.chain)
        return Outcome("Acknowledged", result, After.WIPE if request_type == "EraseDevice" else None)
    if request_type == "RotateFileVaultKey" and knowledge.device.is_mac:
        return _rotate(command, knowledge)
    return Outcome("Error", commands.unknown(request_type))


async def _install(
    payload: bytes, holdings: Holdings, knowledge: commands.Knowledge, renew: Renew, open_with: OpenProfile
) -> Outcome:
    """InstallProfile; over MDM an unsigned profile will do, but one that is signed must be signed well."""
    try:
        profile = open_with(payload)
        require_for(
            profile.payloads,
            mac=knowledge.device.is_mac,
            user_enrollment=knowledge.user_enrollment,
            user_channel=knowledge.user_channel,
        )
        if holdings.is_enrollment(profile.identifier):
            await renew(profile)
        else:
            await holdings.install(profile)
    except BadProfile as error:
        return Outcome("Error", error_chain(4001, "MCInstallationErrorDomain", error.message))
    except IdentityRefused as error:
        return Outcome("Error", error_chain(15002, "MDM-SCEP", error.message))
    return ACKNOWLEDGED


def _rotate(command: Mapping[str, Any], knowledge: commands.Knowledge) -> Outcome:
    if knowledge.user_enrollment:
        words = "The command is not allowed with User Enrollment."
        return Outcome("Error", error_chain(commands.NOT_ALLOWED, commands.COMMAND_ERRORS, words))
    try:
        message = knowledge.filevault.rotate(command)
    except ValueError as error:
        return Outcome("Error", error_chain(-69594, "com.apple.OpenDirectory.FileVault", str(error)))
    return Outcome("Acknowledged", {"RotateResult": {"EncryptedNewRecoveryKey": message}})


async def _remove(identifier: str, holdings: Holdings) -> Outcome:
    if identifier not in holdings.profiles:
        return Outcome("Error", error_chain(4, "MCMDMErrorDomain", f"No profile with the identifier {identifier}."))
    if holdings.is_enrollment(identifier):
        return Outcome("Acknowledged", after=After.UNENROLL)
    await holdings.remove(identifier)
    return ACKNOWLEDGED
