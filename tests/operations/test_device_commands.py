"""What an operator has a device do: meant, for that device, and with what only the server has."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from typing import Any

import pytest

from bramley.mdm.commands import BadCommand, Raw, build, read_raw
from bramley.mdm.connect import payload_place
from bramley.mdm.errors import BadValue
from bramley.mdm.records import secret_place
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.operations import device_commands
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation
from tests.conftest import NOW

SERIAL = "C02ORCHARD"
LOCK, ERASE = build("DeviceLock", {"Message": "Lost"}), build("EraseDevice", {})


async def _enroll(installation: Installation, **fields: Any) -> Enrollment:
    described = {"serial_number": SERIAL, "product_name": "Mac14,2", "os_version": "15.1", **fields}
    row = Enrollment(EnrollmentKey("k"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID("udid"), udid="udid", **described)
    await installation.store.run(lambda tx: tx.enrollments.add(row))
    return row


@pytest.fixture
async def mac(installation: Installation) -> Enrollment:
    return await _enroll(installation)


def _said(installation: Installation, command: Command) -> dict[str, Any]:
    said: dict[str, Any] = plistlib.loads(installation.sealer.open(command.payload, payload_place(command.uuid)))["Command"]
    return said


async def _pending(installation: Installation) -> int:
    return await installation.store.read(lambda tx: tx.commands.count_pending())


@pytest.mark.parametrize("request_", [LOCK, ERASE, Raw("EraseDevice", {"RequestType": "EraseDevice"})])
@pytest.mark.parametrize("serial", [None, "", "  ", "udid", "C02OTHER"])
async def test_what_destroys_must_be_meant(
    installation: Installation, mac: Enrollment, request_: Raw, serial: str | None
) -> None:
    with pytest.raises(Invalid, match="serial number"):
        await device_commands.send(installation, "udid", request_, serial_number=serial, actor="test")
    assert await _pending(installation) == 0
    sent = await device_commands.send(installation, "udid", request_, serial_number=f" {SERIAL.lower()} ", actor="test")
    assert sent.command.request_type == request_.request_type


async def test_a_recovery_key_is_not_changed_where_nobody_keeps_the_new_one(installation: Installation, mac: Enrollment) -> None:
    keys = {"KeyType": "personal", "FileVaultUnlock": {"Password": "hunter2"}, "ReplyEncryptionCertificate": "eA=="}
    with pytest.raises(Conflict, match="bramley escrow rotate") as refused:
        await device_commands.send(installation, "udid", build("RotateFileVaultKey", keys), actor="test")
    assert "hunter2" not in str(refused.value)
    assert await _pending(installation) == 0
    institutional = build("RotateFileVaultKey", {**keys, "KeyType": "institutional", "NewCertificate": "eA=="})
    assert (await device_commands.send(installation, "udid", institutional, actor="test")).pin is None


async def test_one_without_a_serial_number_is_meant_by_its_id(installation: Installation) -> None:
    await _enroll(installation, serial_number=None)
    await device_commands.send(installation, "k", LOCK, serial_number="UDID", actor="test")
    with pytest.raises(Invalid):
        await device_commands.send(installation, "k", LOCK, serial_number=SERIAL, actor="test")


@pytest.mark.parametrize("request_", [LOCK, ERASE])
async def test_a_mac_gets_a_pin_that_is_kept_sealed_and_read_with_a_reason(
    installation: Installation, mac: Enrollment, request_: Raw
) -> None:
    first = await device_commands.send(installation, "udid", request_, serial_number=SERIAL, actor="test")
    given = await device_commands.send(
        installation, "udid", build("DeviceLock", {"PIN": "907351"}), serial_number=SERIAL, actor="test"
    )
    assert first.pin is not None
    assert (len(first.pin), first.pin.isascii(), first.pin.isdigit(), given.pin) == (6, True, True, None)
    assert _said(installation, first.command)["PIN"] == first.pin
    assert first.pin.encode() not in first.command.payload
    assert first.pin not in repr(first)
    found = await device_commands.pins(installation, "udid", reason="owner called", actor="admin:ann")
    assert [(each.pin, each.command.uuid) for each in found] == [
        ("907351", given.command.uuid),
        (first.pin, first.command.uuid),
    ]
    (read,) = await installation.store.read(lambda tx: tx.events.find(kind=EventKind.COMMAND_PIN_READ))
    assert (read.actor, read.detail["reason"]) == ("admin:ann", "owner called")
    everything = await installation.store.read(lambda tx: tx.events.find(limit=1000))
    assert first.pin not in str([(event.kind, event.detail.get("pin")) for event in everything])
    assert not [event for event in everything if first.pin in event.detail.values()]


async def test_two_pins_are_not_the_same(installation: Installation, mac: Enrollment) -> None:
    made = {(await device_commands.send(installation, "udid", LOCK, serial_number=SERIAL, actor="test")).pin for _ in range(8)}
    assert len(made) > 1


@pytest.mark.parametrize("product", ["iPhone15,2", "Toaster1,1", None])
async def test_others_get_no_pin(installation: Installation, product: str | None) -> None:
    await _enroll(installation, product_name=product)
    sent = await device_commands.send(installation, "udid", LOCK, serial_number=SERIAL, actor="test")
    assert (sent.pin, "PIN" in _said(installation, sent.command)) == (None, False)
    assert [note.path for note in sent.notes] == ([] if product == "iPhone15,2" else ["PIN"])
    with pytest.raises(NotFound, match="No PIN"):
        await device_commands.pins(installation, "udid", reason="x", actor="test")


async def test_a_passcode_is_cleared_with_the_token_that_the_device_told(installation: Installation) -> None:
    row = await _enroll(installation, product_name="iPhone15,2")
    with pytest.raises(Conflict, match="UnlockToken"):
        await device_commands.send(installation, "udid", build("ClearPasscode", {}), actor="test")
    sealed = installation.sealer.seal(b"unlock it", secret_place(row.key, "unlock-token"))
    await installation.store.run(lambda tx: tx.enrollments.update(replace(row, unlock_token=sealed)))
    sent = await device_commands.send(installation, "udid", build("ClearPasscode", {}), actor="test")
    assert _said(installation, sent.command) == {"RequestType": "ClearPasscode", "UnlockToken": b"unlock it"}
    assert b"unlock it" not in sent.command.payload


@pytest.mark.parametrize(
    ("fields", "request_", "error"),
    [
        ({"product_name": "iPhone15,2"}, read_raw({"RequestType": "AccountConfiguration"}), BadCommand),
        ({"product_name": "AppleTV14,1"}, build("ShutDownDevice", {}), BadCommand),
        ({"enrollment_id": "e"}, ERASE, BadCommand),
        ({}, build("DeviceLock", {"PIN": "12"}), BadCommand),
        ({}, Raw("Restart", {"RequestType": "Restart", "X": None}), BadValue),  # type: ignore[dict-item]
    ],
)
async def test_what_is_nothing_for_this_device_is_not_queued(
    installation: Installation, fields: dict[str, Any], request_: Raw, error: type[Exception]
) -> None:
    await _enroll(installation, **fields)
    with pytest.raises(error):
        await device_commands.send(installation, "udid", request_, serial_number=SERIAL, actor="test")
    assert await _pending(installation) == 0
    assert await installation.store.read(lambda tx: tx.jobs.of_kind("push")) == []


async def test_one_that_has_left_takes_none(installation: Installation, mac: Enrollment) -> None:
    await installation.store.run(lambda tx: tx.enrollments.update(replace(mac, state=EnrollmentState.CHECKED_OUT)))
    with pytest.raises(Conflict, match="has checked out"):
        await device_commands.send(installation, "udid", ERASE, serial_number=SERIAL, actor="test")


async def test_a_user_of_a_device_is_not_the_device(installation: Installation, mac: Enrollment) -> None:
    channel = replace(mac, key=EnrollmentKey("c"), id=EnrollmentID("udid:jo"), parent=mac.key, user_id="jo", product_name=None)
    await installation.store.run(lambda tx: tx.enrollments.add(channel))
    with pytest.raises(BadCommand, match="not for a user"):
        await device_commands.send(installation, "udid:jo", ERASE, serial_number=SERIAL, actor="test")
    sent = await device_commands.send(installation, "udid:jo", build("ProfileList", {}), actor="test")
    assert sent.command.enrollment_key == "c"


async def test_what_is_worth_knowing_comes_back(installation: Installation, mac: Enrollment) -> None:
    sent = await device_commands.send(installation, "udid", build("Settings", {"TimeZone": "Europe/Berlin"}), actor="test")
    (note,) = sent.notes
    assert (note.path, "macOS has it in no version" in note.words) == ("Settings[0]", True)
