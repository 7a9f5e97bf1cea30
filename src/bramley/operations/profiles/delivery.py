"""Sending a device the profiles that it shall have, and removing those that it shall not; and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from bramley.errors import BramleyError
from bramley.lifecycle import installs
from bramley.lifecycle.installs import Act, Step
from bramley.mdm.commands import InstallProfile, RemoveProfile
from bramley.mdm.token_update import DELIVER_PROFILES, leave_delivery, leave_push
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.jobs import Job
from bramley.model.lineages import Version
from bramley.model.profiles import Handling, Installation, InstallState, ProfileID, StoredProfile
from bramley.operations import commands, former_profiles
from bramley.operations.identities import device_of
from bramley.operations.identity_standing import errors_of, in_words
from bramley.operations.installation import Installation as Here
from bramley.operations.live import Live
from bramley.operations.profiles import channels, checking, making, recipients
from bramley.operations.profiles.keeping import content_place
from bramley.operations.profiles.making import Recipe
from bramley.pki import certificates
from bramley.profiles.encrypt import ContentCipher
from bramley.storage.protocols import Tx

PROFILE_ANSWERED: Final = "profile-answered"
"""The job that the answer to a profile's InstallProfile or RemoveProfile releases."""

LONGEST_PROBLEM: Final = 2000


@dataclass(frozen=True, slots=True)
class _Situation:
    """Everything that decides what a channel of a device is to be sent now."""

    channel: Enrollment
    device: Enrollment
    steps: tuple[Step, ...]
    wanted: Mapping[ProfileID, StoredProfile]
    standing: Mapping[ProfileID, Installation]
    recipient: Version | None
    awaited: str
    """What it waits for, where nothing can be encrypted to it though it has an identity; else empty."""
    managed_by: str | None = None
    """The PayloadIdentifier of its enrollment profile, where that is a former MDM's: nothing takes its place, or removes it."""

    def waits(self, step: Step) -> bool:
        """Whether a step has to wait until something can be encrypted to the device."""
        return bool(self.awaited) and step.act is Act.INSTALL and self.wanted[step.profile_id].handling is Handling.ENCRYPT


@dataclass(frozen=True, slots=True)
class _Made:
    """The message of a step, or why there is none."""

    message: bytes | None = field(repr=False)
    problem: str = ""


async def deliver(live: Live, key: EnrollmentKey, *, actor: str) -> int:
    """Queues what a device, and each of its user channels, is to be sent now; how many commands. Nothing for what is not active.

    Profiles are made before the transaction. What has changed until then is left to the next time, which is asked for.
    """
    every = await live.installation.store.read(lambda tx: channels.of_device(tx, key))
    return sum([await _deliver(live, channel, actor) for channel in every])


async def _deliver(live: Live, key: EnrollmentKey, actor: str) -> int:
    here, now = live.installation, live.installation.clock.now()
    situation = await here.store.read(lambda tx: _situation(tx, key, now))
    if situation is None or not situation.steps:
        return 0
    invariants = situation.device.invariants
    managed_by = await former_profiles.identifier(here, invariants)
    situation = replace(situation, managed_by=managed_by)
    if any(situation.waits(step) for step in situation.steps):
        try:
            await recipients.have_fetched(live, situation.device.key, actor=actor)
        except BramleyError as error:
            situation = replace(situation, awaited=f"{situation.awaited}, and could not be told to: {error.message}")
    made = {step: await asyncio.to_thread(_make, live, situation, step, now) for step in situation.steps}

    def act(tx: Tx) -> int:
        current = _situation(tx, key, now)
        if current is None:
            return 0
        if current.device.invariants != invariants:
            leave_delivery(tx, key, now)
            return 0
        current = replace(current, managed_by=managed_by)
        if set(current.steps) - made.keys():
            leave_delivery(tx, key, now)
        done = [_take(tx, here, current, step, made[step], now, actor) for step in current.steps if step in made]
        if any(done):
            leave_push(tx, key, now)
        return sum(done)

    return await here.store.run(act)


def settle(tx: Tx, command: Command, *, now: datetime) -> None:
    """Notes what a device answered. A failure is tried again later, with the device's own words kept."""
    found = next((e for e in tx.profiles.on_device(command.enrollment_key) if e.command_uuid == command.uuid), None)
    if found is None:
        return  # replaced meanwhile
    removing = found.state is InstallState.REMOVING
    if command.state is CommandState.ACKNOWLEDGED:
        if removing:
            tx.profiles.forget(found.enrollment_key, found.profile_id)
            return
        tx.profiles.put(replace(found, state=InstallState.INSTALLED, changed_at=now, command_uuid=None, attempts=0, problem=""))
        checking.leave(tx, found.enrollment_key, now)
        return
    words = in_words(errors_of(command))
    problem = f"{command.state}{words}"
    if removing:
        checking.leave_now(tx, found.enrollment_key, now)  # it may never have been there, or be gone already
    failed(tx, found if removing else replace(found, state=InstallState.FAILED), problem, now)


def failed(tx: Tx, installation: Installation, problem: str, now: datetime) -> None:
    """Notes a failure in a row, and has it tried again when its time has come."""
    noted = replace(
        installation,
        changed_at=now,
        command_uuid=None,
        attempts=installation.attempts + 1,
        problem=problem[:LONGEST_PROBLEM],
    )
    tx.profiles.put(noted)
    again, args = installs.retry_at(noted), {"enrollment_key": noted.enrollment_key}
    tx.jobs.add(Job(DELIVER_PROFILES, run_at=again, created_at=now, args=args))


def _situation(tx: Tx, key: EnrollmentKey, now: datetime) -> _Situation | None:
    channel = tx.enrollments.get(key)
    if channel is None:
        return None
    device = device_of(tx, channel)
    if not channel.state is device.state is EnrollmentState.ACTIVE:
        return None
    wanted, standing = channels.wanted(tx, channel, device), tx.profiles.on_device(key)
    recipient = recipients.recipient_of(tx, device.key, now)
    steps = installs.steps(wanted, standing, recipient=recipient.sha256 if recipient else None, now=now)
    return _Situation(
        channel,
        device,
        steps,
        {profile.id: profile for profile in wanted},
        {each.profile_id: each for each in standing},
        recipient,
        "" if recipient else recipients.awaited(tx, device.key),
    )


def _make(live: Live, situation: _Situation, step: Step, now: datetime) -> _Made:
    """Everything that takes time. What cannot be made is not sent, in clear or unsigned least of all."""
    if step.act is not Act.INSTALL:
        return _Made(None)
    profile, here = situation.wanted[step.profile_id], live.installation
    if profile.identifier == situation.managed_by:
        return _Made(None, f"the device is managed by a profile of that identifier, {profile.identifier}, of its former MDM")
    if situation.waits(step):
        return _Made(None, situation.awaited)
    recipient = situation.recipient if profile.handling is Handling.ENCRYPT else None
    try:
        recipe = Recipe(
            here.sealer.open(profile.content, content_place(profile.id)),
            profile.handling,
            making.values_for(situation.device, here.settings.organization, channel=situation.channel),
            certificates.load(recipient.certificate) if recipient and recipient.certificate else None,
            ContentCipher(here.settings.profiles.cipher),
        )
        return _Made(making.make(recipe, live.current().signer, now))
    except BramleyError as error:
        return _Made(None, error.message)


def _take(tx: Tx, here: Here, situation: _Situation, step: Step, made: _Made, now: datetime, actor: str) -> bool:
    """Does one step; whether it queued a command."""
    key = situation.channel.key
    if step.instead_of is not None:
        tx.commands.withdraw(key, step.instead_of, now)
    if step.act is Act.FORGET:
        tx.profiles.forget(key, step.profile_id)
        return False
    known = situation.standing.get(step.profile_id)
    fresh = Installation(key, step.profile_id, step.revision, InstallState.SENT, now, recipient=step.recipient)
    if known is not None and known.revision == step.revision:
        fresh = replace(fresh, attempts=known.attempts, problem=known.problem)
    if step.act is Act.REMOVE:
        return _queue_removal(tx, here, situation, replace(fresh, state=InstallState.REMOVING), now, actor)
    if made.message is None:
        failed(tx, replace(fresh, state=InstallState.FAILED), f"not sent: {made.problem}", now)
        return False
    uuid = _queue(tx, here, situation.channel, InstallProfile(made.message), now, actor)
    tx.profiles.put(replace(fresh, command_uuid=uuid))
    return True


def _queue_removal(tx: Tx, here: Here, situation: _Situation, installation: Installation, now: datetime, actor: str) -> bool:
    profile = tx.profiles.get(installation.profile_id)
    if profile is None:
        raise AssertionError("a profile that stands on a device is not deleted")
    if profile.identifier == situation.managed_by:
        tx.profiles.forget(installation.enrollment_key, installation.profile_id)
        return False
    uuid = _queue(tx, here, situation.channel, RemoveProfile(profile.identifier), now, actor)
    tx.profiles.put(replace(installation, command_uuid=uuid))
    return True


def _queue(
    tx: Tx, here: Here, enrollment: Enrollment, request: InstallProfile | RemoveProfile, now: datetime, actor: str
) -> CommandUUID:
    return commands.queue(tx, here.sealer, enrollment, request, actor=actor, now=now, job_on_answer=PROFILE_ANSWERED).uuid


def listed(tx: Tx, key: EnrollmentKey, identifiers: Sequence[str], *, at: datetime, now: datetime) -> int:
    """Compares what a device listed (ProfileList) at a moment with what is known to be on it; how many it has lost.

    What was to be removed and is not listed is gone; what was installed and is not listed is missing, and sent again, as is all
    that it shall have and was never sent. Of what has changed since, the list says nothing: a device that answers several
    commands at once lists what it had before.
    """
    there, lost = set(identifiers), 0
    for each in tx.profiles.on_device(key):
        profile = tx.profiles.get(each.profile_id)
        if profile is None or profile.identifier in there or each.changed_at > at:
            continue
        if each.state is InstallState.REMOVING:
            if each.command_uuid is not None:
                tx.commands.withdraw(key, each.command_uuid, now)
            tx.profiles.forget(key, each.profile_id)
        elif each.state is InstallState.INSTALLED:
            tx.profiles.put(replace(each, state=InstallState.MISSING, changed_at=now))
            lost += 1
    leave_delivery(tx, key, now)
    return lost
