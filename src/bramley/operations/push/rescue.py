"""When it went wrong: what is lost, what is not, and the way back for each topic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bramley.lifecycle.next_step import at_apple
from bramley.model.enrollments import Enrollment
from bramley.model.lineages import Lineage
from bramley.operations import devices, pushing
from bramley.operations.errors import NotFound
from bramley.operations.installation import Installation
from bramley.operations.push import status
from bramley.operations.push.status import TopicStatus
from bramley.storage.protocols import Tx


class Trouble(StrEnum):
    """What is wrong with a topic."""

    NONE = "none"
    LAPSED = "lapsed"
    """Its certificate has expired. Devices keep their enrollment and wait."""
    REFUSED = "refused"
    """APNs refuses its certificate: revoked, or not one for MDM."""
    MISSING = "missing"
    """Devices listen to it, and this server never had its certificate, or lost its key."""
    ACCOUNT_LOST = "account-lost"
    """Nobody can sign in any more with the Apple Account that made it. Told by a person."""
    TOPIC_LOST = "topic-lost"
    """It cannot be had again, not even from Apple. Told by a person."""


class EnrolledBy(StrEnum):
    """What enrolling again means for a device."""

    DEVICE = "device enrollment"
    USER = "user enrollment"


@dataclass(frozen=True, slots=True)
class Again:
    """A device that would have to enroll again, and how that is done."""

    enrollment: Enrollment
    enrolled_by: EnrolledBy
    how: str


@dataclass(frozen=True, slots=True)
class Rescue:
    """A topic with its trouble, the steps out of it in order, and the devices that depend on it."""

    status: TopicStatus
    trouble: Trouble
    steps: Sequence[str]
    devices: Sequence[Again]


async def diagnose(installation: Installation, topic: str | None = None, *, told: Trouble | None = None) -> list[Rescue]:
    """Every topic, or the one named, with its trouble and the way out. `told` is what a person knows and the server cannot."""
    now = installation.clock.now()

    def read(tx: Tx) -> list[Rescue]:
        found = [each for each in status.read(tx, now) if each.topic is not None and topic in (None, each.topic)]
        if topic is not None and not found:
            raise NotFound(f"Nothing here knows the topic {topic}.", advice="`bramley push status` shows every topic.")
        return [_rescue(tx, each, told or _trouble(each, now)) for each in found]

    return await installation.store.read(read)


def _trouble(found: TopicStatus, now: datetime) -> Trouble:
    if found.active is None:
        return Trouble.MISSING if found.devices else Trouble.NONE
    if found.active.expired(now):
        return Trouble.LAPSED
    return Trouble.REFUSED if found.paused else Trouble.NONE


def _rescue(tx: Tx, found: TopicStatus, trouble: Trouble) -> Rescue:
    return Rescue(found, trouble, _steps(found, trouble), [_again(one) for one in _listening(tx, found.topic or "")])


def _steps(found: TopicStatus, trouble: Trouble) -> list[str]:
    topic, owner = found.topic, found.account or "the Apple Account that made it"
    renew = _renewal(found.lineage, topic or "")
    match trouble:
        case Trouble.NONE:
            return []
        case Trouble.LAPSED:
            return [
                "No device is lost: each keeps its enrollment, and Apple lets a lapsed certificate be renewed.",
                *renew,
                "Commands that wait are delivered as soon as the renewed certificate is in force.",
            ]
        case Trouble.REFUSED:
            return [
                f"APNs says of the certificate: {found.paused}. It may have been revoked at identity.apple.com.",
                f"Look there, signed in as {owner}: is the certificate of {topic} still listed?",
                *renew,
                "Was the cause elsewhere (a clock, a proxy) and is it gone: `bramley push resume` tries one push and goes on.",
            ]
        case Trouble.MISSING:
            return [
                f"{found.devices} device(s) listen to {topic}, and there is no certificate of it here.",
                "Somebody has it: a former server, a backup, an Apple Account. Look for its key, or renew it with a new one.",
                *renew,
            ]
        case Trouble.ACCOUNT_LOST:
            serial = found.active.serial if found.active else "unknown here"
            return [
                f"Try to get the account back: iforgot.apple.com for {owner}, or have its mail address restored.",
                "Managed Apple Accounts are reset by an administrator in Apple Business Manager or Apple School Manager.",
                f"Else ask Apple Support (enterprise) to move the push certificate of {topic} to another Apple Account.",
                f"They ask for the topic ({topic}), the serial number ({serial}) and proof of who you are.",
                "It takes days, so begin before the certificate expires.",
                "Once it is moved: `bramley push account` notes the new account, and the renewal goes on as always.",
            ]
        case Trouble.TOPIC_LOST:
            return [
                f"Without a certificate of {topic} no push reaches the {found.devices} device(s) below, ever.",
                "They keep their profiles. One that connects by itself still gets what is queued for it.",
                "Make a new certificate: `bramley push request --further`, and choose Create at Apple.",
                f"Import it with --other-devices {found.devices}: it stands beside the lost one, and new enrollments use it.",
                "Enroll each device again, as said for it below: a topic cannot change while an enrollment lasts.",
            ]


def _renewal(lineage: Lineage | None, topic: str) -> list[str]:
    if lineage is None:
        return [f"Find the Apple Account whose certificate has the topic {topic}, and choose Renew, not Create, there."]
    return ["`bramley push request` makes a new key and request.", f"{at_apple(lineage)}.", "`bramley push import` the new one."]


def _listening(tx: Tx, topic: str) -> list[Enrollment]:
    return [one for state in sorted(pushing.TARGETS) for one in devices.each(tx, state, topic=topic) if one.parent is None]


def _again(enrollment: Enrollment) -> Again:
    if enrollment.enrollment_id is not None:
        how = "The person removes the old profile in Settings (their managed data goes with it) and signs in again."
        return Again(enrollment, EnrolledBy.USER, how)
    how = (
        "Mac: `sudo profiles renew -type enrollment` where it is in Apple Business Manager, else remove the profile and open a "
        "new link. iPhone, iPad, Apple TV: erase it where it is supervised and its enrollment cannot be removed, else likewise."
    )
    return Again(enrollment, EnrolledBy.DEVICE, how)
