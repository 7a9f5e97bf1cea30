"""Who a message says it is from. A claim: `bramley.mdm.binding` decides whether to believe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bramley.mdm.errors import BadMessage
from bramley.mdm.plist import PlistValue
from bramley.model.enrollments import EnrollmentID

SHARED_IPAD_USER: Final = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"
"""The UserID that a Shared iPad sends for everybody: there UserShortName, a Managed Apple Account, says who it is."""

_LONGEST_NAME: Final = 255


@dataclass(frozen=True, slots=True)
class Sender:
    """The device, and on a user channel the user, that a message names.

    `device` is UDID, or EnrollmentID from a User Enrollment. `user` is UserID, EnrollmentUserID or, on a Shared iPad,
    UserShortName; None on the device channel.
    """

    device: EnrollmentID
    is_user_enrollment: bool
    user: str | None = None

    @property
    def enrollment_id(self) -> EnrollmentID:
        """`device`, or `device:user`: no device has a colon in its name."""
        return self.device if self.user is None else EnrollmentID(f"{self.device}:{self.user}")


def read_sender(message: Mapping[str, PlistValue]) -> Sender:
    """The sender of any check-in message or report.

    Raises BadMessage unless exactly one of UDID and EnrollmentID names the device, and at most one user is named.
    """
    udid, enrollment_id = _name(message, "UDID"), _name(message, "EnrollmentID")
    device = udid or enrollment_id
    if device is None or (udid and enrollment_id):
        raise BadMessage(f"Expected exactly one of UDID and EnrollmentID; {'both' if device else 'neither'} came.")
    if ":" in device:
        raise BadMessage("Expected a UDID or EnrollmentID without a colon; one came.")
    return Sender(EnrollmentID(device), udid is None, _user(message))


def _user(message: Mapping[str, PlistValue]) -> str | None:
    user, enrollment_user = _name(message, "UserID"), _name(message, "EnrollmentUserID")
    if user and enrollment_user and user != enrollment_user:
        raise BadMessage("Expected one user; UserID and EnrollmentUserID name two.")
    user = user or enrollment_user
    if user != SHARED_IPAD_USER:
        return user
    short_name = _name(message, "UserShortName")
    if short_name is None:
        raise BadMessage("Expected UserShortName with the UserID of a Shared iPad; none came.")
    return short_name


def _name(message: Mapping[str, PlistValue], key: str) -> str | None:
    value = message.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadMessage(f"Expected {key} to be a string; a {type(value).__name__} came.")
    if not value or len(value) > _LONGEST_NAME or not value.isprintable():
        raise BadMessage(f"Expected {key} to be 1 to {_LONGEST_NAME} printable characters; it is not.")
    return value
