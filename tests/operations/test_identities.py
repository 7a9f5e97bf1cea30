"""Renewal, retirement and revocation of identities, from the server's side."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.model.commands import CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.lineages import VersionState
from bramley.operations import devices, identities, records
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .conftest import ask, challenge_for

Keys = list[keys.PrivateKey]
UDID = "00008030-001A35E40212802E"


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device with an active identity."""
    issued = await challenge_for(live)
    certificate = await ask(live, device_keys[0], issued.secret)
    now, key = live.installation.clock.now(), issued.challenge.enrollment_key

    def activate(tx: Tx) -> None:
        enrollment = tx.enrollments.get(key)
        version = tx.lineages.by_sha256(certificates.sha256(certificate))
        assert enrollment is not None
        assert version is not None
        tx.enrollments.update(
            replace(
                enrollment,
                id=EnrollmentID(UDID),
                udid=UDID,
                state=EnrollmentState.ACTIVE,
                push_token=b"token",
                push_magic="magic",
            )
        )
        records.promote(tx, version, now=now, actor="test", enrollment=key)

    await live.installation.store.run(activate)
    return key


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
    assert [version.reason for version in revoked] == ["stolen"]
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


async def test_what_is_no_identity_is_not_revoked(live: Live) -> None:
    root = live.current().authorities.root.authority.certificate
    with pytest.raises(Conflict, match="not a device identity"):
        await identities.revoke(live.installation, f"{root.serial_number:x}", reason="", actor="test")


async def test_profiles_fetched_and_never_used_stay_out_of_the_list(live: Live, device: EnrollmentKey) -> None:
    await challenge_for(live)
    listed: list[Enrollment] = list(await devices.listing(live.installation))
    assert [enrollment.key for enrollment in listed] == [device]
