"""Profiles on their way to real (simulated) devices: signed, encrypted, replaced, removed; after a renewal and after a wipe."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from asn1crypto import cms as asn1_cms

from bramley.clock import SystemClock
from bramley.mdm.connect import RENEWAL_ANSWERED
from bramley.model.enrollments import EnrollmentID
from bramley.model.profiles import InstallState, TargetKind
from bramley.operations import identities
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import open_stage
from bramley.storage.protocols import Tx
from tests.e2e.profile_kit import SECRET, WIFI, Play, of, profile, ssid


@pytest.fixture
async def play(tmp_path: Path, database: str) -> AsyncGenerator[Play]:
    made = Play(await open_stage(tmp_path, SystemClock(), database))
    yield made
    await made.close()


on_sqlite = pytest.mark.parametrize("database", [""])


async def test_encrypted_for_one_device_and_signed(play: Play) -> None:
    ann, bob = await play.device(2), await play.device(4)
    await play.keep(profile("Orchard {{ device.serial }}"), encrypt=True)
    await play.assign(of(ann), of(bob))
    for device in (ann, bob):
        await play.until(device, InstallState.INSTALLED)
        held = device.holdings.profiles[WIFI]
        assert held.encrypted
        assert held.signers
        assert ssid(device) == f"Orchard {device.device.serial_number}"
        assert await play.standing(device) is not None
    assert await play.stage.installation.store.read(lambda tx: tx.commands.count_pending()) == 0


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc"])
async def test_encrypted_with_the_cipher_of_the_setting(tmp_path: Path, cipher: str) -> None:
    play = Play(await open_stage(tmp_path, SystemClock(), profiles={"cipher": cipher}))
    try:
        device = await play.device(2)
        await play.keep(profile(), encrypt=True)
        await play.assign(of(device))
        await play.until(device, InstallState.INSTALLED)
        sealed = device.holdings.profiles[WIFI].content["EncryptedPayloadContent"]
        enveloped = asn1_cms.ContentInfo.load(sealed)["content"]
        used = enveloped["encrypted_content_info"]["content_encryption_algorithm"]["algorithm"].native
        assert used == cipher.replace("-", "", 1).replace("-", "_")
    finally:
        await play.close()


@on_sqlite
async def test_a_new_revision_replaces_and_an_unassigned_one_is_removed(play: Play) -> None:
    device = await play.device(2)
    await play.keep(profile())
    await play.assign(of(device))
    await play.until(device, InstallState.INSTALLED)
    await play.keep(profile("Cider"))
    await play.until(device, InstallState.INSTALLED, revision=2)
    assert ssid(device) == "Cider"
    await play.keep(profile("Cider"))
    await assigning.unassign(play.stage.installation, WIFI, [of(device)], actor="test")
    await play.until(device, None)
    assert WIFI not in device.holdings.profiles
    await keeping.remove(play.stage.installation, WIFI, actor="test")


@on_sqlite
async def test_by_tag_and_again_after_a_wipe(play: Play) -> None:
    device = await play.device(2)
    await play.keep(profile())
    await play.assign(Target(TargetKind.TAG, "staff"))
    await assigning.tag(play.stage.installation, device.device.udid, add=["staff"], actor="test")
    await play.until(device, InstallState.INSTALLED)
    await device.holdings.forget()  # erased without a word
    device.channels.clear()
    await device.enroll(await play.stage.link(device.device.udid))
    assert WIFI not in device.holdings.profiles
    await play.until(device, InstallState.INSTALLED)
    assert ssid(device) == "Orchard"


@on_sqlite
async def test_what_waits_over_a_renewal_is_encrypted_anew(play: Play) -> None:
    device = await play.device(2)
    await identities.renew(play.stage.service.live, device.device.udid, actor="test")
    await play.keep(profile(), encrypt=True)
    await play.assign(of(device))
    before = device.identity

    def waits(tx: Tx) -> bool:
        enrollment = tx.enrollments.by_id(EnrollmentID(device.device.udid))
        assert enrollment is not None
        kinds = [command.job_on_answer for command in tx.commands.pending(enrollment.key)]
        return len(kinds) == 2 and kinds[0] == RENEWAL_ANSWERED

    await play.stage.until("both commands to wait", waits)
    await play.until(device, InstallState.INSTALLED)
    assert device.identity != before
    assert ssid(device) == "Orchard"
    # the one that was encrypted to the identity before was either withdrawn, or refused by the device and sent again
    installs = [each.status for each in device.history if each.request_type == "InstallProfile"]
    assert installs[0] == installs[-1] == "Acknowledged"


@on_sqlite
async def test_what_cannot_be_made_is_not_sent(play: Play) -> None:
    device = await play.device(3)  # an iPhone tells no name when it enrolls
    await play.keep(profile("Orchard {{ device.name }}"))
    await play.assign(of(device))
    await play.until(device, InstallState.FAILED)
    on = await play.standing(device)
    assert on is not None
    assert "device.name" in on.problem
    assert device.history == []


@on_sqlite
async def test_what_a_device_has_lost_is_sent_again(play: Play) -> None:
    device = await play.device(2)
    await play.keep(profile())
    await play.assign(of(device))
    await play.until(device, InstallState.INSTALLED)
    await device.holdings.remove(WIFI)
    await assigning.check(play.stage.installation, device.device.udid, actor="test")
    async with awake(device):
        await play.stage.until("the profile to be back", lambda _tx: WIFI in device.holdings.profiles)


@on_sqlite
async def test_nothing_of_it_is_in_clear_in_the_database(play: Play) -> None:
    device = await play.device(2)
    await play.keep(profile(), encrypt=True)
    await play.assign(of(device))
    await play.until(device, InstallState.INSTALLED)
    folder = play.stage.installation.settings.data
    assert all(SECRET.encode() not in file.read_bytes() for file in folder.rglob("*") if file.is_file())
