"""What a device says of itself in its answers to DeviceInformation, kept with its enrollment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from bramley.mdm.commands import DeviceInformationAnswer
from bramley.mdm.errors import BadMessage
from bramley.mdm.token_update import leave_delivery
from bramley.model.enrollments import EnrollmentKey
from bramley.model.profiles import InstallState
from bramley.storage.protocols import Tx

_LONGEST: Final = 255

_FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DeviceName": "device_name",
        "Model": "model",
        "ProductName": "product_name",
        "OSVersion": "os_version",
        "BuildVersion": "build_version",
    }
)
"""Apple's name to ours. By what identifies the device (UDID, serial number) it is known from its enrollment alone."""


def note(tx: Tx, key: EnrollmentKey, raw: bytes, now: datetime) -> None:
    """Brings the device's names and versions up to date; what it did not tell, or cannot be a name, stays as it was.

    A user channel has none of its own.
    """
    enrollment = tx.enrollments.get(key)
    if enrollment is None or enrollment.parent is not None:
        return
    try:
        told = DeviceInformationAnswer.read(raw).responses
    except BadMessage:
        return  # kept with the command, for people to look at
    news: dict[str, Any] = {
        ours: value
        for name, ours in _FIELDS.items()
        if isinstance(value := told.get(name), str) and 0 < len(value) <= _LONGEST and value != getattr(enrollment, ours)
    }
    if news:
        tx.enrollments.update(replace(enrollment, changed_at=now, **news))
        _have_tried_again(tx, key)
        leave_delivery(tx, key, now)


def _have_tried_again(tx: Tx, key: EnrollmentKey) -> None:
    """Profiles name what a device tells: one that could not be made may be made now."""
    for channel in (key, *(each.key for each in tx.enrollments.channels(key))):
        for each in tx.profiles.on_device(channel):
            if each.state is InstallState.FAILED:
                tx.profiles.put(replace(each, attempts=0))
