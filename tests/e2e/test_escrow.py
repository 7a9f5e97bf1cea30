"""FileVault recovery keys: escrowed, read, rotated; a new escrow key leaves what was escrowed before readable."""

from __future__ import annotations

import plistlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import SystemClock
from bramley.mdm.commands import build
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentID
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import device_commands, escrow, escrow_answers, records
from bramley.operations.errors import Conflict, NotFound
from bramley.pki import certificates, cms, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox.device import SimulatedDevice
from bramley.sandbox.device.transport import Answer, Call, Transport
from bramley.storage.protocols import Tx


@dataclass(slots=True)
class Play:
    """A served installation and a Mac."""

    stage: Stage
    mac: SimulatedDevice

    @property
    def udid(self) -> str:
        return self.mac.device.udid

    async def escrowed(self, count: int) -> None:
        """Awake until so many recovery keys are known."""
        async with awake(self.mac):
            await self.stage.until("the recovery key", lambda tx: len(tx.recovery_keys.of(EnrollmentID(self.udid))) == count)
            await self.stage.until("every answer", lambda tx: tx.commands.count_pending() == 0)

    async def enable(self, version: int) -> None:
        await escrow.enable(self.stage.service.live, self.udid, actor="test")

        def in_force(tx: Tx) -> bool:
            active = records.active(tx, Kind.FILEVAULT_ESCROW, self.udid)
            return active is not None and active.number == version

        async with awake(self.mac):
            await self.stage.until("the certificate in force", in_force)
            await self.stage.until("every answer", lambda tx: tx.commands.count_pending() == 0)

    async def revealed(self, *, every: bool = False) -> list[str]:
        found = await escrow.reveal(self.stage.installation, self.udid, reason="locked out", every=every, actor="test")
        return [each.text for each in found]


@pytest.fixture
async def play(tmp_path: Path, database: str) -> AsyncGenerator[Play]:
    stage = await open_stage(tmp_path, SystemClock(), database)
    made = Play(stage, stage.device(2))
    await made.mac.enroll(await stage.link())
    yield made
    await made.mac.close()
    await stage.close()


on_sqlite = pytest.mark.parametrize("database", [""])


async def test_escrowed_read_and_rotated(play: Play) -> None:
    first = play.mac.filevault.recovery_key
    await play.enable(1)
    await play.escrowed(1)
    assert await play.revealed() == [first]
    await escrow.rotate(play.stage.installation, play.udid, actor="test")
    await play.escrowed(2)
    second = play.mac.filevault.recovery_key
    assert second != first
    assert await play.revealed(every=True) == [second, first]
    await escrow.fetch(play.stage.installation, play.udid, actor="test")
    await play.escrowed(2)  # the same key, encrypted anew, is no other
    read = await play.stage.installation.store.read(lambda tx: tx.events.find(kind=EventKind.RECOVERY_KEY_READ))
    assert [each.detail for each in read] == [{"reason": "locked out", "keys": 2}, {"reason": "locked out", "keys": 1}]


@on_sqlite
async def test_a_new_escrow_key_leaves_the_old_ones_readable(play: Play) -> None:
    first = play.mac.filevault.recovery_key
    await play.enable(1)
    await play.escrowed(1)
    await play.enable(2)
    await escrow.rotate(play.stage.installation, play.udid, actor="test")
    await play.escrowed(2)
    assert await play.revealed(every=True) == [play.mac.filevault.recovery_key, first]

    def states(tx: Tx) -> list[VersionState]:
        lineage = tx.lineages.find(Kind.FILEVAULT_ESCROW, play.udid)
        assert lineage is not None
        return [each.state for each in tx.lineages.versions(lineage.id)]

    assert await play.stage.installation.store.read(states) == [VersionState.SUPERSEDED, VersionState.ACTIVE]


@on_sqlite
async def test_a_rotation_that_the_mac_has_begun_is_not_overtaken(play: Play) -> None:
    await play.enable(1)
    await play.escrowed(1)
    here = play.stage.installation
    await escrow.rotate(here, play.udid, actor="test")
    real = Transport.deliver

    async def rotate_again(transport: Transport, call: Call) -> Answer:
        """Once the Mac has a new key, and before it has told it."""
        if b"EncryptedNewRecoveryKey" in (call.body or b""):
            with pytest.raises(Conflict, match="has not answered yet"):
                await escrow.rotate(here, play.udid, actor="test")
        return await real(transport, call)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "deliver", rotate_again)
        await play.escrowed(2)
    assert (await play.revealed())[0] == play.mac.filevault.recovery_key


@on_sqlite
async def test_an_erased_mac_that_enrolls_anew_has_its_new_key_escrowed(play: Play) -> None:
    await play.enable(1)
    await play.escrowed(1)
    here, first = play.stage.installation, play.mac.filevault.recovery_key
    erase, serial = build("EraseDevice", {}), play.mac.device.serial_number
    await device_commands.send(here, play.udid, erase, serial_number=serial, actor="test")
    async with awake(play.mac):
        await play.stage.until("the erasure", lambda tx: tx.commands.count_pending() == 0)
    play.mac.unenrolled_because = None
    await play.mac.enroll(await play.stage.link(udid=play.udid))
    await play.escrowed(2)
    assert escrow.PROFILE in play.mac.holdings.profiles
    assert await play.revealed(every=True) == [play.mac.filevault.recovery_key, first]
    assert play.mac.filevault.recovery_key != first


@on_sqlite
async def test_what_cannot_be_asked(play: Play) -> None:
    here = play.stage.installation
    with pytest.raises(Conflict, match="no escrow certificate"):
        await escrow.fetch(here, play.udid, actor="test")
    with pytest.raises(Conflict, match="no escrow certificate"):
        await escrow.rotate(here, play.udid, actor="test")
    with pytest.raises(NotFound, match="No recovery key"):
        await play.revealed()
    phone = play.stage.device(3)
    await phone.enroll(await play.stage.link())
    with pytest.raises(Conflict, match="for Macs"):
        await escrow.enable(play.stage.service.live, phone.device.udid, actor="test")
    await phone.close()


@on_sqlite
async def test_what_a_device_says_is_taken_only_if_it_opens(play: Play) -> None:
    await play.enable(1)
    await play.escrowed(1)
    here, now = play.stage.installation, play.stage.clock.now()
    command = await escrow.fetch(here, play.udid, actor="test")
    stranger = rsa.generate_private_key(65537, 2048)
    foreign = self_signed(profiles.FILEVAULT_ESCROW, stranger, names.make("x"), now=now)
    active = await here.store.read(lambda tx: records.active(tx, Kind.FILEVAULT_ESCROW, play.udid))
    assert active is not None
    assert active.certificate is not None
    ours = certificates.load(active.certificate)
    to_a_stranger = cms.encrypt(b"AAAA-BBBB", recipients=[foreign])
    damaged = bytearray(cms.encrypt(b"AAAA-BBBB", recipients=[ours], cipher="aes-128-cbc"))
    damaged[-20] ^= 1
    answers: list[tuple[Any, str]] = [
        (None, "no recovery key"),
        ({"SecurityInfo": {}}, "no recovery key"),
        ({"SecurityInfo": {"FDE_PersonalRecoveryKeyCMS": b"nonsense"}}, "to no escrow certificate"),
        (
            {"SecurityInfo": {"FDE_PersonalRecoveryKeyCMS": to_a_stranger}},
            "to no escrow certificate",
        ),
        ({"SecurityInfo": {"FDE_PersonalRecoveryKeyCMS": bytes(damaged)}}, "does not open"),
    ]
    for answer, words in answers:
        raw = b"" if answer is None else plistlib.dumps(answer)
        told = replace(command, state=CommandState.ACKNOWLEDGED, answer=raw)
        why = await here.store.run(lambda tx, told=told: escrow_answers.settle(tx, here, told, now=now, actor="test"))  # type: ignore[misc]
        assert words in why
    assert await play.revealed(every=True) == [play.mac.filevault.recovery_key]


@on_sqlite
async def test_no_recovery_key_is_in_clear_anywhere(play: Play) -> None:
    await play.enable(1)
    await play.escrowed(1)
    first = play.mac.filevault.recovery_key
    await escrow.rotate(play.stage.installation, play.udid, actor="test")
    await play.escrowed(2)
    folder = play.stage.installation.settings.data
    for secret in (first, play.mac.filevault.recovery_key):
        assert all(secret.encode() not in file.read_bytes() for file in folder.rglob("*") if file.is_file())
