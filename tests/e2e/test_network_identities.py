"""Certificates for Wi-Fi: fetched, renewed by the server, worth nothing where devices speak, and gone with what they were for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bramley.model.enrollments import EnrollmentID, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.lineages import RevocationReason, Version, VersionState
from bramley.model.networks import NetworkAssignment, NetworkState
from bramley.operations import identities, reconcile
from bramley.operations.device_certificates import What
from bramley.operations.network import ending, sending, templates
from bramley.operations.network.standing import versions
from bramley.pki import certificates
from bramley.rehearsal.cast import awake
from bramley.rehearsal.passing import pass_time
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import Identity, SignatureStyle, SimulatedDevice
from bramley.sandbox.errors import ServerRefused
from bramley.storage.protocols import Tx

DAY = timedelta(days=1)
PROFILE = "bramley.network.wifi"
TEMPLATE = b"""
name = "wifi"
use = "wifi"
subject = [["O", "Orchard, Inc."], ["CN", "{{ device.serial }}"]]
lifetime_days = 30

[san]
ntPrincipalName = "{{ device.serial }}@orchard.example"
dNSName = "{{ device.serial }}.devices.orchard.example"

[[payloads]]
PayloadType = "com.apple.wifi.managed"
SSID_STR = "Orchard"
EncryptionType = "WPA2"
PayloadCertificateUUID = "{{ identity.uuid }}"

[payloads.EAPClientConfiguration]
AcceptEAPTypes = [13]
TLSTrustedServerNames = ["radius.orchard.example"]
"""


@dataclass(slots=True)
class Play:
    """A served installation, a clock that may be moved, and a device."""

    stage: Stage
    clock: ShiftedClock
    device: SimulatedDevice

    @property
    def udid(self) -> str:
        return self.device.device.udid

    @property
    def held(self) -> Identity:
        return self.device.holdings.network[PROFILE]

    async def assign(self) -> None:
        await sending.assign(self.stage.service.live, "wifi", [self.udid], actor="test")
        await self.settled()

    async def settled(self) -> None:
        """Awake until everything sent is answered, and the answers are dealt with."""
        async with awake(self.device):
            await self.stage.until("every answer", lambda tx: tx.commands.count_pending() == 0)
        await self.stage.until("the answers dealt with", lambda tx: self.assignment(tx).command_uuid is None)

    def assignment(self, tx: Tx) -> NetworkAssignment:
        enrollment = tx.enrollments.latest_by_id(EnrollmentID(self.udid))
        assert enrollment is not None
        found = tx.networks.get(enrollment.key, "wifi")
        assert found is not None
        return found

    async def versions(self) -> list[Version]:
        def read(tx: Tx) -> list[Version]:
            return list(versions(tx, self.assignment(tx).enrollment_key, "wifi"))

        return await self.stage.installation.store.read(read)

    async def states(self) -> list[VersionState]:
        return [version.state for version in await self.versions()]


@pytest.fixture
def style() -> SignatureStyle:
    return SignatureStyle.APPLE


@pytest.fixture
async def play(tmp_path: Path, database: str, style: SignatureStyle) -> AsyncGenerator[Play]:
    clock = ShiftedClock()
    stage = await open_stage(tmp_path, clock, database)
    made = Play(stage, clock, stage.device(2, style))
    await made.device.enroll(await stage.link())
    await templates.put(stage.installation, TEMPLATE, actor="test")
    yield made
    await made.device.close()
    await stage.close()


def _payload(device: SimulatedDevice, kind: str) -> dict[str, Any]:
    (found,) = [each for each in device.holdings.profiles[PROFILE].payloads if each["PayloadType"] == kind]
    return found


async def test_a_device_fetches_it_and_gets_the_next_in_time(play: Play) -> None:
    await play.assign()
    serial = play.device.device.serial_number
    certificate = play.held.certificate
    assert [(each.oid, each.value) for each in certificate.subject] == [
        (NameOID.ORGANIZATION_NAME, "Orchard, Inc."),
        (NameOID.COMMON_NAME, serial),
    ]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{serial}.devices.orchard.example"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    first = _payload(play.device, "com.apple.security.scep")["PayloadUUID"]
    assert _payload(play.device, "com.apple.wifi.managed")["PayloadCertificateUUID"] == first
    assert await play.states() == [VersionState.ACTIVE]

    await pass_time(play.stage, play.clock, 22 * DAY)
    await play.stage.until("the next one sent", lambda tx: play.assignment(tx).state is NetworkState.SENT)
    await play.settled()
    assert await play.states() == [VersionState.SUPERSEDED, VersionState.ACTIVE]
    assert certificates.sha256(play.held.certificate) == (await play.versions())[1].sha256
    second = _payload(play.device, "com.apple.security.scep")["PayloadUUID"]
    assert second != first
    assert _payload(play.device, "com.apple.wifi.managed")["PayloadCertificateUUID"] == second
    await pass_time(play.stage, play.clock, 4 * DAY)
    await play.stage.until("the former retired", lambda tx: _state(tx, certificate) is VersionState.RETIRED)


def _state(tx: Tx, certificate: x509.Certificate) -> VersionState | None:
    found = tx.lineages.by_sha256(certificates.sha256(certificate))
    return found.state if found else None


@pytest.mark.parametrize("style", [SignatureStyle.APPLE, SignatureStyle.TLS])
async def test_nobody_speaks_for_a_device_with_it(play: Play) -> None:
    await play.assign()
    own, play.device.holdings.identity = play.device.identity, play.held
    with pytest.raises(ServerRefused, match="400"):
        await play.device.connect()
    with pytest.raises(ServerRefused, match="400"):
        await play.device.authenticate()
    refused = await play.stage.installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED))
    assert {event.detail["reason"] for event in refused} == {"unknown-identity"}
    play.device.holdings.identity = own
    await play.device.connect()


async def test_taken_away_it_is_removed_and_revoked_and_may_be_given_again(play: Play) -> None:
    await play.assign()
    (taken,) = await ending.unassign(play.stage.installation, "wifi", [play.udid], actor="test")
    assert [version.revoked_for for version in taken.ended] == [RevocationReason.CESSATION_OF_OPERATION]
    await play.settled()
    assert PROFILE not in play.device.holdings.profiles
    assert play.device.holdings.network == {}
    assert (await play.stage.installation.store.read(play.assignment)).state is NetworkState.ENDED
    await play.assign()
    assert await play.states() == [VersionState.REVOKED, VersionState.ACTIVE]


async def test_one_that_the_device_has_lost_is_told_of_and_can_be_sent_again(play: Play) -> None:
    await play.assign()
    await play.device.holdings.remove(PROFILE)  # by hand
    await reconcile.reconcile(play.stage.installation, play.udid, actor="test")
    await play.settled()

    def found(tx: Tx) -> bool:
        return bool(tx.events.find(kind=EventKind.DEVICE_CERTIFICATES_RECONCILED))

    await play.stage.until("the comparison", found)
    last = (await reconcile.standing(play.stage.installation, play.udid)).last
    assert last is not None
    assert [(each.what, each.sha256) for each in last.findings] == [
        (What.NETWORK_IDENTITY_MISSING, (await play.versions())[0].sha256)
    ]
    await sending.renew(play.stage.service.live, play.udid, actor="test")
    await play.settled()
    assert await play.states() == [VersionState.SUPERSEDED, VersionState.ACTIVE]


async def test_it_ends_with_the_enrollment_and_the_next_one_has_none(play: Play) -> None:
    await play.assign()
    gone = play.held.certificate
    await play.device.check_out()
    await play.stage.until("it is revoked", lambda tx: _state(tx, gone) is VersionState.REVOKED)
    await play.device.enroll(await play.stage.link())

    def again(tx: Tx) -> list[NetworkAssignment]:
        enrollment = tx.enrollments.by_id(EnrollmentID(play.udid))
        assert enrollment is not None
        assert enrollment.state is EnrollmentState.ACTIVE
        return list(tx.networks.of(enrollment.key))

    assert await play.stage.installation.store.read(again) == []


async def test_it_ends_when_the_identity_of_its_device_is_revoked(play: Play) -> None:
    await play.assign()
    gone = play.held.certificate
    await identities.revoke(play.stage.installation, play.udid, reason="lost", actor="test")
    await play.stage.until("it is revoked", lambda tx: _state(tx, gone) is VersionState.REVOKED)
