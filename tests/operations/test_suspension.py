"""A suspended device gets nowhere, by none of the ways it could know; and comes back as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentKey, Purpose
from bramley.model.events import EventKind
from bramley.model.lineages import RevocationReason, Version, VersionState
from bramley.operations import devices, identities, records, suspension
from bramley.operations.enrollment_profiles import new_challenge
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from bramley.pki.scep.errors import SCEPError
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .conftest import ask, enrolled

Keys = list[keys.PrivateKey]
UDID = "00008030-001A35E40212802E"


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device with an active identity."""
    return await enrolled(live, device_keys[0], UDID)


async def _versions(live: Live) -> list[Version]:
    return sorted((await devices.show(live.installation, UDID)).identities, key=lambda version: version.number)


async def _states(live: Live) -> list[VersionState]:
    return [version.state for version in await _versions(live)]


async def _signer(live: Live, key: keys.PrivateKey, number: int = 0) -> tuple[x509.Certificate, keys.PrivateKey]:
    der = (await _versions(live))[number].certificate
    assert der is not None
    return certificates.load(der), key


async def _used(live: Live, certificate: x509.Certificate, device: EnrollmentKey) -> None:
    """The device has shown this identity."""

    def use(tx: Tx) -> None:
        version = tx.lineages.by_sha256(certificates.sha256(certificate))
        assert version is not None
        records.promote(tx, version, now=live.installation.clock.now(), actor="test", enrollment=device)

    await live.installation.store.run(use)


async def test_it_is_suspended_and_resumed_with_reasons_and_events(live: Live, device: EnrollmentKey) -> None:
    (suspended,) = await suspension.suspend(live.installation, UDID, reason="left in a train", actor="test")
    assert (suspended.state, suspended.reason) == (VersionState.SUSPENDED, "left in a train")
    resumed = await suspension.resume(live.installation, UDID, reason="found", actor="test")
    assert (resumed.state, resumed.reason, resumed.id) == (VersionState.ACTIVE, "found", suspended.id)
    for kind, reason in ((EventKind.CERTIFICATE_SUSPENDED, "left in a train"), (EventKind.CERTIFICATE_REINSTATED, "found")):
        (event,) = await live.installation.store.read(lambda tx, kind=kind: tx.events.find(kind=kind))  # type: ignore[misc]
        assert (event.enrollment_key, event.version_id, event.detail) == (device, suspended.id, {"reason": reason})


async def test_nothing_else_speaks_for_a_suspended_device(live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
    """It has one that was superseded and is still in its grace, one in force, and one that it never showed."""
    signer = await _signer(live, device_keys[0])
    second = await ask(live, device_keys[1], None, signer=signer)
    await _used(live, second, device)
    await ask(live, device_keys[2], None, signer=(second, device_keys[1]))
    assert await _states(live) == [VersionState.SUPERSEDED, VersionState.ACTIVE, VersionState.ISSUED]
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    assert await _states(live) == [VersionState.RETIRED, VersionState.SUSPENDED, VersionState.RETIRED]
    await suspension.resume(live.installation, UDID, actor="test")
    assert await _states(live) == [VersionState.RETIRED, VersionState.ACTIVE, VersionState.RETIRED]


@pytest.mark.parametrize("by_serial", [False, True], ids=["the device", "one identity"])
async def test_no_way_leads_from_a_suspended_identity_to_a_new_one(
    live: Live, device: EnrollmentKey, device_keys: Keys, by_serial: bool
) -> None:
    """Neither its signature, nor a challenge of a renewal that it fetched before."""
    signer = await _signer(live, device_keys[0])
    renewal = await identities.renew(live, UDID, actor="test")
    issued = new_challenge(device, Purpose.RENEW, live.installation.clock.now(), timedelta(days=1))
    await live.installation.store.run(lambda tx: tx.challenges.add(issued.challenge))
    name = f"{signer[0].serial_number:x}" if by_serial else UDID
    await suspension.suspend(live.installation, name, reason="lost", actor="test")
    for challenge, signed_by, is_renewal in (
        (None, signer, True),
        (None, signer, False),
        (issued.secret, signer, True),
        (issued.secret, None, False),
    ):
        with pytest.raises(SCEPError):
            await ask(live, device_keys[1], challenge, signer=signed_by, renewal=is_renewal)
    by_uuid = {command.uuid: command.state for command in (await devices.show(live.installation, UDID)).commands}
    assert by_uuid == {renewal.uuid: CommandState.CANCELLED}
    with pytest.raises(Conflict, match="no identity in force"):
        await identities.renew(live, UDID, actor="test")


async def test_one_identity_of_two_is_suspended_by_its_serial_number(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    signer = await _signer(live, device_keys[0])
    new = await ask(live, device_keys[1], None, signer=signer)
    await suspension.suspend(live.installation, f"{signer[0].serial_number:x}", reason="copied?", actor="test")
    assert await _states(live) == [VersionState.SUSPENDED, VersionState.ISSUED]
    await _used(live, new, device)
    with pytest.raises(Conflict, match=f"overtaken: {new.serial_number:x} is active"):
        await suspension.resume(live.installation, UDID, actor="test")
    assert await _states(live) == [VersionState.SUSPENDED, VersionState.ACTIVE]


async def test_of_two_that_are_suspended_the_later_comes_back(live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
    signer = await _signer(live, device_keys[0])
    new = await ask(live, device_keys[1], None, signer=signer)
    await suspension.suspend(live.installation, f"{signer[0].serial_number:x}", reason="copied?", actor="test")
    await _used(live, new, device)
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    resumed = await suspension.resume(live.installation, UDID, actor="test")
    assert resumed.sha256 == certificates.sha256(new)
    assert await _states(live) == [VersionState.SUSPENDED, VersionState.ACTIVE]


async def test_an_older_one_that_is_resumed_makes_room_for_the_later(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    signer = await _signer(live, device_keys[0])
    new = await ask(live, device_keys[1], None, signer=signer)
    old_serial, new_serial = f"{signer[0].serial_number:x}", f"{new.serial_number:x}"
    await suspension.suspend(live.installation, old_serial, reason="copied?", actor="test")
    await _used(live, new, device)
    await suspension.suspend(live.installation, new_serial, reason="lost", actor="test")
    await suspension.resume(live.installation, old_serial, actor="test")
    assert await _states(live) == [VersionState.ACTIVE, VersionState.SUSPENDED]
    await suspension.resume(live.installation, new_serial, actor="test")
    assert await _states(live) == [VersionState.SUPERSEDED, VersionState.ACTIVE]


async def test_what_has_ended_or_lost_its_enrollment_does_not_come_back(
    live: Live, device: EnrollmentKey, clock: SetClock
) -> None:
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    begun = clock.moment
    clock.moment += timedelta(days=366)
    with pytest.raises(Conflict, match="expired on"):
        await suspension.resume(live.installation, UDID, actor="test")
    clock.moment = begun

    def end(tx: Tx) -> None:
        enrollment = tx.enrollments.get(device)
        assert enrollment is not None
        identities.end(tx, enrollment, now=clock.now(), actor="test")
        identities.retire_all(tx, device, now=clock.now(), actor="test")

    await live.installation.store.run(end)
    with pytest.raises(Conflict, match="has ended"):
        await suspension.resume(live.installation, UDID, actor="test")
    assert await _states(live) == [VersionState.SUSPENDED]


async def test_what_cannot_be_meant_changes_nothing(live: Live, device: EnrollmentKey) -> None:
    root = live.current().authorities.root.certificate
    for name, error in (("nobody", NotFound), (f"{root.serial_number:x}", Conflict)):
        with pytest.raises(error):
            await suspension.suspend(live.installation, name, reason="lost", actor="test")
    with pytest.raises(Conflict, match="no suspended identity"):
        await suspension.resume(live.installation, UDID, actor="test")
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    with pytest.raises(Conflict, match="it is suspended"):
        await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    assert await _states(live) == [VersionState.SUSPENDED]


async def test_a_suspended_identity_can_be_revoked_and_keeps_its_device_until_then(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    """The revocation of another one, by its serial number, does not end an enrollment whose identity may come back."""
    signer = await _signer(live, device_keys[0])
    new = await ask(live, device_keys[1], None, signer=signer)
    await _used(live, new, device)
    await suspension.suspend(live.installation, f"{new.serial_number:x}", reason="lost", actor="test")
    await identities.revoke(live.installation, f"{signer[0].serial_number:x}", reason="old", actor="test")
    assert (await devices.show(live.installation, UDID)).enrollment.state == "active"
    (revoked,) = await identities.revoke(
        live.installation, UDID, reason="stolen", because=RevocationReason.KEY_COMPROMISE, actor="test"
    )
    assert (revoked.state, revoked.revoked_for) == (VersionState.REVOKED, RevocationReason.KEY_COMPROMISE)
    assert (await devices.show(live.installation, UDID)).enrollment.state == "checked-out"
