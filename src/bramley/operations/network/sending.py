"""Having devices fetch a network identity: assigned, and renewed, by an InstallProfile with a SCEP payload.

Profiles are made before the transaction that sends them, since signatures take their time there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from bramley.mdm.commands import InstallProfile
from bramley.mdm.token_update import leave_push
from bramley.model import ids
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.networks import NetworkAssignment, NetworkChallenge, NetworkState
from bramley.operations import commands, devices
from bramley.operations.enrollment_profiles import IDENTIFIER_PREFIX
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.operations.live import Live, Snapshot
from bramley.operations.network import templates
from bramley.operations.profiles.making import values_for
from bramley.pki.scep import challenge as challenges
from bramley.profiles import network_profile
from bramley.profiles.network import Template
from bramley.profiles.network_profile import Order
from bramley.profiles.sign import sign
from bramley.storage.protocols import Tx

NETWORK_ANSWERED: Final = "network-answered"
"""The job that the answer to a network identity's InstallProfile or RemoveProfile releases."""

WAKE_EVERY: Final = timedelta(days=1)
"""How often a device is pushed to that has not answered yet."""

OVER: Final = frozenset({NetworkState.REMOVING, NetworkState.ENDED})
"""States of an assignment that has been taken back."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A profile for one device, signed, and the challenge in it; None where an outside CA knows one of its own."""

    profile: bytes = field(repr=False)
    challenge: NetworkChallenge | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A device, and what to wait for; None where it had the identity already and nothing was sent."""

    enrollment: Enrollment
    assignment: NetworkAssignment
    command: Command | None


async def assign(live: Live, template: str, names: Sequence[str], *, actor: str) -> Sequence[Sent]:
    """Has devices get an identity after a template: all of them, or none. What they have already is left as it is.

    NotFound; Conflict for what is no active device; MissingVariable or BadTemplate where a device has no value for a name, or
    one that does not fit.
    """
    here, now = live.installation, live.installation.clock.now()

    def read(tx: Tx) -> tuple[Template, list[Enrollment]]:
        found = {each.key: each for each in (active_device(tx, name) for name in names)}
        return templates.opened(tx, here.sealer, template), list(found.values())

    opened, enrollments = await here.store.read(read)
    parcels = {each.key: await make(live, opened, each, now) for each in enrollments}

    def act(tx: Tx) -> Sequence[Sent]:
        templates.require(tx, template)
        return [_assign(tx, here, active_device(tx, key), template, parcel, now, actor) for key, parcel in parcels.items()]

    return await here.store.run(act)


async def renew(live: Live, device: str, template: str | None = None, *, actor: str) -> Sequence[Sent]:
    """Sends a device its identity of a template anew, or all that it shall have: what waits unanswered is replaced.

    NotFound; Conflict where it is no active device or shall have none; MissingVariable and BadTemplate as `assign`.
    """
    here, now = live.installation, live.installation.clock.now()

    def read(tx: Tx) -> tuple[Enrollment, list[Template]]:
        enrollment = active_device(tx, device)
        return enrollment, [templates.opened(tx, here.sealer, each.template) for each in assigned(tx, enrollment, template)]

    enrollment, wanted = await here.store.read(read)
    parcels = {each.name: await make(live, each, enrollment, now) for each in wanted}

    def act(tx: Tx) -> Sequence[Sent]:
        current = active_device(tx, enrollment.key)
        known = [each for each in assigned(tx, current, template) if each.template in parcels]
        return [_sent(tx, here, current, each, parcels[each.template], now, actor) for each in known]

    return await here.store.run(act)


async def make(live: Live, template: Template, enrollment: Enrollment, now: datetime) -> Parcel:
    """A device's profile with a fresh right to the identity. Raises MissingVariable, BadTemplate, CannotSign."""
    return await asyncio.to_thread(_make, live.installation, live.current(), template, enrollment, now)


def _make(here: Installation, snapshot: Snapshot, template: Template, enrollment: Enrollment, now: datetime) -> Parcel:
    settings, secret = here.settings, challenges.new_secret()
    outside, challenge = template.outside, None
    if outside is None:
        end = now + timedelta(days=settings.scep.renewal_challenge_days)
        challenge = NetworkChallenge(challenges.digest(secret), enrollment.key, template.name, now, end)
    order = Order(
        key=enrollment.key,
        identity_id=ids.fresh(now),
        url=outside.url if outside else f"{here.url}/scep",
        challenge=outside.challenge if outside else secret,
        ca_name=outside.name if outside else f"{settings.organization} identity CA",
        organization=settings.organization,
        identifier_prefix=IDENTIFIER_PREFIX,
    )
    values, signer = values_for(enrollment, settings.organization), snapshot.signer
    network_profile.names(template, values)  # what could not be issued is not sent
    content = network_profile.profile(template, order, values).to_bytes()
    signed = sign(content, certificate=signer.certificate, key=signer.key, chain=signer.chain, now=now)
    return Parcel(signed, challenge)


def _assign(tx: Tx, here: Installation, enrollment: Enrollment, template: str, parcel: Parcel, now: datetime, actor: str) -> Sent:
    known = tx.networks.get(enrollment.key, template)
    if known is not None and known.state not in OVER:
        return Sent(enrollment, known, None)
    fresh = NetworkAssignment(enrollment.key, template, NetworkState.SENT, now, actor, now)
    if known is not None:
        fresh = replace(fresh, command_uuid=known.command_uuid)  # a removal that has not been carried out
    tx.events.append(Event(now, EventKind.NETWORK_ASSIGNED, actor, enrollment.key, detail={"template": template}))
    return _sent(tx, here, enrollment, fresh, parcel, now, actor)


def _sent(
    tx: Tx, here: Installation, enrollment: Enrollment, known: NetworkAssignment, parcel: Parcel, now: datetime, actor: str
) -> Sent:
    assignment, command = send(tx, here, enrollment, known, parcel, now=now, actor=actor)
    return Sent(enrollment, assignment, command)


def send(
    tx: Tx,
    here: Installation,
    enrollment: Enrollment,
    known: NetworkAssignment,
    parcel: Parcel,
    *,
    now: datetime,
    actor: str,
) -> tuple[NetworkAssignment, Command]:
    """Queues a parcel, in the place of what waits for the device, and a push. What was sent before entitles to nothing more."""
    take_back(tx, known, now)
    if parcel.challenge is not None:
        tx.networks.add_challenge(parcel.challenge)
    command = commands.queue(
        tx,
        here.sealer,
        enrollment,
        InstallProfile(parcel.profile),
        actor=actor,
        now=now,
        job_on_answer=NETWORK_ANSWERED,
    )
    sent = replace(
        known,
        state=NetworkState.SENT,
        changed_at=now,
        command_uuid=command.uuid,
        sent_at=now,
        look_at=now + WAKE_EVERY,
    )
    tx.networks.put(sent)
    detail = {"template": known.template, "command": command.uuid}
    tx.events.append(Event(now, EventKind.NETWORK_IDENTITY_SENT, actor, enrollment.key, detail=detail))
    leave_push(tx, enrollment.key, now)
    return sent, command


def take_back(tx: Tx, known: NetworkAssignment, now: datetime) -> None:
    """Ends what is under way of an assignment: its command is not handed out, and its challenge gets nobody a certificate."""
    if known.command_uuid is not None:
        tx.commands.withdraw(known.enrollment_key, known.command_uuid, now)
    tx.networks.void(known.enrollment_key, known.template, now)


def assigned(tx: Tx, enrollment: Enrollment, template: str | None) -> list[NetworkAssignment]:
    """What a device shall have, of one template or of all. Conflict where there is nothing."""
    found = [each for each in tx.networks.of(enrollment.key) if each.state not in OVER and template in (None, each.template)]
    if not found:
        what = f"an identity after {template}" if template else "a network identity"
        raise Conflict(f"{enrollment.id} shall not have {what}.", advice="`bramley network assign` has it get one.")
    return found


def active_device(tx: Tx, name: str) -> Enrollment:
    """A device that can be sent something. NotFound, or Conflict."""
    found = devices.resolve(tx, name)
    if found.parent is not None:
        raise Conflict(f"{name} is a user channel; network identities are its device's.", advice="Name the device.")
    if found.state is not EnrollmentState.ACTIVE:
        raise Conflict(f"{name} is {found.state}; only an active device can be sent an identity.")
    return found


def patience(here: Installation) -> timedelta:
    """How long an unanswered InstallProfile stays before another takes its place: while its challenge is good."""
    return min(timedelta(days=7), timedelta(days=here.settings.scep.renewal_challenge_days) / 2)
