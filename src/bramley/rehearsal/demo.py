"""The demo: a fleet enrolls, is pushed, answers commands, renews; one identity is revoked; four attackers try everything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from bramley.errors import BramleyError
from bramley.mdm.commands import (
    CertificateList,
    DeviceInformation,
    InstallProfile,
    ProfileList,
    RemoveProfile,
    Request,
    SecurityInfo,
)
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentState
from bramley.model.lineages import VersionState
from bramley.operations import certificates, commands, devices, identities
from bramley.pki.certificates import der
from bramley.profiles.build import Profile
from bramley.profiles.payloads import RootCertificatePayload
from bramley.profiles.sign import sign
from bramley.rehearsal import attacks, profiles
from bramley.rehearsal.cast import Cast, awake
from bramley.rehearsal.outcome import Attack, Outcome
from bramley.rehearsal.stage import Stage
from bramley.sandbox.device import SimulatedDevice
from bramley.storage.protocols import Tx

PATIENCE: Final = 60.0
PLAIN: Final = "demo.plain"


class Audience(Protocol):
    """Whoever is told how the story goes on."""

    def step(self, text: str, failures: Sequence[str]) -> AbstractContextManager[None]:
        """Around each step. It went wrong if something was added to `failures` meanwhile, or if it raised."""
        ...


async def play(stage: Stage, cast: Cast, audience: Audience) -> Outcome:
    """The whole story on an open stage. What breaks it off is one of the outcome's failures."""
    everyone = [one.device for one in cast.fleet]
    names = {one.udid: one.device_name for one in everyone}
    names[cast.mallory.device.udid] = f"{cast.mallory.device.device_name}, an attacker"
    outcome = Outcome(len(everyone), names)
    try:
        await _everyday(stage, cast.fleet, outcome, audience)
        await cast.mallory.enroll(await stage.link())
        await _attacks(stage, cast, outcome, audience)
        with audience.step("the fleet is unharmed", outcome.failures):
            await _check_unharmed(stage, cast.fleet[:-1], outcome)
    except BramleyError as error:
        outcome.failures.append(str(error))
    outcome.certificates = await certificates.listing(stage.installation, limit=10_000)
    return outcome


async def _everyday(stage: Stage, fleet: Sequence[SimulatedDevice], outcome: Outcome, audience: Audience) -> None:
    """What every fleet goes through: the last device is the one that loses its identity."""
    first, last, wrong = fleet[0].device, fleet[-1].device, outcome.failures
    with audience.step(f"{len(fleet)} devices fetch their signed profiles and enroll over TLS", wrong):
        await asyncio.gather(*[device.enroll(await stage.link()) for device in fleet])
        outcome.enrolled = await stage.installation.store.read(lambda tx: len(_active(tx, fleet)))
    async with awake(*fleet):
        with audience.step("a push wakes each of them, and they answer commands, NotNow now and then", wrong):
            await _command(stage, fleet, outcome)
        with audience.step("a profile is encrypted to each of them and signed; none opens another's", wrong):
            await profiles.deliver(stage, fleet, "Orchard", PATIENCE)
            outcome.profiles.signed_and_encrypted = sum(profiles.holds_its_own(one, "Orchard") for one in fleet)
            outcome.profiles.opened_by_others = await profiles.opened_by_others(stage, fleet)
        former = fleet[0].identity
        with audience.step(f"{first.device_name} renews its identity", wrong):
            outcome.renewed = await _renew(stage, first.udid)
        with audience.step("the next profile opens with the new identity, and not with the one before", wrong):
            await profiles.deliver(stage, fleet, "Cider", PATIENCE)
            outcome.profiles.opened_after_renewal = int(profiles.holds_its_own(fleet[0], "Cider"))
            outcome.profiles.opened_by_others += await profiles.opened_by_others(stage, fleet, [former] if former else [])
    with audience.step(f"the identity of {last.device_name} is revoked", wrong):
        outcome.revoked = len(await identities.revoke(stage.installation, last.udid, reason="demo", actor="demo"))


def _enrollments(tx: Tx, fleet: Sequence[SimulatedDevice]) -> list[Enrollment]:
    found = (tx.enrollments.by_id(EnrollmentID(one.device.udid)) for one in fleet)
    return [one for one in found if one is not None]


def _active(tx: Tx, fleet: Sequence[SimulatedDevice]) -> set[str | None]:
    """UDIDs of those that are enrolled."""
    return {one.id for one in _enrollments(tx, fleet) if one.state is EnrollmentState.ACTIVE}


async def _command(stage: Stage, fleet: Sequence[SimulatedDevice], outcome: Outcome) -> None:
    """Commands for all. Devices do not poll, so whoever answered was reached by a push."""
    # What was put off by NotNow comes after what was not: a profile is removed once it is certain to be there.
    for wave in (_requests(stage), [RemoveProfile(PLAIN)]):
        for request in wave:
            for one in fleet:
                await commands.send(stage.installation, one.device.udid, request, actor="demo")
        await stage.until("every command answered", lambda tx: tx.commands.count_pending() == 0, PATIENCE)
    answering = [one for one in fleet if one.history]
    outcome.pushed = await stage.installation.store.read(
        lambda tx: sum(one.last_push_at is not None for one in _enrollments(tx, answering))
    )
    for one in fleet:
        detail = await devices.show(stage.installation, one.device.udid)
        wrong = [f"{c.request_type} for {one.device.udid}: {c.state}" for c in detail.commands if c.state != "acknowledged"]
        outcome.failures += wrong
        outcome.commands_answered += len(detail.commands) - len(wrong)


def _requests(stage: Stage) -> list[Request]:
    material = stage.service.live.current()
    root = material.authorities.root.certificate
    payload = RootCertificatePayload("demo.orchard.root", "C0FFEE00-0000-4000-8000-000000000001", "Root", der(root))
    plain, wrapped = (
        Profile(identifier, f"C0FFEE00-0000-4000-8000-00000000000{n}", "Demo", "Orchard", payloads=(payload,))
        for n, identifier in ((2, PLAIN), (3, "demo.signed"))
    )
    signer, now = material.signer, stage.clock.now()
    signed = sign(wrapped.to_bytes(), certificate=signer.certificate, key=signer.key, chain=signer.chain, now=now)
    return [
        DeviceInformation(("UDID", "SerialNumber", "OSVersion", "DeviceName")),
        SecurityInfo(),
        InstallProfile(plain.to_bytes()),
        InstallProfile(signed),
        ProfileList(),
        CertificateList(),
    ]


async def _renew(stage: Stage, udid: str) -> int:
    await identities.renew(stage.service.live, udid, actor="demo")

    def renewed(tx: Tx) -> bool:
        enrollment = tx.enrollments.by_id(EnrollmentID(udid))
        bound = tx.enrollments.bindings(enrollment.key) if enrollment else []
        versions = [tx.lineages.version(binding.version_id) for binding in bound]
        states = [version.state for version in versions if version]
        return sorted(states) == [VersionState.ACTIVE, VersionState.SUPERSEDED] and tx.commands.count_pending() == 0

    return int(await stage.until("the renewed identity in use", renewed, PATIENCE))


async def _attacks(stage: Stage, cast: Cast, outcome: Outcome, audience: Audience) -> None:
    for name, wave in (await attacks.waves(stage, cast)).items():
        with audience.step(f"attack: {name}", outcome.failures):
            attack = Attack(name, [attempt async for attempt in wave])
            outcome.attacks.append(attack)
            outcome.failures += [f"got through: {a.description} ({a.answered})" for a in attack.attempts if not a.refused]


async def _check_unharmed(stage: Stage, fleet: Sequence[SimulatedDevice], outcome: Outcome) -> None:
    """Everyone is still enrolled, is still reached by a push, and still answers."""
    active = await stage.installation.store.read(lambda tx: _active(tx, fleet))
    outcome.failures += [f"lost in the attacks: {one.device.udid}" for one in fleet if one.device.udid not in active]
    async with awake(*fleet):
        for one in fleet:
            await commands.send(stage.installation, one.device.udid, SecurityInfo(), actor="demo")
        await stage.until("every device answers after the attacks", lambda tx: tx.commands.count_pending() == 0, PATIENCE)
