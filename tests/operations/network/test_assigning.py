"""Templates kept and sealed, identities sent, answered, taken back and revoked: all of it, or nothing."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.lifecycle.schedule import retry_at
from bramley.mdm.connect import payload_place
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.lineages import Policy, RevocationReason, VersionState
from bramley.model.networks import NetworkState
from bramley.operations import certificates as certificate_operations
from bramley.operations import devices
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.live import Live
from bramley.operations.network import ending, sending, standing, templates
from bramley.operations.network.timing import Act, Move, move
from bramley.pki import certificates, chains, cms, keys
from bramley.profiles.errors import MissingVariable
from bramley.profiles.network import BadTemplate
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock
from tests.operations.conftest import ask, enrolled

from .kit import OTHER, UDID, WIFI, answer, assignment, challenge_in, change, fetch, profile_in, put, send, versions

Keys = list[keys.PrivateKey]
DAY = timedelta(days=1)


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device, and a template."""
    await put(live)
    return await enrolled(live, device_keys[0], UDID)


async def pending(live: Live, udid: str = UDID) -> list[str]:
    found = (await devices.show(live.installation, udid)).commands
    return [each.request_type for each in found if each.state in (CommandState.QUEUED, CommandState.NOT_NOW)]


class TestTemplates:
    async def test_one_takes_the_place_of_the_one_of_its_name(self, live: Live, device: EnrollmentKey) -> None:
        installation = live.installation
        again = await templates.put(installation, WIFI.encode(), actor="test")
        other = await templates.put(installation, WIFI.replace("wifi", "vpn").encode(), actor="test")
        changed = await templates.put(installation, (WIFI + "key_size = 4096").encode(), actor="test")
        assert [each.changed for each in (again, other, changed)] == [False, True, True]
        assert [each.template.key_size for each in await templates.listing(installation)] == [2048, 4096]
        await send(live)
        assert (await templates.show(installation, "wifi")).devices == 1
        with pytest.raises(Conflict, match="1 device"):
            await templates.remove(installation, "wifi", actor="test")
        await templates.remove(installation, "vpn", actor="test")
        for gone in (templates.show(installation, "vpn"), templates.remove(installation, "vpn", actor="test")):
            with pytest.raises(NotFound):
                await gone
        kinds = [event.kind for event in await installation.store.read(lambda tx: tx.events.find(limit=1000))]
        assert (kinds.count(EventKind.NETWORK_TEMPLATE_KEPT), kinds.count(EventKind.NETWORK_TEMPLATE_REMOVED)) == (3, 1)

    async def test_a_bad_one_changes_nothing(self, live: Live, device: EnrollmentKey) -> None:
        with pytest.raises(BadTemplate):
            await templates.put(live.installation, (WIFI + "key_size = 1").encode(), actor="test")
        assert (await templates.show(live.installation, "wifi")).template.key_size == 2048

    async def test_its_secrets_are_sealed_and_told_nowhere(self, live: Live, device: EnrollmentKey) -> None:
        ca = certificates.pem(live.current().authorities.root.certificate).decode()
        table = f'[outside]\nurl = "https://ca.example"\nchallenge = "s3cret"\nca = """{ca}"""\n'
        await put(live, WIFI.replace("lifetime_days = 30", "") + table)
        command = await send(live)
        assert challenge_in(live, command) == "s3cret"
        listed = [await templates.listing(live.installation), await standing.listing(live.installation)]
        events = await live.installation.store.read(lambda tx: tx.events.find(limit=1000))
        assert "s3cret" not in repr(listed) + repr(events)
        await live.installation.store.close()
        for file in live.installation.settings.data.iterdir():
            assert b"s3cret" not in file.read_bytes()


class TestAssigning:
    async def test_the_profile_is_signed_and_names_the_device(self, live: Live, device: EnrollmentKey) -> None:
        command = await send(live)
        sealed = live.installation.sealer.open(command.payload, payload_place(command.uuid))
        signed = cms.parse_signed_data(plistlib.loads(sealed)["Command"]["Payload"])
        signer = certificates.load(cms.verify(signed, policy=cms.STRICT).certificate)
        others = [certificates.load(each) for each in signed.certificates]
        chains.verify(signer, intermediates=others, anchors=[live.current().authorities.root.certificate], at=NOW)
        assert signer == live.current().signer.certificate
        profile = profile_in(live, command)
        assert profile["PayloadIdentifier"] == "bramley.network.wifi"
        assert profile["PayloadContent"][0]["PayloadContent"]["Subject"][1] == [["CN", device]]
        stands = await assignment(live, device)
        assert (stands.state, stands.command_uuid, stands.sent_at) == (NetworkState.SENT, command.uuid, NOW)
        assert len(await live.installation.store.read(lambda tx: tx.jobs.of_kind("push"))) == 1

    @pytest.mark.parametrize(
        ("names", "error"),
        [
            ([UDID, "nobody"], NotFound),
            ([UDID, OTHER], Conflict),
            ([UDID], MissingVariable),
        ],
    )
    async def test_all_devices_or_none(
        self, live: Live, device: EnrollmentKey, device_keys: Keys, names: Sequence[str], error: type[Exception]
    ) -> None:
        other = await enrolled(live, device_keys[1], OTHER)
        await change(live, other, state=EnrollmentState.QUARANTINED)
        if error is MissingVariable:
            await put(live, WIFI.replace("enrollment.key", "device.serial"))
        with pytest.raises(error):
            await sending.assign(live, "wifi", names, actor="test")
        assert await pending(live) == []
        assert await live.installation.store.read(lambda tx: tx.networks.of(device)) == []
        with pytest.raises(NotFound, match="template"):
            await sending.assign(live, "mail", [UDID], actor="test")

    async def test_what_a_device_has_already_is_left_alone(self, live: Live, device: EnrollmentKey) -> None:
        command = await send(live)
        first, second = await sending.assign(live, "wifi", [UDID, device, UDID], actor="test"), await assignment(live, device)
        assert [(each.command, each.assignment) for each in first] == [(None, second)]
        assert second.command_uuid == command.uuid

    async def test_one_sent_anew_takes_the_place_of_what_waits(
        self, live: Live, device: EnrollmentKey, device_keys: Keys
    ) -> None:
        first, second = await send(live), await send(live)
        assert await pending(live) == ["InstallProfile"]
        await ask(live, device_keys[1], challenge_in(live, second))
        await answer(live, first)  # it was on its way
        assert (await assignment(live, device)).state is NetworkState.SENT
        await answer(live, second)
        assert (await assignment(live, device)).state is NetworkState.INSTALLED
        with pytest.raises(Conflict, match="mail"):
            await sending.renew(live, UDID, "mail", actor="test")


class TestAnswers:
    async def test_acknowledged_it_is_in_force_until_the_next_is_due(
        self, live: Live, device: EnrollmentKey, device_keys: Keys
    ) -> None:
        await fetch(live, device_keys[1], await send(live))
        (version,) = await versions(live, device)
        (stands,) = await standing.listing(live.installation, device=UDID)
        assert (version.state, stands.version) == (VersionState.ACTIVE, version)
        assert (stands.assignment.state, stands.assignment.look_at) == (NetworkState.INSTALLED, stands.due_at)
        assert stands.due_at is not None
        assert NOW + 17 * DAY < stands.due_at < NOW + 23 * DAY

    async def test_an_error_is_kept_in_the_devices_words_and_ends_the_right(
        self, live: Live, device: EnrollmentKey, device_keys: Keys
    ) -> None:
        said = {"ErrorDomain": "MDM-SCEP", "ErrorCode": 15002, "LocalizedDescription": "no luck"}
        for attempt in (1, 2, 3):
            command = await send(live)
            await answer(live, command, CommandState.ERROR, ErrorChain=[said])
            stands = await assignment(live, device)
            assert (stands.state, stands.attempts) == (NetworkState.FAILED, attempt)
            assert stands.look_at == NOW + timedelta(hours=1) * 2 ** (attempt - 1)
            assert stands.problem == "error; MDM-SCEP 15002: no luck"
        with pytest.raises(Exception, match="badRequest"):
            await ask(live, device_keys[1], challenge_in(live, command))

    async def test_acknowledged_without_asking_for_a_certificate(self, live: Live, device: EnrollmentKey) -> None:
        await answer(live, await send(live))
        stands = await assignment(live, device)
        assert stands.state is NetworkState.FAILED
        assert "fetched no identity" in stands.problem

    async def test_the_next_one_takes_the_place_of_the_former_and_of_what_was_never_used(
        self, live: Live, device: EnrollmentKey, device_keys: Keys, clock: SetClock
    ) -> None:
        await fetch(live, device_keys[1], await send(live))
        command = await send(live)
        await ask(live, device_keys[1], challenge_in(live, command))
        await answer(live, command, CommandState.ERROR)
        clock.moment += timedelta(seconds=1)
        await fetch(live, device_keys[2], await send(live))
        states = [version.state for version in await versions(live, device)]
        assert states == [VersionState.SUPERSEDED, VersionState.SUPERSEDED, VersionState.ACTIVE]
        assert (await assignment(live, device)).problem == ""
        clock.moment += timedelta(hours=73)
        assert await ending.retire_superseded(live.installation, actor="test") == 2

    async def test_a_changed_template_holds_from_the_next_one_on(
        self, live: Live, device: EnrollmentKey, device_keys: Keys
    ) -> None:
        await fetch(live, device_keys[1], await send(live))
        await put(live, WIFI.replace("30", "60") + "renew_at = 0.5\n")
        await fetch(live, device_keys[2], await send(live))
        version = (await versions(live, device))[1]
        lineage = await live.installation.store.read(lambda tx: tx.lineages.get(version.lineage_id))
        assert lineage is not None
        assert (lineage.policy.lifetime, lineage.policy.renew_at) == (60 * DAY, 0.5)
        assert version.not_after == NOW + 60 * DAY


class TestTakenBack:
    @pytest.mark.parametrize("state", [EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED, EnrollmentState.CHECKED_OUT])
    async def test_unassigned(self, live: Live, device: EnrollmentKey, device_keys: Keys, state: EnrollmentState) -> None:
        await fetch(live, device_keys[1], await send(live))
        waiting = await send(live)
        await change(live, device, state=state)
        (taken,) = await ending.unassign(live.installation, "wifi", [UDID], actor="test")
        assert [version.revoked_for for version in taken.ended] == [RevocationReason.CESSATION_OF_OPERATION]
        assert [version.state for version in await versions(live, device)] == [VersionState.REVOKED]
        reached = state is not EnrollmentState.CHECKED_OUT
        assert await pending(live) == (["RemoveProfile"] if reached else [])
        assert (await assignment(live, device)).state is (NetworkState.REMOVING if reached else NetworkState.ENDED)
        await answer(live, waiting)
        if taken.command is not None:
            await answer(live, taken.command, CommandState.ERROR)  # it was not there
        assert (await assignment(live, device)).state is NetworkState.ENDED
        with pytest.raises(Conflict):
            await ending.unassign(live.installation, "wifi", [UDID], actor="test")

    async def test_of_several_all_or_none(self, live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
        await fetch(live, device_keys[1], await send(live))
        await enrolled(live, device_keys[2], OTHER)
        with pytest.raises(Conflict):
            await ending.unassign(live.installation, "wifi", [UDID, OTHER], actor="test")
        assert [version.state for version in await versions(live, device)] == [VersionState.ACTIVE]

    @pytest.mark.parametrize("by", ["device", "template", "serial", "sha256"])
    async def test_revoked_it_is_not_replaced_until_asked_for(
        self, live: Live, device: EnrollmentKey, device_keys: Keys, by: str
    ) -> None:
        await fetch(live, device_keys[1], await send(live))
        waiting = await send(live)
        (version,) = await versions(live, device)
        name = {"serial": version.serial, "sha256": version.sha256}.get(by) or UDID
        template = "wifi" if by == "template" else None
        because = RevocationReason.KEY_COMPROMISE
        (revoked,) = await ending.revoke(live.installation, name, template, reason="leaked", because=because, actor="test")
        assert (revoked.id, revoked.state, revoked.revoked_for) == (version.id, VersionState.REVOKED, because)
        stands = await assignment(live, device)
        assert (stands.state, stands.look_at, stands.problem) == (NetworkState.FAILED, None, "revoked: leaked")
        assert await pending(live) == []
        with pytest.raises(Exception, match="badRequest"):
            await ask(live, device_keys[2], challenge_in(live, waiting))
        await fetch(live, device_keys[2], await send(live))
        assert [each.state for each in await versions(live, device)] == [VersionState.REVOKED, VersionState.ACTIVE]

    async def test_what_is_no_network_identity_is_not_revoked_as_one(
        self, live: Live, device: EnrollmentKey, device_keys: Keys
    ) -> None:
        own = (await devices.show(live.installation, UDID)).identities[0]
        for name, error in ((own.serial, Conflict), (UDID, Conflict), ("nobody", NotFound)):
            with pytest.raises(error):
                await ending.revoke(live.installation, name or "", reason="x", actor="test")
        found = await certificate_operations.show(live.installation, own.serial or "")
        assert found.row.version.state is VersionState.ACTIVE

    async def test_an_enrollment_that_has_ended_takes_everything_with_it(
        self, live: Live, device: EnrollmentKey, device_keys: Keys
    ) -> None:
        await fetch(live, device_keys[1], await send(live))
        waiting = await send(live)

        def end(tx: Tx) -> int:
            return ending.end_all(tx, device, now=NOW, actor="test")

        assert [await live.installation.store.run(end) for _ in range(2)] == [1, 0]
        (version,) = await versions(live, device)
        assert (version.state, version.reason) == (VersionState.REVOKED, "enrollment ended")
        with pytest.raises(Exception, match="badRequest"):
            await ask(live, device_keys[2], challenge_in(live, waiting))


SENT, FAILED, INSTALLED = NetworkState.SENT, NetworkState.FAILED, NetworkState.INSTALLED
ACTIVE, TOMORROW = EnrollmentState.ACTIVE, NOW + DAY


@pytest.mark.parametrize(
    ("state", "enrollment", "sent", "age", "expected"),
    [
        (SENT, ACTIVE, timedelta(0), None, Move(Act.WAKE, TOMORROW)),
        (SENT, ACTIVE, 7 * DAY - timedelta(seconds=1), None, Move(Act.WAKE, TOMORROW)),
        (SENT, ACTIVE, 7 * DAY, 19 * DAY, Move(Act.SEND, TOMORROW)),
        (FAILED, ACTIVE, timedelta(0), 1 * DAY, Move(Act.SEND, TOMORROW)),
        (INSTALLED, ACTIVE, timedelta(0), None, Move(Act.ASK, TOMORROW)),
        (INSTALLED, ACTIVE, timedelta(0), 1 * DAY, Move(Act.WAIT, NOW + 19 * DAY)),
        (INSTALLED, ACTIVE, timedelta(0), 20 * DAY, Move(Act.SEND, TOMORROW)),
        (INSTALLED, ACTIVE, timedelta(0), 500 * DAY, Move(Act.SEND, TOMORROW)),
        (INSTALLED, EnrollmentState.QUARANTINED, timedelta(0), 20 * DAY, Move(Act.WAIT, TOMORROW)),
        (SENT, EnrollmentState.CHECKED_OUT, 9 * DAY, None, Move(Act.WAIT, TOMORROW)),
        (NetworkState.REMOVING, ACTIVE, 9 * DAY, 20 * DAY, Move(Act.WAIT, None)),
        (NetworkState.ENDED, ACTIVE, 9 * DAY, 20 * DAY, Move(Act.WAIT, None)),
    ],
)
async def test_what_is_done_when(
    live: Live,
    device: EnrollmentKey,
    device_keys: Keys,
    state: NetworkState,
    enrollment: EnrollmentState,
    sent: timedelta,
    age: timedelta | None,
    expected: Move,
) -> None:
    await fetch(live, device_keys[1], await send(live))
    (version,) = await versions(live, device)
    stands = replace(await assignment(live, device), state=state, sent_at=NOW - sent)
    aged = None
    if age is not None:
        begun = NOW - age
        aged = (replace(version, not_before=begun, not_after=begun + 30 * DAY), Policy(renew_at=2 / 3))
    assert move(stands, enrollment, aged, NOW, patience=7 * DAY) == expected


def test_failures_are_tried_again_ever_more_seldom() -> None:
    hours = [(retry_at(attempts, NOW) - NOW) / timedelta(hours=1) for attempts in (1, 2, 3, 7, 8, 9, 1000)]
    assert hours == [1, 2, 4, 64, 128, 168, 168]
