"""Suspending a device's identity while something is unclear, and taking it back into force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bramley.lifecycle import states
from bramley.mdm.token_update import leave_delivery, leave_push
from bramley.model.enrollments import Enrollment, EnrollmentState, Purpose
from bramley.model.lineages import Version, VersionState
from bramley.operations import identities, pkcs12_identities, records
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.storage.protocols import Tx


async def suspend(installation: Installation, name: str, *, reason: str, actor: str) -> Sequence[Version]:
    """Suspends the identity in force of a device, or the one with a serial number; effective at its next request.

    By the device's name nothing else speaks for it meanwhile either: what was superseded or not used yet is retired. A renewal
    that is under way ends in both cases, since its challenge would be good for another identity, or it brought one. Enrollment
    and queue stay. NotFound where the name is nobody's, Conflict where that identity is not in force, Invalid for an empty
    reason.
    """
    now, reason = installation.clock.now(), records.require_reason(reason)

    def act(tx: Tx) -> Sequence[Version]:
        enrollment, found = identities.targets(tx, name)
        in_force = [version for version in found if version.state is VersionState.ACTIVE]
        if not in_force:
            raise Conflict(
                f"{name} has no identity in force to suspend{_instead(found)}.", advice="What may not return is revoked."
            )
        key = enrollment.key
        identities.withdraw_renewals(tx, key, now)
        tx.challenges.void(key, Purpose.ENROLL, now)
        brought = [version for version in pkcs12_identities.unused(tx, key) if version not in found]
        for version in (*found, *brought):
            if version.state in states.LIVE and version not in in_force:
                _move(tx, enrollment, version, VersionState.RETIRED, "the device was suspended", now, actor)
        return [_move(tx, enrollment, version, VersionState.SUSPENDED, reason, now, actor) for version in in_force]

    return await installation.store.run(act)


async def resume(installation: Installation, name: str, *, reason: str = "", actor: str) -> Version:
    """Takes a suspended identity back into force: the device's latest, or the one with a serial number. A push is left, and what
    could not be encrypted to it meanwhile goes out.

    Conflict where it is not suspended, has ended meanwhile, was overtaken by a newer one that is in force, or where its
    enrollment has ended.
    """
    now = installation.clock.now()

    def act(tx: Tx) -> Version:
        enrollment, found = identities.targets(tx, name)
        suspended = [version for version in found if version.state is VersionState.SUSPENDED]
        if not suspended:
            raise Conflict(f"{name} has no suspended identity{_instead(found)}.")
        version = max(suspended, key=lambda each: each.number)
        _require_resumable(tx, enrollment, version, now)
        resumed = records.promote(tx, version, now=now, actor=actor, enrollment=enrollment.key, reason=reason)
        leave_push(tx, enrollment.key, now)
        leave_delivery(tx, enrollment.key, now)
        return resumed

    return await installation.store.run(act)


def _require_resumable(tx: Tx, enrollment: Enrollment, version: Version, now: datetime) -> None:
    if enrollment.state is EnrollmentState.CHECKED_OUT:
        raise Conflict(f"The enrollment of {version.serial} has ended.", advice="Enroll the device again.")
    if version.expired(now):
        raise Conflict(
            f"The identity {version.serial} expired on {version.not_after:%Y-%m-%d}.", advice="Enroll the device again."
        )
    newer = [each for each in identities.standing(tx, enrollment.key) if each.number > version.number]
    if any(each.state in states.LIVE for each in newer):
        raise Conflict(
            f"The identity {version.serial} was overtaken: {newer[-1].serial} is {newer[-1].state}.",
            advice="The device has a newer one. Revoke this one.",
        )


def _move(
    tx: Tx, enrollment: Enrollment, version: Version, state: VersionState, reason: str, now: datetime, actor: str
) -> Version:
    return records.move(tx, version, state, now=now, actor=actor, reason=reason, enrollment=enrollment.key)


def _instead(found: Sequence[Version]) -> str:
    """What is there, for a message."""
    return f" (it is {', '.join(version.state for version in found)})" if found else ""
