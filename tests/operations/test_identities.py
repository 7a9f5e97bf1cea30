"""Renewal, retirement and revocation of identities, from the server's side."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from bramley.model.commands import CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.lineages import RevocationReason, VersionState
from bramley.operations import devices, identities, records
from bramley.operations.enrollment_profiles import new_challenge
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from bramley.pki.scep.errors import SCEPError
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .conftest import ask, challenge_for, enrolled

Keys = list[keys.PrivateKey]
UDID = "00008030-001A35E40212802E"


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device with an active identity."""
    return await enrolled(live, device_keys[0], UDID)


async def _states(live: Live) -> list[VersionState]:
    return [version.state for version in (await devices.show(live.installation, UDID)).identities]


async def test_a_renewal_is_a_command_with_a_fresh_challenge_and_a_push(live: Live, device: EnrollmentKey) -> None:
    command = await identities.renew(live, UDID, actor="test")
    assert command.request_type == "InstallProfile"
    assert b"Challenge" not in command.payload  # sealed
    jobs = await live.installation.store.read(lambda tx: tx.jobs.of_kind("push"))
    assert [job.args["enrollment_key"] for job in jobs] == [device]


async def test_the_next_renewal_withdraws_an_unanswered_one(live: Live, device: EnrollmentKey) -> None:
    first = await identities.renew(live, UDID, actor="test")
    second = await identities.renew(live, UDID, actor="test")
    by_uuid = {c.uuid: c.state for c in (await devices.show(live.installation, UDID)).commands}
    assert by_uuid == {first.uuid: CommandState.CANCELLED, second.uuid: CommandState.QUEUED}
    assert (
        await live.installation.store.run(lambda tx: tx.challenges.void(device, Purpose.RENEW, live.installation.clock.now()))
        == 1
    )


async def test_only_an_active_device_is_renewed(live: Live, device: EnrollmentKey) -> None:
    with pytest.raises(NotFound, match="There is no device 'nobody'"):
        await identities.renew(live, "nobody", actor="test")
    await identities.revoke(live.installation, UDID, reason="stolen", actor="test")
    with pytest.raises(Conflict, match="checked-out"):
        await identities.renew(live, UDID, actor="test")


async def test_the_superseded_identity_is_retired_after_the_grace(
    live: Live, device: EnrollmentKey, device_keys: Keys, clock: SetClock
) -> None:
    old = (await devices.show(live.installation, UDID)).identities[0]
    assert old.certificate is not None
    signer = (certificates.load(old.certificate), device_keys[0])
    clock.moment += timedelta(days=1)
    new = await ask(live, device_keys[1], None, signer=signer, renewal=True)

    def use(tx: Tx) -> None:
        version = tx.lineages.by_sha256(certificates.sha256(new))
        assert version is not None
        records.promote(tx, version, now=clock.now(), actor="test", enrollment=device)

    await live.installation.store.run(use)
    assert await _states(live) == [VersionState.SUPERSEDED, VersionState.ACTIVE]
    clock.moment += timedelta(hours=71)
    assert await identities.retire_superseded(live.installation, actor="test") == 0
    clock.moment += timedelta(hours=2)
    assert await identities.retire_superseded(live.installation, actor="test") == 1
    assert await _states(live) == [VersionState.RETIRED, VersionState.ACTIVE]


async def test_revoking_the_device_ends_all(live: Live, device: EnrollmentKey) -> None:
    await identities.renew(live, UDID, actor="test")
    revoked = await identities.revoke(live.installation, UDID, reason="stolen", actor="test")
    assert [(version.reason, version.revoked_for) for version in revoked] == [("stolen", RevocationReason.UNSPECIFIED)]
    assert [version.revoked_for for version in (await devices.show(live.installation, UDID)).identities] == ["unspecified"]
    detail = await devices.show(live.installation, UDID)
    assert detail.enrollment.state is EnrollmentState.CHECKED_OUT
    assert [command.state for command in detail.commands] == [CommandState.CANCELLED]
    with pytest.raises(Conflict, match="no live identity"):
        await identities.revoke(live.installation, UDID, reason="again", actor="test")


async def test_revoking_one_of_two_leaves_the_device(live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
    old = (await devices.show(live.installation, UDID)).identities[0]
    assert old.certificate is not None
    new = await ask(live, device_keys[1], None, signer=(certificates.load(old.certificate), device_keys[0]), renewal=True)
    await identities.revoke(live.installation, f"{new.serial_number:X}", reason="leaked", actor="test")
    detail = await devices.show(live.installation, UDID)
    assert detail.enrollment.state is EnrollmentState.ACTIVE
    assert sorted(version.state for version in detail.identities) == [VersionState.ACTIVE, VersionState.REVOKED]


async def test_a_renewal_that_the_revoked_one_may_have_fetched_gets_nobody_an_identity(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    """Of two identities one is revoked, so the enrollment lives on, and what whoever has its key took from the queue with it."""
    old = await _certificate(live, 0)
    await ask(live, device_keys[1], None, signer=(old, device_keys[0]), renewal=True)
    renewal = await identities.renew(live, UDID, actor="test")
    issued = new_challenge(device, Purpose.RENEW, live.installation.clock.now(), timedelta(days=1))
    await live.installation.store.run(lambda tx: tx.challenges.add(issued.challenge))
    await identities.revoke(live.installation, f"{old.serial_number:x}", reason="copied", actor="test")
    with pytest.raises(SCEPError):
        await ask(live, device_keys[2], issued.secret)
    detail = await devices.show(live.installation, UDID)
    assert {command.uuid: command.state for command in detail.commands} == {renewal.uuid: CommandState.CANCELLED}
    assert detail.enrollment.state is EnrollmentState.ACTIVE


async def test_what_is_no_identity_is_not_revoked(live: Live) -> None:
    root = live.current().authorities.root.certificate
    with pytest.raises(Conflict, match="not a device identity"):
        await identities.revoke(live.installation, f"{root.serial_number:x}", reason="lost", actor="test")


async def test_profiles_fetched_and_never_used_stay_out_of_the_list(live: Live, device: EnrollmentKey) -> None:
    await challenge_for(live)
    listed = await devices.listing(live.installation)
    assert [each.enrollment.key for each in listed] == [device]


async def test_an_identity_that_was_overtaken_before_its_first_use_ends_too(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    """The answer to the first renewal was lost, and the device asked again."""
    signer = (await _certificate(live, 0), device_keys[0])
    await ask(live, device_keys[1], None, signer=signer)
    last = await ask(live, device_keys[2], None, signer=signer)

    def use(tx: Tx) -> None:
        version = tx.lineages.by_sha256(certificates.sha256(last))
        assert version is not None
        records.promote(tx, version, now=live.installation.clock.now(), actor="test", enrollment=device)

    await live.installation.store.run(use)
    # in any order: the clock stands
    assert sorted(await _states(live)) == [VersionState.ACTIVE, VersionState.SUPERSEDED, VersionState.SUPERSEDED]


async def test_a_retired_identity_can_still_be_revoked_by_its_serial_number(live: Live, device: EnrollmentKey) -> None:
    serial = f"{(await _certificate(live, 0)).serial_number:x}"

    def end(tx: Tx) -> None:
        enrollment = tx.enrollments.get(device)
        assert enrollment is not None
        now = live.installation.clock.now()
        identities.end(tx, enrollment, now=now, actor="test")
        assert identities.retire_all(tx, device, now=now, actor="test") == 1

    await live.installation.store.run(end)
    (revoked,) = await identities.revoke(live.installation, serial, reason="found", actor="test")
    assert revoked.revoked_for is RevocationReason.CESSATION_OF_OPERATION
    assert await _states(live) == [VersionState.REVOKED]
    with pytest.raises(Conflict, match="no live identity"):
        await identities.revoke(live.installation, serial, reason="again", actor="test")


async def test_revoking_by_a_users_name_ends_the_device(live: Live, device: EnrollmentKey) -> None:
    user = await _user(live, device)
    await identities.revoke(live.installation, f"{UDID}:ann", reason="stolen", actor="test")
    for key in (device, user):
        enrollment = await live.installation.store.read(lambda tx, key=key: tx.enrollments.get(key))  # type: ignore[misc]
        assert enrollment is not None
        assert enrollment.state is EnrollmentState.CHECKED_OUT


async def test_a_device_that_calls_itself_by_anothers_names_is_not_taken_for_it(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    """What a device calls itself is its own choice: our key, or the serial number, of another leads to that other."""
    serial = f"{(await _certificate(live, 0)).serial_number:x}"
    for name in (device, serial):
        await enrolled(live, device_keys[1], name)
    assert (await identities.renew(live, device, actor="test")).enrollment_key == device
    await identities.revoke(live.installation, serial, reason="stolen", actor="test")
    assert await _states(live) == [VersionState.REVOKED]


async def test_identities_of_an_enrollment_that_has_begun_again_are_not_retired(live: Live, device: EnrollmentKey) -> None:
    now = live.installation.clock.now()
    assert await live.installation.store.run(lambda tx: identities.retire_all(tx, device, now=now, actor="test")) == 0
    assert await _states(live) == [VersionState.ACTIVE]


async def _certificate(live: Live, number: int) -> x509.Certificate:
    der = (await devices.show(live.installation, UDID)).identities[number].certificate
    assert der is not None
    return certificates.load(der)


async def _user(live: Live, device: EnrollmentKey) -> EnrollmentKey:
    now, key = live.installation.clock.now(), EnrollmentKey("channel of ann")
    channel = Enrollment(
        key, EnrollmentState.ACTIVE, now, now, id=EnrollmentID(f"{UDID}:ann"), parent=device, user_id="ann", udid=UDID
    )
    await live.installation.store.run(lambda tx: tx.enrollments.add(channel))
    return key
