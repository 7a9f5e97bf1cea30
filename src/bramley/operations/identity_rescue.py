"""Devices that are silent while their identity lapses, and what brings each of them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bramley.mdm.binding import renewable_after_end
from bramley.model.enrollments import Enrollment, EnrollmentState
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations import former_profiles, identity_standing
from bramley.operations.identity_standing import Standing
from bramley.operations.installation import Installation
from bramley.operations.pushing import token_obstacle
from bramley.storage.protocols import CertificateRow, Tx

_PAGE: Final = 10_000


class Way(StrEnum):
    """What brings a device back."""

    OVER_THE_AIR = "over-the-air"
    FORMER_PROFILE = "former-profile"
    PROFILES_RENEW = "profiles-renew"
    NEW_LINK = "new-link"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Rescue:
    """One device: how its identity stands, since when it was not heard of, the way back, and that in words.

    `until` is the last moment at which it can still be renewed over the air; None where that has passed.
    """

    standing: Standing
    expired: bool
    silent_since: datetime
    way: Way
    until: datetime | None
    words: str


async def rescue(installation: Installation, *, within: timedelta, silent: timedelta) -> Sequence[Rescue]:
    """Every device whose identity has expired, or expires `within` that time and that was silent for so long; soonest first."""
    now, after_end = installation.clock.now(), installation.settings.identity.after_end

    def read(tx: Tx) -> list[Rescue]:
        stands = (identity_standing.of(tx, row) for row in _ending(tx, now + within))
        told = (_rescue(standing, now, after_end) for standing in stands if standing is not None)
        return [each for each in told if each.expired or now - each.silent_since >= silent]

    return await installation.store.read(read)


def _ending(tx: Tx, moment: datetime) -> Sequence[CertificateRow]:
    limit = _PAGE
    while len(rows := tx.lineages.ending_before(Kind.DEVICE_IDENTITY, moment, limit)) == limit:
        limit *= 4
    return rows


def _rescue(standing: Standing, now: datetime, after_end: timedelta | None) -> Rescue:
    version, enrollment = standing.version, standing.enrollment
    way, until = way_back(version, enrollment, now, after_end=after_end)
    silent_since = enrollment.last_seen_at or enrollment.enrolled_at or enrollment.created_at
    return Rescue(standing, version.expired(now), silent_since, way, until, _words(enrollment, way, until))


def way_back(
    version: Version, enrollment: Enrollment, now: datetime, *, after_end: timedelta | None
) -> tuple[Way, datetime | None]:
    """What brings this device back, and until when it can be renewed over the air; pure."""
    if enrollment.state is EnrollmentState.QUARANTINED:
        return Way.RELEASE, None
    if enrollment.state is EnrollmentState.ACTIVE and version.not_after is not None:
        in_time = not version.expired(now)
        if in_time or renewable_after_end(version.state, version.not_after, now, within=after_end):
            unknown = enrollment.invariants == former_profiles.UNKNOWN
            way = Way.FORMER_PROFILE if unknown else Way.OVER_THE_AIR
            return way, version.not_after + (after_end or timedelta())
    return (Way.PROFILES_RENEW if _is_mac(enrollment) else Way.NEW_LINK), None


def _is_mac(enrollment: Enrollment) -> bool:
    """By the product's name: MacBookPro18,1, iMac21,1, Macmini9,1, Mac15,3."""
    return "mac" in (enrollment.product_name or "").casefold()


def _words(enrollment: Enrollment, way: Way, until: datetime | None) -> str:
    link = (
        f"a new link: `bramley enroll link --udid {enrollment.udid}`" if enrollment.udid else "a new link: `bramley enroll link`"
    )
    match way:
        case Way.OVER_THE_AIR:
            deadline = f"renews itself if it connects by {until:%Y-%m-%d}" if until else "renews itself once it connects"
            obstacle = token_obstacle(enrollment)
            return deadline if obstacle is None else f"{deadline}; it cannot be woken ({obstacle})"
        case Way.FORMER_PROFILE:
            deadline = f" by {until:%Y-%m-%d}" if until else ""
            return f"`bramley identity import` again with --profile{deadline}: its former profile is not known here; else {link}"
        case Way.PROFILES_RENEW:
            return f"on the Mac, `sudo profiles renew -type enrollment` if ADE assigned it to this server; else {link}"
        case Way.NEW_LINK:
            return link
        case Way.RELEASE:
            return f"in quarantine, where nothing is renewed: `bramley device release {enrollment.id}` ends that"
