"""The channels of a device, and which of its profiles each gets: a Mac has one for itself, and one for each managed user."""

from __future__ import annotations

from collections.abc import Sequence

from bramley.mdm.commands import System, target_of
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey
from bramley.model.profiles import Scope, StoredProfile
from bramley.operations.identities import device_of
from bramley.storage.protocols import Tx


def of_device(tx: Tx, key: EnrollmentKey) -> Sequence[EnrollmentKey]:
    """The channels of the device that one of them belongs to, its own first; none where there is no such enrollment."""
    enrollment = tx.enrollments.get(key)
    if enrollment is None:
        return ()
    device = device_of(tx, enrollment)
    return (device.key, *(channel.key for channel in tx.enrollments.channels(device.key)))


def wanted(tx: Tx, channel: Enrollment, device: Enrollment) -> list[StoredProfile]:
    """What a channel of a device shall have, in order of identifier.

    On a Mac, profiles whose PayloadScope is User go to each user channel, and the others to the device; anywhere else
    PayloadScope means nothing (Apple, "TopLevel"), and all go to the device.
    """
    every, for_users = tx.profiles.wanted(EnrollmentID(device.id or "")), channel.parent is not None
    target = target_of(device.product_name, device.os_version)
    if target is None or target.system is not System.MACOS:
        return [] if for_users else list(every)
    return [profile for profile in every if (profile.scope is Scope.USER) == for_users]
