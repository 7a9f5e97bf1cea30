"""The life of a device identity after it was issued: first use, renewal, retirement, revocation.

Suspension has a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bramley.lifecycle import states
from bramley.mdm.binding import AuthenticatedDevice
from bramley.mdm.commands import InstallProfile
from bramley.mdm.connect import RENEWAL_ANSWERED
from bramley.mdm.records import end as check_out
from bramley.mdm.records import retire_identities
from bramley.mdm.token_update import leave_delivery, leave_push
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState, IdentityRoute, Purpose
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason, Version, VersionState
from bramley.operations import certificates, commands, devices, enrolling, enrollment_profiles, pkcs12_identities, records
from bramley.operations.enrollment_profiles import Recipient
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.storage.protocols import Tx

_STANDING = states.LIVE | {VersionState.SUSPENDED}
"""States of an identity that is, or may again be, of use to whoever holds its key."""


def first_use(tx: Tx, device: AuthenticatedDevice, *, now: datetime) -> None:
    """An issued identity was seen for the first time: it is the active one now, the one before is superseded.

    Belongs after what the device asked for, in the same transaction: until then its request is the first. Refused for one that
    came with the profile to enroll, where the link behind that has been used up since.
    """
    presented = device.presented
    version = tx.lineages.version(presented.version_id)
    if version is None or version.state not in {VersionState.ISSUED, VersionState.DISTRIBUTED}:
        return  # another request was faster
    actor = f"device:{device.sender.device}"
    route = records.route_of(tx, version)
    if route == IdentityRoute.PKCS12 and presented.purpose is Purpose.ENROLL:
        pkcs12_identities.use_link(tx, presented.enrollment_key, now)
    records.promote(tx, version, now=now, actor=actor, enrollment=presented.enrollment_key)
    if route:
        records.reroute(tx, version.lineage_id, route)
    # what waits for the device may be encrypted to the identity before
    leave_delivery(tx, presented.enrollment_key, now)


async def renew(live: Live, device: str, *, actor: str) -> Command:
    """Sends the device its enrollment profile with a fresh challenge whose purpose is renewal, or a fresh identity; what to
    wait for.

    A renewal that is still unanswered is withdrawn first: one silent command never blocks the next try.
    """
    installation, snapshot = live.installation, live.current()
    now = installation.clock.now()
    enrollment = await installation.store.read(lambda tx: _renewable(tx, device))
    topic = enrollment.topic or enrolling.topic_to_enroll_under(snapshot)
    life = timedelta(days=installation.settings.scep.renewal_challenge_days)
    recipient = Recipient(enrollment.key, Purpose.RENEW, topic, enrollment.invariants)
    delivery = await enrollment_profiles.prepare(installation, snapshot, recipient, life, now)

    def start(tx: Tx) -> Command:
        current = _renewable(tx, enrollment.key)
        for unanswered in commands.pending_of(tx, current.key, RENEWAL_ANSWERED):
            pkcs12_identities.take_back(tx, unanswered, now=now, actor=actor)
        withdraw_renewals(tx, current.key, now)
        command = commands.queue(
            tx,
            installation.sealer,
            current,
            InstallProfile(delivery.record(tx)),
            actor=actor,
            now=now,
            job_on_answer=RENEWAL_ANSWERED,
        )
        detail = {"command": command.uuid}
        tx.events.append(Event(now, EventKind.RENEWAL_STARTED, actor, current.key, detail=detail))
        leave_push(tx, current.key, now)
        return command

    return await installation.store.run(start)


def withdraw_renewals(tx: Tx, key: EnrollmentKey, now: datetime) -> None:
    """Ends every renewal that is under way: its command is not handed out, and its challenge gets nobody an identity."""
    for command in commands.pending_of(tx, key, RENEWAL_ANSWERED):
        tx.commands.withdraw(key, command.uuid, now)
    tx.challenges.void(key, Purpose.RENEW, now)


async def revoke(
    installation: Installation, name: str, *, reason: str, because: RevocationReason | None = None, actor: str
) -> Sequence[Version]:
    """Revokes every identity of a device, or the one with a serial number, a retired one too; effective at once.

    `reason` is a person's words, `because` what others are told (RFC 5280 section 5.3.1): by default unspecified, or
    cessationOfOperation for what was out of use. NotFound where the name is nobody's, Conflict where there is nothing to revoke,
    Invalid for an empty reason.
    """
    now, reason = installation.clock.now(), records.require_reason(reason)

    def act(tx: Tx) -> Sequence[Version]:
        enrollment, doomed = targets(tx, name)
        doomed = [version for version in doomed if VersionState.REVOKED in states.FOLLOWS[version.state]]
        if not doomed:
            raise Conflict(f"{name} has no live identity to revoke.")
        return revoke_all(tx, enrollment, doomed, reason=reason, because=because, now=now, actor=actor)

    return await installation.store.run(act)


def revoke_all(
    tx: Tx,
    enrollment: Enrollment,
    doomed: Sequence[Version],
    *,
    reason: str,
    because: RevocationReason | None,
    now: datetime,
    actor: str,
) -> Sequence[Version]:
    """Revokes these identities of an enrollment, and ends what was under way to replace them.

    A device without an identity cannot speak to us again, so its enrollment ends and its commands are cancelled. With one that
    was in use go those that were sent over it by PKCS#12 and not used yet: whoever holds its key may have them.
    """
    key = enrollment.key
    if any(version.state in _STANDING for version in doomed):
        doomed = [*doomed, *(each for each in pkcs12_identities.unused(tx, key) if each.id not in {one.id for one in doomed})]
    revoked = [
        records.move(
            tx,
            version,
            VersionState.REVOKED,
            now=now,
            actor=actor,
            reason=reason,
            enrollment=key,
            revoked_for=because or _usual_reason(enrollment, version),
        )
        for version in doomed
    ]
    # whoever holds the key may have fetched the challenge of a renewal with it
    withdraw_renewals(tx, key, now)
    if not standing(tx, key):
        tx.challenges.void(key, Purpose.ENROLL, now)
        if enrollment.state is not EnrollmentState.CHECKED_OUT:
            end(tx, enrollment, now=now, actor=actor)
    return revoked


def _usual_reason(enrollment: Enrollment, version: Version) -> RevocationReason:
    out_of_use = version.state is VersionState.RETIRED or enrollment.state is EnrollmentState.CHECKED_OUT
    return RevocationReason.CESSATION_OF_OPERATION if out_of_use else RevocationReason.UNSPECIFIED


def end(tx: Tx, enrollment: Enrollment, *, now: datetime, actor: str) -> None:
    """Ends an enrollment and its channels: nothing is sent any more, and its place is free."""
    cancelled = check_out(tx, enrollment, now)
    retire_identities(tx, enrollment.key, now)
    tx.events.append(Event(now, EventKind.ENROLLMENT_CHECKED_OUT, actor, enrollment.key, detail={"cancelled": cancelled}))


def retire_all(tx: Tx, key: EnrollmentKey, *, now: datetime, actor: str) -> int:
    """Retires every live identity of an enrollment that has ended; how many. None of one that has begun again since."""
    enrollment = tx.enrollments.get(key)
    if enrollment is None or enrollment.state is not EnrollmentState.CHECKED_OUT:
        return 0
    live = [version for version in standing(tx, key) if version.state in states.LIVE]
    for version in live:
        records.move(tx, version, VersionState.RETIRED, now=now, actor=actor, reason="enrollment ended", enrollment=key)
    return len(live)


async def retire_superseded(installation: Installation, *, actor: str, limit: int = 500) -> int:
    """Retires identities that were superseded longer ago than the grace; how many."""
    now = installation.clock.now()
    before = now - timedelta(hours=installation.settings.identity.grace_hours)

    def act(tx: Tx) -> int:
        old = tx.lineages.changed_before(Kind.DEVICE_IDENTITY, VersionState.SUPERSEDED, before, limit)
        for version in old:
            records.move(tx, version, VersionState.RETIRED, now=now, actor=actor, reason="replaced")
        return len(old)

    return await installation.store.run(act)


def _renewable(tx: Tx, device: str) -> Enrollment:
    enrollment = devices.resolve(tx, device)
    if enrollment.parent is not None:
        raise Conflict(f"{device} is a user channel: the identity is its device's.", advice="Renew the device's.")
    if enrollment.state is not EnrollmentState.ACTIVE:
        raise Conflict(f"{device} is {enrollment.state}; only an active device can be sent a renewal.")
    if not any(version.state in states.LIVE for version in standing(tx, enrollment.key)):
        raise Conflict(f"{device} has no identity in force.", advice="Is it suspended? `bramley identity resume` ends that.")
    return enrollment


def standing(tx: Tx, key: EnrollmentKey) -> list[Version]:
    """The identities of an enrollment that are live or suspended, oldest first."""
    versions = (tx.lineages.version(binding.version_id) for binding in tx.enrollments.bindings(key))
    return [version for version in versions if version is not None and version.state in _STANDING]


def targets(tx: Tx, name: str) -> tuple[Enrollment, list[Version]]:
    """Whose identities, and which: all that stand of a device, or the one of a serial number in whatever state.

    A certificate's name first: a device could call itself by another's serial number. NotFound, or Conflict for another kind
    of certificate.
    """
    try:
        version = certificates.find(tx, name)
    except NotFound:
        enrollment = device_of(tx, devices.resolve(tx, name))
        return enrollment, standing(tx, enrollment.key)
    binding = tx.enrollments.binding(version.sha256 or "")
    found = tx.enrollments.get(binding.enrollment_key) if binding else None
    if found is None:
        raise Conflict(f"The certificate {name} is not a device identity.")
    return found, [version]


def device_of(tx: Tx, enrollment: Enrollment) -> Enrollment:
    """The device that a user channel belongs to; a device itself."""
    parent = tx.enrollments.get(enrollment.parent) if enrollment.parent else None
    return parent or enrollment
