"""Who shall have which profile: devices by name, or by their tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bramley.mdm.token_update import leave_delivery
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentID
from bramley.model.events import Event, EventKind
from bramley.model.profiles import Assignment, Installation, StoredProfile, TargetKind
from bramley.operations import commands, devices
from bramley.operations.errors import Conflict
from bramley.operations.identities import device_of
from bramley.operations.installation import Installation as Here
from bramley.operations.profiles import channels, checking, keeping
from bramley.operations.profiles.checking import PROFILES_LISTED
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Target:
    """A device, named as `device list` does, or a tag."""

    kind: TargetKind
    name: str


async def assign(here: Here, profile: str, targets: Sequence[Target], *, actor: str) -> int:
    """Has devices get a profile, now and after a wipe; how many targets are new. All of them, or none.

    NotFound for a profile or device that is not there, Conflict for a user channel, Invalid for a tag that is none.
    """
    now = here.clock.now()

    def act(tx: Tx) -> int:
        found, news = keeping.find(tx, profile), 0
        for target in targets:
            new = tx.profiles.assign(Assignment(found.id, target.kind, _resolved(tx, target), now, actor))
            news += new
            if new:
                detail = {"profile": found.identifier, target.kind.value: target.name}
                tx.events.append(Event(now, EventKind.PROFILE_ASSIGNED, actor, detail=detail))
        if news:
            keeping.fan_out(tx, found.id, now)
        return news

    return await here.store.run(act)


async def unassign(here: Here, profile: str, targets: Sequence[Target], *, actor: str) -> int:
    """Ends assignments: a device that has no other reason to have the profile removes it; how many there were."""
    now = here.clock.now()

    def act(tx: Tx) -> int:
        found, ended = keeping.find(tx, profile), 0
        for target in targets:
            was = tx.profiles.unassign(found.id, target.kind, _resolved(tx, target))
            ended += was
            if was:
                detail = {"profile": found.identifier, target.kind.value: target.name}
                tx.events.append(Event(now, EventKind.PROFILE_UNASSIGNED, actor, detail=detail))
        if ended:
            keeping.fan_out(tx, found.id, now)
        return ended

    return await here.store.run(act)


async def tag(here: Here, device: str, *, add: Sequence[str] = (), remove: Sequence[str] = (), actor: str) -> Sequence[str]:
    """Gives a device tags and takes others away; those it has now. Profiles follow."""
    now = here.clock.now()
    for each in (*add, *remove):
        devices.require_tag(each)

    def act(tx: Tx) -> Sequence[str]:
        enrollment = _device(tx, device)
        name = EnrollmentID(enrollment.id or "")
        added = [each for each in add if tx.tags.add(each, name)]
        removed = [each for each in remove if tx.tags.remove(each, name)]
        if added or removed:
            detail = {"added": added, "removed": removed}
            tx.events.append(Event(now, EventKind.DEVICE_TAGGED, actor, enrollment.key, detail=detail))
            leave_delivery(tx, enrollment.key, now)
        return tx.tags.of(name)

    return await here.store.run(act)


async def check(here: Here, device: str, *, actor: str) -> Command:
    """Asks a device or user channel which profiles it has (ProfileList); what it has lost is sent again. NotFound, Conflict."""
    now = here.clock.now()

    def act(tx: Tx) -> Command:
        enrollment = devices.resolve(tx, device)
        for earlier in commands.pending_of(tx, enrollment.key, PROFILES_LISTED):
            tx.commands.withdraw(enrollment.key, earlier.uuid, now)
        return checking.ask(tx, here.sealer, enrollment, now=now, actor=actor)

    return await here.store.run(act)


async def standing(here: Here, device: str) -> Sequence[tuple[StoredProfile, Installation | None]]:
    """Every profile that a device or a user channel has or shall have, with how it stands; None where nothing was done yet."""

    def read(tx: Tx) -> Sequence[tuple[StoredProfile, Installation | None]]:
        enrollment = devices.resolve(tx, device)
        wanted = channels.wanted(tx, enrollment, device_of(tx, enrollment))
        on_it = {each.profile_id: each for each in tx.profiles.on_device(enrollment.key)}
        rest = (tx.profiles.get(profile_id) for profile_id in on_it.keys() - {profile.id for profile in wanted})
        every = [*wanted, *(profile for profile in rest if profile is not None)]
        return [(profile, on_it.get(profile.id)) for profile in sorted(every, key=lambda each: each.identifier)]

    return await here.store.read(read)


def _resolved(tx: Tx, target: Target) -> str:
    if target.kind is TargetKind.TAG:
        devices.require_tag(target.name)
        return target.name
    return _device(tx, target.name).id or ""


def _device(tx: Tx, name: str) -> Enrollment:
    enrollment = devices.resolve(tx, name)
    if enrollment.parent is not None:
        raise Conflict(f"{name} is a user channel; profiles are for its device.", advice="Name the device.")
    if enrollment.id is None:
        raise Conflict(f"{name} has not said yet which device it is.")
    return enrollment
