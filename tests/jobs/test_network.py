"""Network identities in time: what is due goes out, silence and failure are waited out, the end comes with the enrollment's."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from bramley.jobs.network import Networks
from bramley.jobs.reconcile import Reconciliations
from bramley.lifecycle import schedule
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.lineages import VersionState
from bramley.model.networks import NetworkState
from bramley.operations import devices, reconcile
from bramley.operations.device_certificates import What
from bramley.operations.live import Live
from bramley.operations.network import sending, templates
from bramley.operations.network.learning import UNSEEN
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock
from tests.operations.conftest import ask, enrolled
from tests.operations.network.kit import (
    UDID,
    WIFI,
    answer,
    assignment,
    challenge_in,
    change,
    fetch,
    profile_in,
    put,
    send,
    versions,
)

Keys = list[keys.PrivateKey]
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device, and a template."""
    await put(live)
    key = await enrolled(live, device_keys[0], UDID)
    await change(live, key, enrolled_at=NOW)
    return key


@pytest.fixture
def jobs(live: Live) -> Networks:
    return Networks(live)


async def run(live: Live, jobs: Networks) -> list[Command]:
    """One round; the InstallProfiles that wait now."""
    now = live.installation.clock.now()
    assert await jobs.renew_due([Job("network-renew-due", now, now)]) == [DONE]
    found = (await devices.show(live.installation, UDID)).commands
    return [each for each in found if each.state is CommandState.QUEUED and each.request_type == "InstallProfile"]


async def pushes(live: Live) -> int:
    return len(await live.installation.store.read(lambda tx: tx.jobs.of_kind("push")))


async def test_it_goes_out_again_when_it_is_due_and_not_before(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
) -> None:
    await fetch(live, device_keys[1], await send(live))
    due = (await assignment(live, device)).look_at
    (version,) = await versions(live, device)
    lineage = await live.installation.store.read(lambda tx: tx.lineages.get(version.lineage_id))
    assert lineage is not None
    assert due == schedule.due_at(version, lineage.policy)
    assert due is not None
    clock.moment = due - timedelta(seconds=1)
    assert await run(live, jobs) == []
    clock.moment = due
    (command,) = await run(live, jobs)
    assert (command.created_by, command.job_on_answer) == ("job:network", "network-answered")
    assert [each.uuid for each in await run(live, jobs)] == [command.uuid], "once"
    now = clock.now()
    await ask(live, device_keys[2], challenge_in(live, command))
    args = {"enrollment_key": device, "command_uuid": command.uuid}
    report = plistlib.dumps({"Status": "Acknowledged", "UDID": UDID, "CommandUUID": command.uuid})
    await live.installation.store.run(lambda tx: tx.commands.answer(device, command.uuid, CommandState.ACKNOWLEDGED, report, now))
    assert await jobs.answered([Job("network-answered", now, now, args)]) == [DONE]
    assert [each.state for each in await versions(live, device)] == [VersionState.SUPERSEDED, VersionState.ACTIVE]
    clock.moment += timedelta(hours=live.installation.settings.identity.grace_hours, seconds=1)
    await run(live, jobs)
    assert [each.state for each in await versions(live, device)] == [VersionState.RETIRED, VersionState.ACTIVE]


async def test_a_silent_device_is_pushed_to_and_gets_a_new_right_after_a_week(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
) -> None:
    first = await send(live)
    for day in range(1, 7):
        clock.moment = NOW + day * DAY
        await live.installation.store.run(lambda tx: tx.jobs.claim("sender", clock.now(), HOUR, 10))
        before = await pushes(live)
        assert [each.uuid for each in await run(live, jobs)] == [first.uuid]
        assert await pushes(live) == before + 1, "woken once a day"
        await run(live, jobs)
        assert await pushes(live) == before + 1
    clock.moment = NOW + 7 * DAY
    (second,) = await run(live, jobs)
    assert second.uuid != first.uuid
    with pytest.raises(Exception, match="badRequest"):
        await ask(live, device_keys[1], challenge_in(live, first))
    await fetch(live, device_keys[1], second)
    assert (await assignment(live, device)).state is NetworkState.INSTALLED


async def test_a_failure_is_waited_out(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
) -> None:
    await answer(live, await send(live), CommandState.ERROR)
    for hours in (1, 2, 4):
        clock.moment += hours * HOUR - timedelta(seconds=1)
        assert await run(live, jobs) == []
        clock.moment += timedelta(seconds=1)
        (command,) = await run(live, jobs)
        await answer(live, command, CommandState.ERROR)
    clock.moment += 8 * HOUR
    (command,) = await run(live, jobs)
    await fetch(live, device_keys[1], command)
    assert (await assignment(live, device)).attempts == 0


async def test_what_can_no_longer_be_made_is_told_and_tried_again(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
) -> None:
    await fetch(live, device_keys[1], await send(live))
    await put(live, WIFI.replace("enrollment.key", "device.serial"))
    clock.moment += 29 * DAY
    assert await run(live, jobs) == []
    stands = await assignment(live, device)
    assert (stands.state, stands.look_at) == (NetworkState.FAILED, clock.now() + HOUR)
    assert "device.serial" in stands.problem
    await change(live, device, serial_number="C02")
    clock.moment += HOUR
    assert len(await run(live, jobs)) == 1


async def test_a_device_in_quarantine_is_left_alone(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
) -> None:
    await fetch(live, device_keys[1], await send(live))
    await change(live, device, state=EnrollmentState.QUARANTINED)
    clock.moment += 29 * DAY
    assert await run(live, jobs) == []
    assert [each.state for each in await versions(live, device)] == [VersionState.ACTIVE]
    await change(live, device, state=EnrollmentState.ACTIVE)
    clock.moment += DAY
    assert len(await run(live, jobs)) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"state": EnrollmentState.CHECKED_OUT},
        {"state": EnrollmentState.PENDING, "enrolled_at": None},
        {"enrolled_at": NOW + DAY},
    ],
    ids=["checked out", "begins afresh", "has begun afresh"],
)
async def test_it_ends_with_the_life_that_it_was_made_for(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock, fields: dict[str, object]
) -> None:
    await fetch(live, device_keys[1], await send(live))
    await send(live)
    clock.moment += DAY
    await change(live, device, **fields)
    assert await run(live, jobs) == []
    assert [each.state for each in await versions(live, device)] == [VersionState.REVOKED]
    assert (await assignment(live, device)).state is NetworkState.ENDED


@pytest.mark.parametrize(("state", "ends"), [(EnrollmentState.CHECKED_OUT, True), (EnrollmentState.ACTIVE, False)])
async def test_where_identities_are_retired_it_ends_at_once(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, state: EnrollmentState, ends: bool
) -> None:
    await fetch(live, device_keys[1], await send(live))
    await change(live, device, state=state)
    handled: list[Job] = []

    async def handler(given: Sequence[Job]) -> list[Outcome]:
        handled.extend(given)
        return [DONE] * len(given)

    job = Job("retire-identities", NOW, NOW, {"enrollment_key": device})
    assert await jobs.with_enrollments(handler)([job]) == [DONE]
    assert handled == [job]
    expected = VersionState.REVOKED if ends else VersionState.ACTIVE
    assert [each.state for each in await versions(live, device)] == [expected]


class TestListed:
    """What the answer to CertificateList brings to light."""

    async def listed(self, live: Live, jobs: Networks, *ders: bytes) -> reconcile.Reconciled:
        question = await reconcile.reconcile(live.installation, UDID, actor="test")
        now, key, uuid = live.installation.clock.now(), question.enrollment_key, question.uuid
        entries = [{"CommonName": "x", "IsIdentity": True, "Data": der} for der in ders]
        report = plistlib.dumps({"Status": "Acknowledged", "UDID": UDID, "CommandUUID": uuid, "CertificateList": entries})
        await live.installation.store.run(lambda tx: tx.commands.answer(key, uuid, CommandState.ACKNOWLEDGED, report, now))
        job = Job("reconcile-answered", now, now, {"enrollment_key": key, "command_uuid": uuid})
        assert await jobs.before(Reconciliations(live).answered)([job]) == [DONE]
        last = (await reconcile.standing(live.installation, UDID)).last
        assert last is not None
        return last

    async def own(self, live: Live) -> bytes:
        return (await devices.show(live.installation, UDID)).identities[0].certificate or b""

    async def test_one_that_is_listed_before_it_is_acknowledged_is_in_force(
        self, live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks
    ) -> None:
        command = await send(live)
        certificate = await ask(live, device_keys[1], challenge_in(live, command))
        last = await self.listed(live, jobs, await self.own(live), certificates.der(certificate), b"no certificate")
        assert [each.state for each in await versions(live, device)] == [VersionState.ACTIVE]
        assert [each.what for each in last.findings] == [What.UNKNOWN_IDENTITY]
        await answer(live, command)
        assert (await assignment(live, device)).state is NetworkState.INSTALLED

    async def test_one_that_is_missing_and_one_that_should_be_gone_are_told(
        self, live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
    ) -> None:
        for key in device_keys[1:]:
            await fetch(live, key, await send(live))
        first, second = await versions(live, device)
        clock.moment += timedelta(hours=73)
        await run(live, jobs)
        clock.moment += HOUR
        last = await self.listed(live, jobs, await self.own(live), first.certificate or b"")
        assert [(each.what, each.sha256) for each in last.findings] == [
            (What.NETWORK_IDENTITY_MISSING, second.sha256),
            (What.OLD_IDENTITY, first.sha256),
        ]

    @pytest.fixture
    def ca(self) -> Authority:
        key = keys.generate(keys.KeyAlgorithm.P_256)
        return Authority(self_signed(profiles.ROOT_CA, key, names.make("Outside CA"), now=NOW - DAY), key)

    async def outside(self, live: Live, ca: Authority) -> None:
        table = (
            f'[outside]\nurl = "https://ca.example"\nchallenge = "c"\nca = """{certificates.pem(ca.certificate).decode()}"""\n'
        )
        text = 'name = "wifi"\nuse = "wifi"\nsubject = [["CN", "{{ enrollment.key }}"]]\n' + table
        await templates.put(live.installation, text.encode(), actor="test")

    async def test_what_an_outside_ca_has_issued_is_learnt_and_renewed(
        self, live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock, ca: Authority
    ) -> None:
        await self.outside(live, ca)
        await answer(live, await send(live))
        stands = await assignment(live, device)
        assert (stands.state, stands.look_at) == (NetworkState.INSTALLED, NOW + DAY)
        assert [job.run_at for job in await live.installation.store.read(lambda tx: tx.jobs.of_kind("reconcile"))] == [NOW]

        theirs = Authority(live.current().authorities.root.certificate, live.current().authorities.root.authority().key)
        strangers = [
            self.leaf(ca, device_keys[1], "somebody else"),
            self.leaf(theirs, device_keys[1], device),
            await self.own(live),
        ]
        await self.listed(live, jobs, *strangers)
        assert await versions(live, device) == []
        assert (await assignment(live, device)).problem == UNSEEN

        clock.moment += DAY
        await run(live, jobs)  # which asks again
        good = self.leaf(ca, device_keys[1], device, organization="added by the CA")
        older = self.leaf(ca, device_keys[2], device, now=NOW - HOUR)
        last = await self.listed(live, jobs, await self.own(live), good, older)
        (version,) = await versions(live, device)
        assert (version.certificate, version.state, version.issuer_version) == (good, VersionState.ACTIVE, None)
        assert [each.what for each in last.findings] == [What.UNKNOWN_IDENTITY], "the older one"
        due = (await assignment(live, device)).look_at
        assert due is not None
        clock.moment = due
        (command,) = await run(live, jobs)
        await answer(live, command)
        fresh = self.leaf(ca, device_keys[2], device, now=clock.now())
        await self.listed(live, jobs, good, fresh)
        assert [each.certificate for each in await versions(live, device)] == [good, fresh]
        assert [each.state for each in await versions(live, device)] == [VersionState.SUPERSEDED, VersionState.ACTIVE]

    def leaf(
        self, ca: Authority, key: keys.PrivateKey, name: str, *, organization: str | None = None, now: datetime = NOW
    ) -> bytes:
        subject = names.make(name, organization=organization)
        profile = profiles.DEVICE_IDENTITY
        made: x509.Certificate = issue(ca, profile, key.public_key(), subject=subject, now=now, lifetime=90 * DAY)
        return certificates.der(made)

    async def test_a_device_without_any_is_not_read_twice(
        self, live: Live, device: EnrollmentKey, jobs: Networks, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bramley.jobs.network.CertificateListAnswer", None)
        await self.listed(live, jobs, await self.own(live))


async def test_a_template_that_cannot_be_opened_holds_up_no_other(
    live: Live, device: EnrollmentKey, device_keys: Keys, jobs: Networks, clock: SetClock
) -> None:
    await put(live, WIFI.replace('"wifi"', '"broken"', 1))
    for template in ("broken", "wifi"):
        await fetch(live, device_keys[1], await send(live, template=template))

    def moved(tx: Tx) -> None:
        """As after an update by hand: sealed for another place."""
        broken, whole = tx.networks.template("broken"), tx.networks.template("wifi")
        assert broken is not None
        assert whole is not None
        tx.networks.put_template(replace(broken, content=whole.content))

    await live.installation.store.run(moved)
    clock.moment += 40 * DAY
    (command,) = await run(live, jobs)
    assert profile_in(live, command)["PayloadIdentifier"] == "bramley.network.wifi"
    failed = await live.installation.store.read(lambda tx: tx.networks.get(device, "broken"))
    assert failed is not None
    assert failed.state is NetworkState.FAILED
    assert "sealed" in failed.problem


async def test_many_devices_in_one_round(live: Live, device_keys: Keys, jobs: Networks, clock: SetClock) -> None:
    await put(live)
    udids = [f"00008030-{number:016}" for number in range(5)]
    found = [await enrolled(live, device_keys[0], udid) for udid in udids]
    await sending.assign(live, "wifi", udids, actor="test")
    clock.moment += 7 * DAY
    await jobs.renew_due([Job("network-renew-due", NOW, NOW)])
    sent = [(await assignment(live, key)).sent_at for key in found]
    assert sent == [clock.now()] * 5
