"""Which profiles a device is still to be sent, and which are to be removed from it: wanted against known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bramley.lifecycle import schedule
from bramley.model.commands import CommandUUID
from bramley.model.profiles import Handling, Installation, InstallState, ProfileID, StoredProfile


class Act(StrEnum):
    INSTALL = "install"
    REMOVE = "remove"
    FORGET = "forget"
    """It is not wanted, and not there: nothing is left to do but to take it off the record."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do about one profile on one device.

    `recipient` is the SHA-256 of the certificate that it is to be encrypted to, None where it is not encrypted. `instead_of` is
    the command that still waits and must not be carried out any more.
    """

    act: Act
    profile_id: ProfileID
    revision: int
    recipient: str | None = None
    instead_of: CommandUUID | None = None


def steps(
    wanted: Sequence[StoredProfile], standing: Sequence[Installation], *, recipient: str | None, now: datetime
) -> tuple[Step, ...]:
    """What to do now: installs in the order of `wanted`, then removals. `recipient` is the identity that the device presents.

    A profile is sent once for each revision; again where the device lost it, or its identity was renewed before it could open
    what waits for it, or since it failed to; and after `attempts` that failed, ever more seldom.
    """
    known = {each.profile_id: each for each in standing}
    installs = [step for profile in wanted if (step := _install(profile, known.get(profile.id), recipient, now)) is not None]
    names = {profile.id for profile in wanted}
    removals = [step for each in standing if each.profile_id not in names and (step := _remove(each, now)) is not None]
    return (*installs, *removals)


def retry_at(installation: Installation) -> datetime:
    """When to try again what has failed `attempts` times in a row."""
    return schedule.retry_at(installation.attempts, installation.changed_at)


def _install(profile: StoredProfile, known: Installation | None, recipient: str | None, now: datetime) -> Step | None:
    to = recipient if profile.handling is Handling.ENCRYPT else None
    if known is not None and known.revision >= profile.revision:
        match known.state:
            case InstallState.INSTALLED:
                return None
            case InstallState.SENT if known.recipient == to:
                return None
            case InstallState.FAILED if known.recipient == to and known.attempts and now < retry_at(known):
                return None
    return Step(Act.INSTALL, profile.id, profile.revision, to, known.command_uuid if known else None)


def _remove(known: Installation, now: datetime) -> Step | None:
    match known.state:
        case InstallState.MISSING:
            return Step(Act.FORGET, known.profile_id, known.revision)
        case InstallState.REMOVING if known.command_uuid is not None or now < retry_at(known):
            return None
    return Step(Act.REMOVE, known.profile_id, known.revision, instead_of=known.command_uuid)
