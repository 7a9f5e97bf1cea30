"""Devices go on while their CA is replaced: checked in at every stage, renewed to the new one, across restarts."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.lifecycle.plans import PACES
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.model.plans import PlanKind, PlanStage
from bramley.operations import ca_import, ca_plan, ca_rollover, identities, records
from bramley.operations.ca_plan import Mode
from bramley.operations.installation import open_installation
from bramley.pki import certificates, csr, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.scep.client import SCEPClient
from bramley.rehearsal.cast import awake
from bramley.rehearsal.passing import pass_time
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import Identity, SignatureStyle, SimulatedDevice
from bramley.sandbox.device.transport import SCEPTransport
from bramley.sandbox.errors import ServerRefused
from bramley.storage.protocols import Tx
from bramley.web.service import Service

PACE = PACES[PlanKind.CA_ROLLOVER]
HOUR = timedelta(hours=1, seconds=1)


@dataclass(slots=True)
class Play:
    """A server that may be restarted, a clock that may be moved, and devices."""

    stage: Stage
    clock: ShiftedClock
    devices: list[SimulatedDevice]

    async def device(self, seed: int, style: SignatureStyle = SignatureStyle.APPLE) -> SimulatedDevice:
        made = self.stage.device(seed, style)
        self.devices.append(made)
        await made.enroll(await self.stage.link())
        return made

    async def restart(self) -> None:
        """The server ends, whatever it was doing; another begins on what is in the database."""
        settings = self.stage.installation.settings
        await self.stage.service.stop()
        again = await Service.start(await open_installation(settings, self.clock, {}))
        self.stage = replace(self.stage, service=again)
        for device in self.devices:
            await device.close()
            device.behaviour = replace(device.behaviour, tls_base=self.stage.tls_base)

    async def reach(self, stage: PlanStage) -> None:
        """The server takes the steps to here by itself, and uses what came of it."""

        def reached(tx: Tx) -> bool:
            return tx.plans.recent(limit=1)[0].stage is stage

        await self.stage.until(f"the rollover to be {stage}", reached)
        await self.stage.until("the server to follow", self._follows)

    def _follows(self, tx: Tx) -> bool:
        return tx.notes.get(records.GENERATION_NOTE) == self.stage.service.live.current().generation

    async def pass_time(self, time: timedelta) -> None:
        await pass_time(self.stage, self.clock, time)

    @property
    def issuing(self) -> x509.Certificate:
        return self.stage.service.live.current().authorities.identity.authority.certificate

    async def renew(self, *devices: SimulatedDevice) -> None:
        for device in devices:
            await identities.renew(self.stage.service.live, device.device.udid, actor="test")
        async with awake(*devices):
            await self.stage.until("the renewals", lambda tx: tx.commands.count_pending() == 0)

    async def revoke(self, device: SimulatedDevice) -> None:
        await identities.revoke(self.stage.installation, device.device.udid, reason="lost", actor="test")


@pytest.fixture
async def play(tmp_path: Path, database: str) -> AsyncGenerator[Play]:
    clock = ShiftedClock()
    made = Play(await open_stage(tmp_path, clock, database), clock, [])
    yield made
    for device in made.devices:
        await device.close()
    await made.stage.close()


on_sqlite = pytest.mark.parametrize("database", [""])
"""Where the database is not what the test is about."""


def of(device: SimulatedDevice) -> x509.Certificate:
    assert device.identity is not None
    return device.identity.certificate


async def heard(*devices: SimulatedDevice) -> None:
    """Each is answered. A CertificateList may be waiting for one that was just renewed."""
    for device in devices:
        await device.connect()


async def refused(device: SimulatedDevice) -> None:
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()
    assert device.enrolled, "no answer made it remove its enrollment"


async def test_a_fleet_moves_to_a_new_ca(play: Play) -> None:
    signing, by_tls = await play.device(2), await play.device(4, SignatureStyle.TLS)
    revoked, away = await play.device(6), await play.device(8, SignatureStyle.TLS)
    fleet = (signing, by_tls, away)
    former = play.issuing

    await ca_rollover.begin(play.stage.installation, Mode.NEW_KEY, actor="test")
    await play.reach(PlanStage.TRUSTED)
    await heard(*fleet, revoked)
    await play.restart()
    await heard(*fleet, revoked)
    assert play.issuing == former

    await play.pass_time(PACE.settle)
    await play.reach(PlanStage.USED)
    assert play.issuing.subject != former.subject
    await heard(*fleet, revoked)
    await play.restart()
    await heard(*fleet)
    await play.revoke(revoked)
    await refused(revoked)
    fresh = await play.device(10)
    await play.renew(signing, by_tls)
    for device in (signing, by_tls, fresh):
        of(device).verify_directly_issued_by(play.issuing)
    of(away).verify_directly_issued_by(former)
    await heard(*fleet, fresh)

    # long enough for the replaced identities to be retired; the one that is away holds the old CA
    await play.pass_time(PACE.linger + HOUR)
    await play.stage.until("the replaced identities retired", lambda tx: _state(tx, former_of=former) == {VersionState.ACTIVE})
    standing = await ca_plan.standing(play.stage.installation)
    assert standing is not None
    assert standing.step is not None
    assert standing.step.waits_for == "1 that rely on the old one"
    await heard(*fleet, fresh)

    await play.revoke(away)
    await play.pass_time(HOUR)
    await play.reach(PlanStage.WITHDRAWN)
    await heard(signing, by_tls, fresh)
    await refused(revoked)
    await refused(away)
    await play.restart()
    await heard(signing, by_tls, fresh)


def _state(tx: Tx, former_of: x509.Certificate) -> set[VersionState]:
    """Of the identities of a CA that are neither retired nor revoked."""
    ca = tx.lineages.by_sha256(certificates.sha256(former_of))
    assert ca is not None
    rows = tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY, limit=100)
    found = {row.version.state for row in rows if row.version.issuer_version == ca.id}
    return found - {VersionState.RETIRED, VersionState.REVOKED}


@on_sqlite
async def test_a_fleet_does_not_notice_that_its_ca_lives_longer(play: Play) -> None:
    signing, by_tls = await play.device(2), await play.device(4, SignatureStyle.TLS)
    await play.pass_time(HOUR)
    await ca_rollover.begin(play.stage.installation, Mode.SAME_KEY, actor="test")
    for wait, stage in ((0, PlanStage.TRUSTED), (1, PlanStage.USED), (2, PlanStage.WITHDRAWN)):
        await play.pass_time((timedelta(), PACE.settle, PACE.linger + HOUR)[wait])
        await play.reach(stage)
        await heard(signing, by_tls)
    assert play.stage.service.live.current().authorities.identity_certificates == (play.issuing,)
    await play.renew(by_tls)
    of(by_tls).verify_directly_issued_by(play.issuing)
    await heard(signing, by_tls)


def organization(play: Play) -> tuple[list[bytes], Authority]:
    """An elliptic issuing CA below a root of the organization's own: its files, and the root."""
    now, root_key, key = play.clock.now(), *(keys.generate(keys.KeyAlgorithm.P_384) for _ in range(2))
    root = Authority(self_signed(profiles.ROOT_CA, root_key, names.make("Cider Root"), now=now), root_key)
    made = issue(root, profiles.IDENTITY_CA, key.public_key(), subject=names.make("Cider Devices"), now=now)
    return [certificates.pem(made), certificates.pem(root.certificate), keys.to_pkcs8(key)], root


@on_sqlite
async def test_a_fleet_moves_to_the_organizations_elliptic_ca(play: Play) -> None:
    """Imported, and served by an RA to SCEP clients that know one when they see it."""
    signing, by_tls = await play.device(2), await play.device(4, SignatureStyle.TLS)
    files, root = organization(play)
    await ca_import.import_files(play.stage.installation, files, None, actor="test")
    for wait, stage in ((timedelta(), PlanStage.TRUSTED), (PACE.settle, PlanStage.USED)):
        await play.pass_time(wait)
        await play.reach(stage)
        await heard(signing, by_tls)
    play.issuing.verify_directly_issued_by(root.certificate)
    for device in (signing, by_tls):
        device.holdings.identity = await renewed_by_ra(play, device)
        of(device).verify_directly_issued_by(play.issuing)
    await heard(signing, by_tls)
    fresh = await play.device(6, SignatureStyle.TLS)
    await heard(fresh)
    of(fresh).verify_directly_issued_by(play.issuing)
    await play.renew(fresh)
    await heard(fresh)
    await play.pass_time(PACE.linger + HOUR)
    await play.stage.until("the replaced identities retired", _none_superseded)
    await play.pass_time(HOUR)
    await play.reach(PlanStage.WITHDRAWN)
    await heard(signing, by_tls)


async def renewed_by_ra(play: Play, device: SimulatedDevice) -> Identity:
    """What a device gets that writes to the RA, and checks what comes against the CA behind it."""
    client = SCEPClient(SCEPTransport(device.transport, f"{play.stage.installation.url}/scep"))
    registration, ca, *_above = await client.ca_certificates()
    assert ca == play.issuing
    held, key = device.identity, rsa.generate_private_key(65537, 2048)
    assert held is not None
    request, signer = csr.build(key, names.make("renewed")), (held.certificate, held.key)
    issued = await client.enroll(key, request, ca=ca, ra=registration, signer=signer, renewal=True, now=play.clock.now())
    return Identity(issued[0], key)


def _none_superseded(tx: Tx) -> bool:
    return tx.lineages.count(Kind.DEVICE_IDENTITY)[VersionState.SUPERSEDED] == 0
