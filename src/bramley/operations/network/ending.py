"""How network identities end: taken back, revoked, replaced, or because their enrollment has ended.

What Bramley issued is revoked, so that whoever asks CRL or OCSP hears of it. What an outside CA issued is only retired here: that
CA has to be told by whoever runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bramley.lifecycle import states
from bramley.mdm.commands import RemoveProfile
from bramley.mdm.token_update import leave_delivery, leave_push
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.lineages import RevocationReason, Version, VersionState
from bramley.model.networks import FROM_TEMPLATES, RECIPIENT, NetworkAssignment, NetworkState, owner_of
from bramley.operations import certificates, commands, devices
from bramley.operations.enrollment_profiles import IDENTIFIER_PREFIX
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from bramley.operations.network.sending import NETWORK_ANSWERED, OVER, assigned, take_back
from bramley.operations.network.standing import versions
from bramley.operations.records import move, require_reason
from bramley.storage.protocols import Tx

_REACHED: Final = frozenset({EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED})
_CURRENT: Final = frozenset({VersionState.ISSUED, VersionState.ACTIVE})
_UNASSIGNED: Final = "taken away from the device"
_ENROLLMENT_ENDED: Final = "enrollment ended"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken away from a device: the certificates that ended, and the RemoveProfile to wait for, if it can be told."""

    enrollment: Enrollment
    ended: Sequence[Version]
    command: Command | None


async def unassign(installation: Installation, template: str, names: Sequence[str], *, actor: str) -> Sequence[Taken]:
    """Takes the identity of a template away from devices, all or none: its profile is removed, its certificates end now.

    NotFound; Conflict where a device shall have none.
    """
    now = installation.clock.now()

    def act(tx: Tx) -> Sequence[Taken]:
        found = {each.key: each for each in (devices.resolve(tx, name) for name in names)}
        return [_take_away(tx, installation, each, template, now, actor) for each in found.values()]

    return await installation.store.run(act)


async def revoke(
    installation: Installation,
    name: str,
    template: str | None = None,
    *,
    reason: str,
    because: RevocationReason | None = None,
    actor: str,
) -> Sequence[Version]:
    """Revokes network identities that Bramley issued: one by its serial number or SHA-256, or a device's, of one template or all.

    Nothing is sent in their place until `renew` is asked for. NotFound; Conflict where there is nothing to revoke, or an
    outside CA would have to do it; Invalid for an empty reason.
    """
    now, reason = installation.clock.now(), require_reason(reason)

    def act(tx: Tx) -> Sequence[Version]:
        owner, doomed = _doomed(tx, name, template)
        revocable = [version for version in doomed if VersionState.REVOKED in states.FOLLOWS[version.state]]
        if not revocable:
            raise Conflict(f"{name} has no network identity to revoke.")
        foreign = next((version for version in revocable if version.issuer_version is None), None)
        if foreign is not None:
            raise Conflict(
                f"The certificate {foreign.serial} was issued by an outside CA: {foreign.issuer}.",
                advice="Have that CA revoke it; `bramley network unassign` takes it away from the device.",
            )
        hit = {version.lineage_id for version in revocable if version.state in _CURRENT}
        for assignment in tx.networks.of(owner):
            if assignment.state not in OVER and {v.lineage_id for v in versions(tx, owner, assignment.template)} & hit:
                _stop(tx, assignment, f"revoked: {reason}", now)
                _deliver_anew(tx, assignment, now)
        return [_revoked(tx, version, owner, reason, because or _usual(version), now, actor) for version in revocable]

    return await installation.store.run(act)


def end_all(tx: Tx, key: EnrollmentKey, *, now: datetime, actor: str) -> int:
    """Ends all assignments of an enrollment that has ended or begun anew, with their certificates; how many."""
    living = [assignment for assignment in tx.networks.of(key) if assignment.state is not NetworkState.ENDED]
    for assignment in living:
        _end(tx, assignment, _ENROLLMENT_ENDED, now, actor)
        tx.networks.put(replace(assignment, state=NetworkState.ENDED, changed_at=now, command_uuid=None, look_at=None))
    return len(living)


async def retire_superseded(installation: Installation, *, actor: str, limit: int = 500) -> int:
    """Retires identities that were superseded longer ago than the grace; how many."""
    now = installation.clock.now()
    before = now - timedelta(hours=installation.settings.identity.grace_hours)

    def act(tx: Tx) -> int:
        kinds = sorted(FROM_TEMPLATES)
        old = [v for kind in kinds for v in tx.lineages.changed_before(kind, VersionState.SUPERSEDED, before, limit)]
        for version in old:
            move(tx, version, VersionState.RETIRED, now=now, actor=actor, reason="replaced", enrollment=_owner(tx, version))
        return len(old)

    return await installation.store.run(act)


def _take_away(tx: Tx, here: Installation, enrollment: Enrollment, template: str, now: datetime, actor: str) -> Taken:
    (assignment,) = assigned(tx, enrollment, template)
    ended = _end(tx, assignment, _UNASSIGNED, now, actor)
    _deliver_anew(tx, assignment, now)
    command = None
    if enrollment.state in _REACHED:
        request = RemoveProfile(f"{IDENTIFIER_PREFIX}.network.{template}")
        command = commands.queue(tx, here.sealer, enrollment, request, actor=actor, now=now, job_on_answer=NETWORK_ANSWERED)
        leave_push(tx, enrollment.key, now)
    state = NetworkState.REMOVING if command else NetworkState.ENDED
    uuid = command.uuid if command else None
    tx.networks.put(replace(assignment, state=state, changed_at=now, command_uuid=uuid, look_at=None, attempts=0, problem=""))
    tx.events.append(Event(now, EventKind.NETWORK_UNASSIGNED, actor, enrollment.key, detail={"template": template}))
    return Taken(enrollment, ended, command)


def _deliver_anew(tx: Tx, assignment: NetworkAssignment, now: datetime) -> None:
    """What waits encrypted to a recipient that is none any more is taken back, and made for whatever has its place."""
    if assignment.template == RECIPIENT:
        leave_delivery(tx, assignment.enrollment_key, now)


def _end(tx: Tx, assignment: NetworkAssignment, reason: str, now: datetime, actor: str) -> list[Version]:
    """Ends what is under way, and every live certificate."""
    take_back(tx, assignment, now)
    key = assignment.enrollment_key
    ended = []
    for version in versions(tx, key, assignment.template):
        if version.state in states.LIVE and version.issuer_version is not None:
            ended.append(_revoked(tx, version, key, reason, RevocationReason.CESSATION_OF_OPERATION, now, actor))
        elif version.state in states.LIVE:
            ended.append(move(tx, version, VersionState.RETIRED, now=now, actor=actor, reason=reason, enrollment=key))
    return ended


def _stop(tx: Tx, assignment: NetworkAssignment, problem: str, now: datetime) -> None:
    """Ends what is under way, and has nothing done by itself until somebody asks for it."""
    take_back(tx, assignment, now)
    tx.networks.put(
        replace(
            assignment,
            state=NetworkState.FAILED,
            changed_at=now,
            command_uuid=None,
            look_at=None,
            problem=problem,
        )
    )


def _doomed(tx: Tx, name: str, template: str | None) -> tuple[EnrollmentKey, Sequence[Version]]:
    """Whose certificates, and which: those that count of a device, or the one of a serial number in whatever state."""
    if template is None:
        try:
            version = certificates.find(tx, name)
        except NotFound:
            pass
        else:
            owner = _owner(tx, version)
            if owner is None:
                raise Conflict(f"The certificate {name} is not a network identity.")
            return owner, [version]
    enrollment = devices.resolve(tx, name)
    found = [
        version
        for each in tx.networks.of(enrollment.key)
        if template in (None, each.template)
        for version in versions(tx, enrollment.key, each.template)
    ]
    return enrollment.key, [version for version in found if version.state in states.LIVE]


def _owner(tx: Tx, version: Version) -> EnrollmentKey | None:
    lineage = tx.lineages.get(version.lineage_id)
    return owner_of(lineage.name) if lineage is not None and lineage.kind in FROM_TEMPLATES else None


def _usual(version: Version) -> RevocationReason:
    retired = version.state is VersionState.RETIRED
    return RevocationReason.CESSATION_OF_OPERATION if retired else RevocationReason.UNSPECIFIED


def _revoked(
    tx: Tx, version: Version, key: EnrollmentKey, reason: str, because: RevocationReason, now: datetime, actor: str
) -> Version:
    return move(tx, version, VersionState.REVOKED, now=now, actor=actor, reason=reason, enrollment=key, revoked_for=because)
