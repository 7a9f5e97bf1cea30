"""Devices with an elliptic identity, to which nothing can be encrypted: they fetch an RSA certificate for that alone."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.mdm.connect import payload_place
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentID, EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.model.networks import RECIPIENT, NetworkAssignment, NetworkState
from bramley.model.profiles import InstallState
from bramley.operations import commands, identities, signers
from bramley.operations.network import ending, sending, standing
from bramley.operations.network.standing import versions
from bramley.operations.profiles import signing
from bramley.operations.signers import Signer
from bramley.pki import certificates, cms
from bramley.pki.keys import KeyAlgorithm
from bramley.profiles.errors import NoRecipient
from bramley.rehearsal.cast import awake
from bramley.rehearsal.passing import at_rest, pass_time
from bramley.rehearsal.stage import open_stage
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import Identity, SimulatedDevice
from bramley.sandbox.device.profile import open_profile
from bramley.sandbox.errors import ServerRefused
from bramley.storage.protocols import Tx
from tests.e2e.profile_kit import SECRET, WIFI, Play, of, profile, ssid
from tests.operations.signer_kit import PASSWORD, PKI

FETCHING = f"bramley.network.{RECIPIENT}"
DAY = timedelta(days=1)

on_sqlite = pytest.mark.parametrize("database", [""])


@pytest.fixture
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture
async def play(tmp_path: Path, database: str, clock: ShiftedClock) -> AsyncGenerator[Play]:
    made = Play(await open_stage(tmp_path, clock, database))
    yield made
    await made.close()


@pytest.fixture
async def device(play: Play) -> SimulatedDevice:
    return await play.device(2, hardware_key=KeyAlgorithm.P_256)


def key_of(tx: Tx, device: SimulatedDevice) -> EnrollmentKey:
    found = tx.enrollments.latest_by_id(EnrollmentID(device.device.udid))
    assert found is not None
    return found.key


async def assignment(play: Play, device: SimulatedDevice) -> NetworkAssignment | None:
    return await play.stage.installation.store.read(lambda tx: tx.networks.get(key_of(tx, device), RECIPIENT))


async def fetched(play: Play, device: SimulatedDevice) -> list[Version]:
    return list(await play.stage.installation.store.read(lambda tx: versions(tx, key_of(tx, device), RECIPIENT)))


def held_by(device: SimulatedDevice) -> Identity:
    return device.holdings.network[FETCHING]


async def last_message(play: Play, device: SimulatedDevice, identifier: str = WIFI) -> bytes:
    """The latest profile of this identifier on the wire."""

    def read(tx: Tx) -> bytes:
        for command in tx.commands.history(key_of(tx, device), limit=100):
            if command.request_type == "InstallProfile":
                sealer = play.stage.installation.sealer
                payload: bytes = plistlib.loads(sealer.open(command.payload, payload_place(command.uuid)))["Command"]["Payload"]
                if f"<string>{identifier}</string>".encode() in payload:
                    return payload
        raise AssertionError(f"{identifier} was never sent")

    return await play.stage.installation.store.read(read)


async def deliver_encrypted(play: Play, *devices: SimulatedDevice) -> None:
    await play.keep(profile(), encrypt=True)
    await play.assign(*map(of, devices))
    for device in devices:
        await play.until(device, InstallState.INSTALLED)


async def test_what_is_encrypted_waits_for_the_certificate_and_opens_with_it(play: Play, device: SimulatedDevice) -> None:
    assert device.identity is not None
    assert not isinstance(device.identity.key, rsa.RSAPrivateKey)
    await deliver_encrypted(play, device)
    assert device.holdings.profiles[WIFI].encrypted
    assert ssid(device) == "Orchard"
    on = await play.standing(device)
    assert on is not None
    assert (on.recipient, on.problem) == (certificates.sha256(held_by(device).certificate), "")
    (version,) = await fetched(play, device)
    assert (version.sha256, version.state) == (on.recipient, VersionState.ACTIVE)


@on_sqlite
async def test_its_certificate_opens_what_is_encrypted_and_does_nothing_else(play: Play, device: SimulatedDevice) -> None:
    await deliver_encrypted(play, device)
    certificate = held_by(device).certificate
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_encipherment
    assert not any((usage.digital_signature, usage.key_agreement, usage.data_encipherment, usage.key_cert_sign))
    scep = next(each for each in device.holdings.profiles[FETCHING].payloads if each["PayloadType"] == "com.apple.security.scep")
    assert (scep["PayloadContent"]["Key Usage"], scep["PayloadContent"]["KeyIsExtractable"]) == (4, False)
    device.holdings.identity = held_by(device)
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()


@on_sqlite
async def test_who_has_an_rsa_identity_fetches_nothing(play: Play) -> None:
    device = await play.device(2)
    await deliver_encrypted(play, device)
    assert await assignment(play, device) is None


@on_sqlite
async def test_nobody_fetches_one_for_a_profile_that_is_only_signed(play: Play, device: SimulatedDevice) -> None:
    await play.keep(profile())
    await play.assign(of(device))
    await play.until(device, InstallState.INSTALLED)
    assert await assignment(play, device) is None


@on_sqlite
async def test_another_device_does_not_open_it(play: Play, device: SimulatedDevice) -> None:
    other = await play.device(4, hardware_key=KeyAlgorithm.P_384)
    await deliver_encrypted(play, device, other)
    message = await last_message(play, device)
    content = plistlib.loads(cms.verify(cms.parse_signed_data(message), policy=cms.STRICT).content)
    own, theirs = held_by(device), held_by(other)
    assert isinstance(own.key, rsa.RSAPrivateKey)
    assert isinstance(theirs.key, rsa.RSAPrivateKey)
    sealed = content["EncryptedPayloadContent"]
    assert SECRET.encode() in cms.decrypt(sealed, certificate=own.certificate, key=own.key).content
    with pytest.raises(cms.CMSError):
        cms.decrypt(sealed, certificate=theirs.certificate, key=theirs.key)
    with pytest.raises(cms.CMSError):
        cms.decrypt(sealed, certificate=own.certificate, key=theirs.key)


@on_sqlite
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_openssl_takes_the_certificate_as_a_recipient_and_opens_the_profile(
    play: Play, device: SimulatedDevice, tmp_path: Path
) -> None:
    await deliver_encrypted(play, device)
    content = plistlib.loads(cms.verify(cms.parse_signed_data(await last_message(play, device)), policy=cms.STRICT).content)
    held, snapshot = held_by(device), play.stage.service.live.current()
    files = {
        "root.pem": certificates.pem(snapshot.authorities.root.certificate),
        "ca.pem": certificates.pem(snapshot.authorities.identity.authority.certificate),
        "leaf.pem": certificates.pem(held.certificate),
        "key.pem": held.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "sealed.der": content["EncryptedPayloadContent"],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)

    def openssl(*arguments: str) -> bytes:
        return subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True).stdout

    openssl("verify", "-purpose", "smimeencrypt", "-CAfile", "root.pem", "-untrusted", "ca.pem", "leaf.pem")
    for purpose in ("sslclient", "sslserver", "smimesign"):
        with pytest.raises(subprocess.CalledProcessError):
            openssl("verify", "-purpose", purpose, "-CAfile", "root.pem", "-untrusted", "ca.pem", "leaf.pem")
    opened = openssl(
        "cms", "-decrypt", "-inform", "DER", "-in", "sealed.der", "-recip", "leaf.pem", "-inkey", "key.pem", "-binary"
    )
    assert plistlib.loads(opened)[0]["Password"] == SECRET


@on_sqlite
async def test_it_is_renewed_in_time_and_the_next_delivery_opens_with_the_new_one(
    play: Play, device: SimulatedDevice, clock: ShiftedClock
) -> None:
    await deliver_encrypted(play, device)
    first = held_by(device)
    await pass_time(play.stage, clock, 300 * DAY)

    def renewed(tx: Tx) -> bool:
        found = [version.state for version in versions(tx, key_of(tx, device), RECIPIENT)]
        return found == [VersionState.SUPERSEDED, VersionState.ACTIVE]

    async with awake(device):
        await play.stage.until("the next certificate", renewed)
    assert held_by(device).certificate != first.certificate
    await play.keep(profile("Cider"), encrypt=True)
    await play.until(device, InstallState.INSTALLED, revision=2)
    assert ssid(device) == "Cider"
    on = await play.standing(device)
    assert on is not None
    assert on.recipient == certificates.sha256(held_by(device).certificate)


@on_sqlite
async def test_while_it_is_revoked_nothing_goes_out_and_show_says_why(play: Play, device: SimulatedDevice) -> None:
    await deliver_encrypted(play, device)
    (revoked,) = await ending.revoke(
        play.stage.installation, device.device.udid, RECIPIENT, reason="the key may be known", actor="test"
    )
    assert revoked.state is VersionState.REVOKED
    before = len(device.history)
    await play.keep(profile("Cider"), encrypt=True)
    await play.until(device, InstallState.FAILED, revision=2)
    on = await play.standing(device)
    assert on is not None
    assert "the key may be known" in on.problem
    assert len(device.history) == before
    await sending.renew(play.stage.service.live, device.device.udid, RECIPIENT, actor="test")
    await play.until(device, InstallState.INSTALLED, revision=2)
    assert ssid(device) == "Cider"


@on_sqlite
async def test_what_waits_when_it_is_revoked_is_taken_back(play: Play, device: SimulatedDevice) -> None:
    await deliver_encrypted(play, device)
    await at_rest(play.stage, 30)
    await play.keep(profile("Cider"), encrypt=True)
    await at_rest(play.stage, 30)
    waiting = await play.standing(device)
    assert waiting is not None
    assert waiting.command_uuid is not None
    await ending.revoke(play.stage.installation, device.device.udid, RECIPIENT, reason="the key may be known", actor="test")
    await at_rest(play.stage, 30)
    shown = await commands.show(play.stage.installation, device.device.udid, waiting.command_uuid)
    assert shown.state is CommandState.CANCELLED
    on = await play.standing(device)
    assert on is not None
    assert on.state is InstallState.FAILED


@on_sqlite
async def test_a_device_that_is_refused_the_certificate_gets_nothing(play: Play, device: SimulatedDevice) -> None:
    await play.keep(profile(), encrypt=True)
    await play.assign(of(device))
    await play.stage.until("the device to be sent for it", lambda tx: tx.networks.get(key_of(tx, device), RECIPIENT))
    # before it comes, the one challenge that entitles to it is void
    await play.stage.installation.store.run(lambda tx: tx.networks.void(key_of(tx, device), RECIPIENT, play.stage.clock.now()))
    async with awake(device):
        await play.stage.until(
            "the device's refusal",
            lambda tx: (found := tx.networks.get(key_of(tx, device), RECIPIENT)) and found.state is NetworkState.FAILED,
        )
    on = await play.standing(device)
    assert on is not None
    assert on.state is InstallState.FAILED
    assert WIFI not in device.holdings.profiles
    assert all(each.status == "Error" for each in device.history if each.request_type == "InstallProfile")


@on_sqlite
async def test_where_nothing_can_be_signed_show_says_so(play: Play, device: SimulatedDevice, clock: ShiftedClock) -> None:
    live, pki = play.stage.service.live, PKI.at(clock.now())
    await signers.import_files(live.installation, [pki.signer(days=(-1, 3)).file()], PASSWORD, public=(), actor="test")
    await signers.choose(live.installation, Signer.IMPORTED, actor="test")
    await live.refresh()
    await pass_time(play.stage, clock, 4 * DAY)
    await play.keep(profile(), encrypt=True)
    await play.assign(of(device))
    await play.until(device, InstallState.FAILED)
    on = await play.standing(device)
    assert on is not None
    assert "could not be told to: Expected a certificate that is valid" in on.problem
    assert await assignment(play, device) is None
    assert device.history == []


@on_sqlite
async def test_once_its_identity_is_rsa_that_is_encrypted_to(play: Play, device: SimulatedDevice) -> None:
    await deliver_encrypted(play, device)
    device.behaviour = replace(device.behaviour, hardware_key=None)
    await identities.renew(play.stage.service.live, device.device.udid, actor="test")
    elliptic = device.identity
    async with awake(device):
        await play.stage.until("the renewal", lambda _tx: device.identity is not elliptic)
    await play.keep(profile("Cider"), encrypt=True)
    await play.until(device, InstallState.INSTALLED, revision=2)
    on = await play.standing(device)
    assert on is not None
    assert device.identity is not None
    assert on.recipient == certificates.sha256(device.identity.certificate)


@on_sqlite
async def test_it_ends_with_the_enrollment_and_is_fetched_anew_after_a_wipe(play: Play, device: SimulatedDevice) -> None:
    await deliver_encrypted(play, device)
    (first,) = await fetched(play, device)
    await device.holdings.forget()
    device.channels.clear()
    await device.enroll(await play.stage.link(device.device.udid))
    await play.until(device, InstallState.INSTALLED)
    assert ssid(device) == "Orchard"
    assert certificates.sha256(held_by(device).certificate) != first.sha256

    def ended(tx: Tx) -> bool:
        found = tx.lineages.version(first.id)
        return found is not None and found.state is VersionState.REVOKED

    await play.stage.until("the former to be revoked", ended)


@on_sqlite
async def test_signing_by_hand_for_the_device_needs_it_too(play: Play, device: SimulatedDevice) -> None:
    live, now = play.stage.service.live, play.stage.clock.now()
    pair = await signing.pair_of(live, None)
    with pytest.raises(NoRecipient, match="in force") as refused:
        await signing.sign_for_device(live, profile(), device.device.udid, pair, now)
    assert "network assign profile-recipient" in refused.value.advice
    await sending.assign(live, RECIPIENT, [device.device.udid], actor="test")
    async with awake(device):
        await play.stage.until("it", lambda tx: standing.in_force(tx, key_of(tx, device), RECIPIENT))
    message = await signing.sign_for_device(live, profile(), device.device.udid, pair, now)
    anchors = [live.current().authorities.root.certificate]
    assert open_profile(message, anchors=anchors, now=now, identities=[held_by(device)]).encrypted


@on_sqlite
async def test_it_is_on_record_as_what_it_is(play: Play, device: SimulatedDevice) -> None:
    await deliver_encrypted(play, device)

    def kinds(tx: Tx) -> set[Kind]:
        return {row.lineage.kind for row in tx.lineages.certificates(states=(VersionState.ACTIVE,))}

    found = await play.stage.installation.store.read(kinds)
    assert Kind.PROFILE_RECIPIENT in found
    assert Kind.NETWORK_IDENTITY not in found
