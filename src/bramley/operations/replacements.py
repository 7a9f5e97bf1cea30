"""Profiles that an operator sends or removes by hand and that concern a device's management: held against its enrollment.

A device refuses an MDM payload that changes what may never change (`profiles.immutable`). So such a profile is not even queued:
whoever sends it learns at once, and not from the device's error, which key it was. Nor is one that changes nothing of that: the
device would fetch an identity for it that was issued to no device or to another, and would never be let in again. One that would
take the place of the enrollment profile without managing would end the management, and is not queued either: RemoveProfile says
so, and whoever sends that must mean it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

from bramley.mdm.commands import InstallProfile, RemoveProfile, Request
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.operations import devices, former_profiles, identities
from bramley.operations.enrollment_profiles import enrolled_with, settings_of
from bramley.operations.errors import Conflict, Invalid, NotReady
from bramley.operations.installation import Installation
from bramley.profiles import documents, immutable
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import Rule
from bramley.profiles.rules.structure import MDM
from bramley.storage.protocols import Tx

_NAMED: Final = re.compile(rf"{re.escape(MDM)}(?!client|\.)")
"""The type of the payload in text, and not the name of Apple's client or of a capability."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What the removal of a profile does to an enrollment that cannot be undone, in words; empty where nothing is."""

    key: EnrollmentKey
    invariants: str
    destroys: str

    def require_same(self, device: Enrollment) -> None:
        """Conflict unless the enrollment is the one, and the same, that the removal was held against."""
        if (device.key, device.invariants) != (self.key, self.invariants):
            raise Conflict("The enrollment changed while the profile was held against it.", advice="Send it again.")


async def removal(installation: Installation, device: str, request: Request) -> Removal | None:
    """What a RemoveProfile does to the enrollment of its device; None for any other request.

    Where nobody knows which profile the enrollment hangs on, it may be any. Raises NotFound.
    """
    if request.request_type != RemoveProfile.request_type:
        return None
    _channel, owner = await installation.store.read(lambda tx: _found(tx, device))
    try:
        enrolled = await _enrolled_with(installation, owner)
    except (Conflict, NotReady):
        words = "may end the device's enrollment, since nobody knows which profile that hangs on"
    else:
        words = "ends the device's enrollment" if request.to_plist().get("Identifier") == enrolled["PayloadIdentifier"] else ""
    return Removal(owner.key, owner.invariants, words)


async def require_harmless(installation: Installation, device: str, request: Request) -> None:
    """Lets a request pass that leaves the management of its device alone, as far as can be seen.

    Raises BadProfile, with key and rule, for a profile that changes what may never change, for one with an MDM payload to a user
    channel, for one in the enrollment profile's place that has none, and for what seems to have an MDM payload and cannot be
    read; Invalid for any other with an MDM payload; Conflict and NotReady where nobody knows what the device was enrolled with;
    NotFound. What is encrypted to the device cannot be looked into, and passes.
    """
    payload = request.to_plist().get("Payload")
    if request.request_type != InstallProfile.request_type or not isinstance(payload, bytes):
        return
    profile = await asyncio.to_thread(_readable, payload)
    if profile is None:
        return
    channel, owner = await installation.store.read(lambda tx: _found(tx, device))
    manages = immutable.managing(profile)
    if channel.parent is not None:
        if not manages:
            return
        raise BadProfile(
            f"Expected no payload of the type {MDM} for a user channel; {device} is one.",
            key=f"PayloadContent[{manages[0][0]}].PayloadType",
            rule=Rule.DEVICE_CHANNEL,
            advice="The management of a device is the device's: send it there.",
        )
    try:
        enrolled = await _enrolled_with(installation, owner)
    except (Conflict, NotReady):
        if manages:
            raise
        return  # nobody can tell which profile is the one that it was enrolled with
    if not manages and profile.get("PayloadIdentifier") != enrolled.get("PayloadIdentifier"):
        return
    immutable.require(enrolled, profile)
    raise Invalid(
        f"Expected no payload of the type {MDM}; PayloadContent[{manages[0][0]}] is one. The device would take another identity "
        "for it, which was not issued to it, and be refused from then on.",
        advice=f"`bramley identity renew {device}` sends its enrollment profile with an identity of its own. "
        "`bramley profile validate NEW --replaces FORMER` compares two, and sends none.",
    )


def _found(tx: Tx, device: str) -> tuple[Enrollment, Enrollment]:
    enrollment = devices.resolve(tx, device)
    return enrollment, identities.device_of(tx, enrollment)


async def _enrolled_with(installation: Installation, device: Enrollment) -> Mapping[str, Any]:
    frame = await former_profiles.frame(installation, device.invariants)
    if frame is None and device.topic is None:
        raise Conflict(
            f"{device.id or device.key} has told no push topic yet: nothing says what it was enrolled with.",
            advice="Send it once the device has enrolled.",
        )
    return enrolled_with(await settings_of(installation, device.key, device.topic or "", device.invariants), frame)


def _readable(data: bytes) -> Mapping[str, Any] | None:
    """The profile, where it can be looked into.

    A device reads more than we do, such as binary property lists. What cannot be read here is not let pass where it speaks of
    such a payload: in any encoding of text, and with any references to characters.
    """
    try:
        document = documents.read(data)
    except BadProfile as error:
        if _NAMED.search(unescape(data.replace(b"\x00", b"").decode("latin-1"))):
            raise BadProfile(
                f"Expected a profile that can be read, since a payload of the type {MDM} is named in it. {error.message}",
                key=error.key,
                rule=error.rule,
                advice="Nobody can tell what it would change of the device's enrollment. Give it as XML, plain or signed.",
            ) from None
        return None
    return None if document.encrypted else document.content
