"""Check-ins from end to end on a real store: enrolling, renewing, replacing, leaving, and who may not."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.mdm import checkin
from bramley.mdm.answer import Answer
from bramley.mdm.commands import SecurityInfo
from bramley.mdm.errors import BadMessage, NotOffered, Quarantined, Refusal, Refused
from bramley.mdm.messages import parse_checkin
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentKey, EnrollmentState, Purpose
from bramley.model.events import EventKind
from bramley.model.lineages import VersionState
from bramley.model.profiles import Handling, Installation, InstallState, ProfileID, StoredProfile
from bramley.pki.keystore import Place
from bramley.storage.protocols import Tx

from .kit import TOPIC, UDID, Identity, Server


async def refused(reason: Refusal, server: Server, identity: Identity, message_type: str, **keys: Any) -> None:
    with pytest.raises(Refused) as caught:
        await server.checkin(identity, message_type, **keys)
    assert caught.value.reason is reason, str(caught.value)


class TestEnrolling:
    async def test_a_device_enrolls(self, server: Server) -> None:
        identity = await server.issue(await server.enrollment())
        await server.authenticate(identity, DeviceName="Jo's Mac", Model="Mac14,2", ProductName="Mac", BuildVersion="24B83")
        pending = await server.row(identity.enrollment_key)
        assert (pending.state, pending.id, pending.udid) == (EnrollmentState.PENDING, UDID, UDID)
        assert (pending.serial_number, pending.device_name, pending.os_version) == ("C02X0001", "Jo's Mac", "15.1")
        assert await server.jobs("push") == []

        server.later(seconds=5)
        await server.token_update(identity, UnlockToken=b"unlock me")
        active = await server.row(identity.enrollment_key)
        assert (active.state, active.enrolled_at, active.topic) == (EnrollmentState.ACTIVE, server.now, TOPIC)
        assert (active.push_token, active.push_magic) == (b"\x01" * 32, "magic")
        assert active.unlock_token is not None
        assert b"unlock me" not in active.unlock_token
        assert server.sealer.open(active.unlock_token, Place("enrollment", active.key, "unlock-token")) == b"unlock me"

        (job,) = await server.jobs("push")
        assert (job.args, job.dedup_key, job.run_at) == ({"enrollment_key": active.key}, f"push:{active.key}", server.now)
        (authenticated,) = await server.events(EventKind.ENROLLMENT_AUTHENTICATED, active.key)
        assert (authenticated.actor, authenticated.version_id) == (f"device:{UDID}", identity.version_id)
        assert authenticated.detail["purpose"] == "enroll"
        assert len(await server.events(EventKind.ENROLLMENT_ACTIVATED, active.key)) == 1

    async def test_a_user_enrollment_goes_by_its_enrollment_id(self, server: Server) -> None:
        identity = await server.issue(await server.enrollment())
        await server.authenticate(identity, EnrollmentID="e-1")
        await server.token_update(identity, EnrollmentID="e-1")
        row = await server.row(identity.enrollment_key)
        assert (row.id, row.udid, row.enrollment_id) == ("e-1", None, "e-1")
        await refused(Refusal.NOT_THIS_DEVICE, server, identity, "CheckOut")

    async def test_a_repeated_authenticate_is_harmless(self, server: Server) -> None:
        identity = await server.issue(await server.enrollment())
        await server.authenticate(identity)
        await server.authenticate(identity, OSVersion="15.2")
        assert (await server.row(identity.enrollment_key)).os_version == "15.2"
        await server.token_update(identity)
        uuid = await server.queue(identity.enrollment_key, SecurityInfo())
        await server.checkin(identity, "SetBootstrapToken", BootstrapToken=b"boot")

        await server.authenticate(identity, OSVersion="15.3")
        row = await server.row(identity.enrollment_key)
        assert (row.state, row.os_version) == (EnrollmentState.ACTIVE, "15.3")
        assert row.bootstrap_token is not None
        assert (await server.command(row.key, uuid)).state is CommandState.QUEUED

    async def test_a_second_enroll_identity_of_one_enrollment_starts_afresh(self, server: Server) -> None:
        first = await server.enroll()
        await server.token_update(first, UserID="u-1")
        await server.checkin(first, "SetBootstrapToken", BootstrapToken=b"boot")
        uuid = await server.queue(first.enrollment_key, SecurityInfo())
        keys = [first.enrollment_key, *(channel.key for channel in await server.channels(first.enrollment_key))]
        await _install(server, *keys)

        second = await server.issue(first.enrollment_key)
        await server.authenticate(second)
        row = await server.row(first.enrollment_key)
        assert (row.state, row.bootstrap_token, row.push_token, row.enrolled_at) == (EnrollmentState.PENDING, None, None, None)
        assert (await server.command(row.key, uuid)).state is CommandState.CANCELLED
        assert [channel.state for channel in await server.channels(row.key)] == [EnrollmentState.CHECKED_OUT]
        assert await _installed(server, *keys) == [0, 0], "an erased device has no profiles"
        await server.token_update(second)
        assert (await server.row(row.key)).state is EnrollmentState.ACTIVE

    async def test_a_topic_that_is_not_ours_changes_nothing(self, server: Server) -> None:
        identity = await server.issue(await server.enrollment())
        await refused(Refusal.TOPIC_MISMATCH, server, identity, "Authenticate", Topic="com.apple.mgmt.External.other")
        assert (await server.row(identity.enrollment_key)).id is None

    async def test_a_link_for_one_device_enrolls_no_other(self, server: Server) -> None:
        identity = await server.issue(await server.enrollment(link=await server.link(udid="SOME-OTHER")))
        await refused(Refusal.NOT_THIS_DEVICE, server, identity, "Authenticate", Topic=TOPIC)
        await refused(Refusal.NOT_THIS_DEVICE, server, identity, "Authenticate", Topic=TOPIC, EnrollmentID="SOME-OTHER")

    async def test_a_link_for_the_device_enrolls_it(self, server: Server) -> None:
        identity = await server.enroll(link=await server.link(udid=UDID.lower()))
        assert (await server.row(identity.enrollment_key)).state is EnrollmentState.ACTIVE


class TestReplacing:
    async def test_an_active_device_cannot_be_taken(self, server: Server) -> None:
        victim = await server.enroll()
        thief = await server.issue(await server.enrollment(link=await server.link()))
        await refused(Refusal.DEVICE_TAKEN, server, thief, "Authenticate", Topic=TOPIC)
        assert (await server.row(victim.enrollment_key)).state is EnrollmentState.ACTIVE
        assert (await server.row(thief.enrollment_key)).id is None

    async def test_a_quarantined_device_cannot_be_taken(self, server: Server) -> None:
        victim = await server.enroll()
        await server.set_state(victim.enrollment_key, EnrollmentState.QUARANTINED)
        thief = await server.issue(await server.enrollment())
        await refused(Refusal.DEVICE_TAKEN, server, thief, "Authenticate", Topic=TOPIC)

    async def test_a_link_that_names_the_device_takes_its_place_and_inherits_nothing(self, server: Server) -> None:
        old = await server.enroll()
        await server.token_update(old, UserID="u-1")
        await server.checkin(old, "SetBootstrapToken", BootstrapToken=b"boot")
        erase = await server.queue(old.enrollment_key, SecurityInfo())

        new = await server.enroll(link=await server.link(udid=UDID))
        was, now = await server.row(old.enrollment_key), await server.row(new.enrollment_key)
        assert (was.state, now.state, now.bootstrap_token) == (EnrollmentState.CHECKED_OUT, EnrollmentState.ACTIVE, None)
        assert (await server.command(was.key, erase)).state is CommandState.CANCELLED
        assert [channel.state for channel in await server.channels(was.key)] == [EnrollmentState.CHECKED_OUT]
        assert await server.connect(new, "Idle") is None
        (job,) = await server.jobs("retire-identities")
        assert job.args == {"enrollment_key": was.key}
        (event,) = await server.events(EventKind.ENROLLMENT_REPLACED, was.key)
        assert event.detail == {"replaced_by": now.key, "was": "active", "cancelled": 1}
        await refused(Refusal.CHECKED_OUT, server, old, "TokenUpdate", Topic=TOPIC, Token=b"t", PushMagic="m")

    async def test_a_device_that_never_finished_or_has_left_may_come_again(self, server: Server) -> None:
        unfinished = await server.issue(await server.enrollment())
        await server.authenticate(unfinished)
        second = await server.enroll()
        assert (await server.row(unfinished.enrollment_key)).state is EnrollmentState.CHECKED_OUT
        await server.checkin(second, "CheckOut")
        third = await server.enroll()
        assert (await server.row(third.enrollment_key)).state is EnrollmentState.ACTIVE

    async def test_a_checked_out_enrollment_comes_back_with_a_new_identity(self, server: Server) -> None:
        old = await server.enroll()
        await server.checkin(old, "CheckOut")
        await refused(Refusal.CHECKED_OUT, server, old, "Authenticate", Topic=TOPIC)
        again = await server.issue(old.enrollment_key)
        await server.authenticate(again)
        await server.token_update(again)
        row = await server.row(old.enrollment_key)
        assert (row.state, row.enrolled_at) == (EnrollmentState.ACTIVE, server.now)

    async def test_and_not_if_the_device_is_enrolled_elsewhere_meanwhile(self, server: Server) -> None:
        old = await server.enroll()
        await server.checkin(old, "CheckOut")
        await server.enroll()
        again = await server.issue(old.enrollment_key)
        await refused(Refusal.DEVICE_TAKEN, server, again, "Authenticate", Topic=TOPIC)


class TestRenewing:
    async def test_a_renewal_keeps_everything(self, server: Server) -> None:
        old = await server.enroll()
        await server.token_update(old, UnlockToken=b"unlock")
        await server.checkin(old, "SetBootstrapToken", BootstrapToken=b"boot")
        uuid = await server.queue(old.enrollment_key, SecurityInfo())
        before = await server.row(old.enrollment_key)

        server.later(days=200)
        new = await server.issue(old.enrollment_key, Purpose.RENEW)
        await server.authenticate(new, OSVersion="16.0")
        after = await server.row(old.enrollment_key)
        assert (after.state, after.os_version, after.enrolled_at) == (EnrollmentState.ACTIVE, "16.0", before.enrolled_at)
        assert (after.bootstrap_token, after.unlock_token) == (before.bootstrap_token, before.unlock_token)
        assert (await server.command(old.enrollment_key, uuid)).state is CommandState.QUEUED
        await server.token_update(new)
        message = await server.connect(new, "Idle")
        assert message is not None
        assert message["CommandUUID"] == uuid
        purposes = [event.detail["purpose"] for event in await server.events(EventKind.ENROLLMENT_AUTHENTICATED)]
        assert purposes == ["renew", "enroll"]

    async def test_a_renewal_is_for_its_own_device_and_topic(self, server: Server) -> None:
        server.topics = (TOPIC, "com.apple.mgmt.External.second")
        old = await server.enroll()
        new = await server.issue(old.enrollment_key, Purpose.RENEW)
        await refused(Refusal.NOT_THIS_DEVICE, server, new, "Authenticate", Topic=TOPIC, UDID="another")
        await refused(Refusal.TOPIC_MISMATCH, server, new, "Authenticate", Topic="com.apple.mgmt.External.second")
        await refused(Refusal.TOPIC_MISMATCH, server, old, "Authenticate", Topic="com.apple.mgmt.External.second")

    async def test_a_renewal_cannot_introduce_a_device(self, server: Server) -> None:
        identity = await server.issue(await server.enrollment(), Purpose.RENEW)
        await refused(Refusal.NOT_THIS_DEVICE, server, identity, "Authenticate", Topic=TOPIC)

    async def test_a_renewal_does_not_lift_a_quarantine(self, server: Server) -> None:
        old = await server.enroll()
        await server.set_state(old.enrollment_key, EnrollmentState.QUARANTINED)
        for purpose in Purpose:
            identity = await server.issue(old.enrollment_key, purpose)
            await server.authenticate(identity)
            await server.token_update(identity)
            assert (await server.row(old.enrollment_key)).state is EnrollmentState.QUARANTINED

    async def test_a_revoked_identity_is_refused_at_once(self, server: Server) -> None:
        identity = await server.enroll()
        await server.set_version(identity, VersionState.REVOKED)
        await refused(Refusal.REVOKED, server, identity, "GetBootstrapToken")


class TestTokenUpdate:
    async def test_only_news_is_worth_a_push(self, server: Server) -> None:
        identity = await server.enroll()
        await _drain_jobs(server)
        await server.token_update(identity)
        assert await _drain_jobs(server) == 0
        await server.token_update(identity, PushMagic="other magic")
        assert await _drain_jobs(server) == 1

    async def test_a_dead_token_that_comes_again_is_tried_again(self, server: Server) -> None:
        identity = await server.enroll()
        await _drain_jobs(server)
        stopped = replace(await server.row(identity.enrollment_key), push_stopped_at=server.now)
        await server.store.run(lambda tx: tx.enrollments.update(stopped))
        await server.token_update(identity)
        assert (await server.row(identity.enrollment_key)).push_stopped_at is None
        assert await _drain_jobs(server) == 1

    async def test_an_absent_unlock_token_is_unchanged(self, server: Server) -> None:
        identity = await server.enroll()
        await server.token_update(identity, UnlockToken=b"first")
        kept = (await server.row(identity.enrollment_key)).unlock_token
        await server.token_update(identity)
        assert kept is not None
        assert (await server.row(identity.enrollment_key)).unlock_token == kept

    async def test_the_topic_stays_the_one_of_authenticate(self, server: Server) -> None:
        server.topics = (TOPIC, "com.apple.mgmt.External.second")
        identity = await server.enroll()
        keys = {"Token": b"t", "PushMagic": "m"}
        await refused(Refusal.TOPIC_MISMATCH, server, identity, "TokenUpdate", Topic="com.apple.mgmt.External.second", **keys)

    async def test_a_user_gets_a_channel_of_its_own(self, server: Server) -> None:
        identity = await server.enroll()
        await _drain_jobs(server)
        user = {"UserID": "u-1", "UserShortName": "jo", "UserLongName": "Jo Appleseed", "Token": b"\x02" * 32}
        await server.token_update(identity, **user)
        (channel,) = await server.channels(identity.enrollment_key)
        assert (channel.state, channel.id, channel.user_id) == (EnrollmentState.ACTIVE, f"{UDID}:u-1", "u-1")
        assert (channel.user_short_name, channel.user_long_name) == ("jo", "Jo Appleseed")
        assert (channel.topic, channel.push_token) == (TOPIC, b"\x02" * 32)
        assert (await server.row(identity.enrollment_key)).push_token == b"\x01" * 32
        assert await _drain_jobs(server) == 2, "a push, and the profiles of the user"
        await server.token_update(identity, **user)
        assert len(await server.channels(identity.enrollment_key)) == 1

    async def test_a_user_who_left_comes_back_to_the_same_channel(self, server: Server) -> None:
        identity = await server.enroll()
        await server.token_update(identity, UserID="u-1")
        (channel,) = await server.channels(identity.enrollment_key)
        await server.queue(channel.key, SecurityInfo())
        await _install(server, identity.enrollment_key, channel.key)
        await server.checkin(identity, "CheckOut", UserID="u-1")
        assert await _installed(server, identity.enrollment_key, channel.key) == [1, 0]
        assert (await server.row(identity.enrollment_key)).state is EnrollmentState.ACTIVE
        assert (await server.row(channel.key)).state is EnrollmentState.CHECKED_OUT
        await refused(Refusal.UNKNOWN_CHANNEL, server, identity, "CheckOut", UserID="u-1")
        await server.token_update(identity, UserID="u-1")
        assert (await server.row(channel.key)).state is EnrollmentState.ACTIVE
        assert await server.connect(identity, "Idle", UserID="u-1") is None


class TestLeaving:
    async def test_a_device_checks_out_with_its_users_and_its_queue(self, server: Server) -> None:
        identity = await server.enroll()
        await server.token_update(identity, UserID="u-1")
        (channel,) = await server.channels(identity.enrollment_key)
        uuids = [(key, await server.queue(key, SecurityInfo())) for key in (identity.enrollment_key, channel.key)]
        await _install(server, identity.enrollment_key, channel.key)
        assert await server.checkin(identity, "CheckOut") == Answer()
        assert await _installed(server, identity.enrollment_key, channel.key) == [0, 0]
        for key, uuid in uuids:
            assert (await server.row(key)).state is EnrollmentState.CHECKED_OUT
            assert (await server.command(key, uuid)).state is CommandState.CANCELLED
        (event,) = await server.events(EventKind.ENROLLMENT_CHECKED_OUT)
        assert (event.enrollment_key, event.detail) == (identity.enrollment_key, {"quarantined": False, "cancelled": 2})
        with pytest.raises(Refused):
            await server.connect(identity, "Idle")

    async def test_a_quarantined_device_does_not_get_away(self, server: Server) -> None:
        identity = await server.enroll()
        await server.set_state(identity.enrollment_key, EnrollmentState.QUARANTINED)
        uuid = await server.queue(identity.enrollment_key, SecurityInfo())
        await server.checkin(identity, "CheckOut")
        assert (await server.row(identity.enrollment_key)).state is EnrollmentState.QUARANTINED
        assert (await server.command(identity.enrollment_key, uuid)).state is CommandState.QUEUED
        (event,) = await server.events(EventKind.ENROLLMENT_CHECKED_OUT)
        assert event.detail == {"quarantined": True, "cancelled": 0}

    async def test_what_was_decided_before_a_check_out_does_not_undo_it(self, server: Server) -> None:
        """A TokenUpdate that was authenticated just before the CheckOut was stored."""
        identity = await server.enroll()
        keys = {"MessageType": "TokenUpdate", "UDID": UDID, "Topic": TOPIC, "Token": b"t", "PushMagic": "m"}
        message = parse_checkin(plistlib.dumps(keys))
        device = await server.device(identity, plistlib.dumps(keys), message)
        await server.checkin(identity, "CheckOut")
        with pytest.raises(Refused, match="on its way"):
            await server.store.run(
                lambda tx: checkin.handle(tx, device, message, now=server.now, sealer=server.sealer, topics=server.topics)
            )


class TestBootstrapToken:
    async def test_is_kept_sealed_and_given_back(self, server: Server) -> None:
        identity = await server.enroll()
        assert await server.checkin(identity, "GetBootstrapToken") == Answer()
        await server.checkin(identity, "SetBootstrapToken", BootstrapToken=b"boot")
        sealed = (await server.row(identity.enrollment_key)).bootstrap_token
        assert sealed is not None
        assert b"boot" not in sealed
        answer = await server.checkin(identity, "GetBootstrapToken")
        assert answer.content_type == "application/xml"
        assert answer.body is not None
        assert plistlib.loads(answer.body) == {"BootstrapToken": b"boot"}
        for kind in (EventKind.BOOTSTRAP_TOKEN_SET, EventKind.BOOTSTRAP_TOKEN_READ):
            (event,) = await server.events(kind)
            assert event.detail == {}

    async def test_an_empty_one_deletes_it(self, server: Server) -> None:
        identity = await server.enroll()
        await server.checkin(identity, "SetBootstrapToken", BootstrapToken=b"boot")
        await server.checkin(identity, "SetBootstrapToken")
        assert (await server.row(identity.enrollment_key)).bootstrap_token is None
        assert len(await server.events(EventKind.BOOTSTRAP_TOKEN_DELETED)) == 1

    async def test_is_withheld_in_quarantine(self, server: Server) -> None:
        identity = await server.enroll()
        await server.checkin(identity, "SetBootstrapToken", BootstrapToken=b"boot")
        await server.set_state(identity.enrollment_key, EnrollmentState.QUARANTINED)
        for message_type in ("GetBootstrapToken", "SetBootstrapToken"):
            with pytest.raises(Quarantined):
                await server.checkin(identity, message_type)
        assert (await server.row(identity.enrollment_key)).bootstrap_token is not None

    async def test_is_not_for_users(self, server: Server) -> None:
        identity = await server.enroll()
        await server.token_update(identity, UserID="u-1")
        with pytest.raises(NotOffered, match="device channel"):
            await server.checkin(identity, "GetBootstrapToken", UserID="u-1")


@pytest.mark.parametrize(
    ("message_type", "keys"),
    [
        ("GetToken", {"TokenServiceType": "com.apple.maid"}),
        ("UserAuthenticate", {"UserID": "u-9"}),
        ("DeclarativeManagement", {"Endpoint": "tokens"}),
    ],
)
async def test_what_is_not_offered_says_so(server: Server, message_type: str, keys: dict[str, Any]) -> None:
    identity = await server.enroll()
    with pytest.raises(NotOffered) as caught:
        await server.checkin(identity, message_type, **keys)
    assert caught.value.kind == message_type


async def test_an_unknown_message_type_is_a_bad_message(server: Server) -> None:
    identity = await server.enroll()
    with pytest.raises(BadMessage, match="ReturnToService"):
        await server.checkin(identity, "ReturnToService")


async def test_another_devices_key_is_not_ours_to_use(server: Server) -> None:
    """Two enrolled devices: each with its own identity, neither with the other's name."""
    first = await server.enroll()
    second = await server.issue(await server.enrollment())
    await server.authenticate(second, UDID="SECOND")
    await refused(Refusal.NOT_THIS_DEVICE, server, second, "GetBootstrapToken")
    await refused(Refusal.NOT_THIS_DEVICE, server, first, "GetBootstrapToken", UDID="SECOND")


async def _install(server: Server, *keys: EnrollmentKey) -> None:
    """Puts a profile on record as installed."""

    def put(tx: Tx) -> None:
        profile_id = ProfileID("wifi")
        tx.profiles.add(
            StoredProfile(profile_id, "example.wifi", "Wi-Fi", 1, Handling.SIGN, b"sealed", "ab", server.now, server.now, "test")
        )
        for key in keys:
            tx.profiles.put(Installation(key, profile_id, 1, InstallState.INSTALLED, server.now))

    await server.store.run(put)


async def _installed(server: Server, *keys: EnrollmentKey) -> list[int]:
    """How many profiles each has, as far as is on record."""
    return await server.store.read(lambda tx: [len(tx.profiles.on_device(key)) for key in keys])


async def _drain_jobs(server: Server) -> int:
    """How many jobs were ready; they are now done."""

    def drain(tx: Tx) -> int:
        jobs = tx.jobs.claim("test", server.now, timedelta(minutes=1), 100)
        for job in jobs:
            assert job.id is not None
            tx.jobs.finish(job.id, "test")
        return len(jobs)

    return await server.store.run(drain)


class TestAnIdentityThatHasEnded:
    """Its device says how it is woken for the renewal, and nothing else."""

    async def test_moves_the_push_token_and_no_secret(self, server: Server) -> None:
        identity = await server.enroll()
        await server.token_update(identity, UnlockToken=b"unlock")
        before = await server.row(identity.enrollment_key)
        server.later(days=400)
        await server.token_update(identity, Token=b"\x02" * 32, PushMagic="later", UnlockToken=b"theirs")
        after = await server.row(identity.enrollment_key)
        assert (after.push_token, after.push_magic) == (b"\x02" * 32, "later")
        assert (after.unlock_token, after.state) == (before.unlock_token, before.state)

    @pytest.mark.parametrize(
        ("message_type", "keys"),
        [
            ("Authenticate", {"Topic": TOPIC}),
            ("CheckOut", {}),
            ("SetBootstrapToken", {"BootstrapToken": b"theirs"}),
            ("GetBootstrapToken", {}),
            ("TokenUpdate", {"Topic": TOPIC, "Token": b"t", "PushMagic": "m", "UserID": "u-1"}),
        ],
    )
    async def test_changes_and_learns_nothing_else(self, server: Server, message_type: str, keys: dict[str, Any]) -> None:
        identity = await server.enroll()
        before = await server.row(identity.enrollment_key)
        server.later(days=400)
        with pytest.raises(Refused) as caught:
            await server.checkin(identity, message_type, **keys)
        assert caught.value.reason is Refusal.EXPIRED
        assert await server.row(identity.enrollment_key) == before
