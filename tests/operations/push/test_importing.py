"""No push certificate comes in that would lose the fleet, whatever it is and however it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from bramley.apple.push_certificate import Expired, KeyMismatch, WrongTopic
from bramley.model.enrollments import EnrollmentState
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.push import Route
from bramley.operations import certificates, enrolling
from bramley.operations.errors import Invalid, TopicWouldChange
from bramley.operations.live import Live
from bramley.operations.push import importing, lineages, requests, status
from bramley.operations.push.importing import Import, Terms
from bramley.operations.push.requests import Wanted
from bramley.pki import keys, pkcs12
from bramley.pki.certificates import pem
from bramley.pki.errors import NoPrivateKey
from bramley.pki.pkcs12 import Bundle
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .kit import enroll, everything

Issue = Callable[..., x509.Certificate]


@pytest.fixture
def issue(apple: SandboxAppleCA, push_key: keys.PrivateKey, clock: SetClock) -> Issue:
    """Has Apple issue a push certificate, now, for our key unless another one is named."""

    def issue(topic: str, key: keys.PublicKey | None = None) -> x509.Certificate:
        return apple.issue_push_certificate(key or push_key.public_key(), topic=topic, now=clock.now())

    return issue


@pytest.fixture
def bring_in(live: Live, push_key: keys.PrivateKey) -> Callable[..., Any]:
    async def bring_in(certificate: x509.Certificate, **terms: Any) -> Import:
        return await importing.import_pair(live.installation, certificate, push_key, actor="test", terms=Terms(**terms))

    return bring_in


class TestRenewal:
    async def test_waits_on_trial_while_devices_listen(
        self, live: Live, topic: str, issue: Issue, bring_in: Any, clock: SetClock
    ) -> None:
        await enroll(live.installation, topic)
        before = live.current().pushes[topic]
        clock.moment += timedelta(days=300)
        done = await bring_in(issue(topic))
        assert done.on_trial
        await live.refresh()
        assert live.current().pushes[topic].fingerprint == before.fingerprint
        jobs = await live.installation.store.read(lambda tx: tx.jobs.of_kind("push-trial"))
        assert [job.args for job in jobs] == [{"topic": topic}]
        assert done.warnings[-1].startswith("Its key has served another push certificate.")

    @pytest.mark.parametrize("reason", ["no device", "expired", "paused"])
    async def test_is_in_force_at_once_where_there_is_nothing_to_protect(
        self, live: Live, topic: str, issue: Issue, bring_in: Any, clock: SetClock, reason: str
    ) -> None:
        if reason != "no device":
            await enroll(live.installation, topic)
        if reason == "paused":
            await live.installation.store.run(lambda tx: tx.notes.set(f"push-topic-paused:{topic}", "BadCertificate"))
        clock.moment += timedelta(days=400 if reason == "expired" else 300)
        done = await bring_in(issue(topic))
        assert not done.on_trial
        await live.refresh()
        detail = await certificates.show(live.installation, done.version.id)
        assert [version.state for version in detail.versions] == ["superseded", "active"]

    async def test_that_ends_before_the_one_in_force(self, live: Live, topic: str, issue: Issue, bring_in: Any) -> None:
        earlier = issue(topic)
        later = issue(topic)
        await bring_in(later)
        with pytest.raises(Invalid, match="is here already"):
            await bring_in(later)
        old = replace_dates(live, earlier)
        with pytest.raises(Invalid, match="earlier than the one in force"):
            await bring_in(old)


def replace_dates(live: Live, like: x509.Certificate) -> x509.Certificate:
    """The same names, a month before."""
    apple = SandboxAppleCA.make(live.installation.clock.now() - timedelta(days=30))
    (uid,) = (a.value for a in like.subject if a.oid == x509.NameOID.USER_ID)
    key = like.public_key()
    assert isinstance(key, keys.PublicKey)
    return apple.issue_push_certificate(key, topic=str(uid), now=live.installation.clock.now() - timedelta(days=30))


class TestAnotherTopic:
    async def test_is_a_hard_stop_that_says_how_many_and_what_to_do(
        self, live: Live, topic: str, issue: Issue, bring_in: Any
    ) -> None:
        for number in range(3):
            await enroll(live.installation, topic, str(number))
        await enroll(live.installation, topic, "gone", state=EnrollmentState.CHECKED_OUT)
        await lineages.note_account(live.installation, topic, "it@orchard.example", actor="test")
        before = await everything(live.installation)
        with pytest.raises(TopicWouldChange, match=r"3 enrolled device\(s\) listen to") as stopped:
            await bring_in(issue(new_topic()))
        assert stopped.value.devices == 3
        assert f"signed in as it@orchard.example, choose Renew, not Create, for the certificate whose topic is {topic}" in str(
            stopped.value
        )
        assert await everything(live.installation) == before

    @pytest.mark.parametrize("said", [0, 1, 2, 4, -3, 33])
    async def test_only_the_right_number_opens_the_door(
        self, live: Live, topic: str, issue: Issue, bring_in: Any, said: int
    ) -> None:
        for number in range(3):
            await enroll(live.installation, topic, str(number))
        other = issue(new_topic())
        with pytest.raises(TopicWouldChange, match=f"You said {said}"):
            await bring_in(other, other_devices=said)
        done = await bring_in(other, other_devices=3)
        assert not done.on_trial
        await live.refresh()
        assert set(live.current().pushes) == {topic, done.topic}, "it stands beside the one of the devices"

    async def test_that_is_in_force_already_is_renewed_beside_others(
        self, live: Live, topic: str, issue: Issue, bring_in: Any, clock: SetClock
    ) -> None:
        second = new_topic()
        await bring_in(issue(second))
        await enroll(live.installation, topic)
        clock.moment += timedelta(days=10)
        assert (await bring_in(issue(second))).topic == second

    async def test_is_free_while_nobody_is_enrolled(self, live: Live, issue: Issue, bring_in: Any, clock: SetClock) -> None:
        """The one that lasts longest is what devices enroll under: one for trying things out came first."""
        for name in ("com.apple.mgmt.External.0", "com.apple.mgmt.External.f"):
            clock.moment += timedelta(days=30)
            await bring_in(issue(name))
            await live.refresh()
            assert enrolling.topic_to_enroll_under(live.current()) == name


class TestRefused:
    async def test_a_key_of_another_certificate(self, live: Live, issue: Issue, device_keys: list[keys.PrivateKey]) -> None:
        with pytest.raises(KeyMismatch):
            await importing.import_pair(live.installation, issue(new_topic()), device_keys[0], actor="test")

    async def test_an_expired_one(self, issue: Issue, bring_in: Any, clock: SetClock) -> None:
        certificate = issue(new_topic())
        clock.moment += timedelta(days=366)
        with pytest.raises(Expired):
            await bring_in(certificate)

    async def test_one_without_an_mdm_topic(self, issue: Issue, bring_in: Any) -> None:
        with pytest.raises(WrongTopic, match=r"com\.apple\.mgmt\."):
            await bring_in(issue("com.example.app"))

    async def test_a_dry_run_checks_all_and_changes_nothing(self, live: Live, topic: str, issue: Issue, bring_in: Any) -> None:
        before = await everything(live.installation)
        done = await bring_in(issue(topic), dry_run=True)
        assert (done.version, done.topic) == (None, topic)
        await enroll(live.installation, topic)
        with pytest.raises(TopicWouldChange):
            await bring_in(issue(new_topic()), dry_run=True)
        assert {**before, "enrollments": 1} == await everything(live.installation)


class TestAnswersToRequests:
    """The certificate alone is enough: the key was made here."""

    async def test_a_first_one_names_its_lineage(self, installation: Any, apple: SandboxAppleCA, clock: SetClock) -> None:
        asked = await requests.ask(installation, wanted(), actor="test")
        topic = new_topic()
        certificate = answer(apple, asked, topic, clock)
        done = await importing.import_files(installation, [pem(certificate)], None, actor="test")
        assert done.version is not None
        assert (done.version.id, done.version.state) == (asked.version.id, "active")
        (found,) = await status.overview(installation)
        assert (found.topic, found.account, found.route) == (topic, "it@orchard.example", Route.VENDOR)

    async def test_a_renewal_goes_on_in_its_lineage(self, live: Live, topic: str, apple: SandboxAppleCA, clock: SetClock) -> None:
        await enroll(live.installation, topic)
        asked = await requests.ask(live.installation, wanted(), actor="test")
        assert asked.topic == topic
        clock.moment += timedelta(days=1)
        done = await importing.import_files(live.installation, [pem(answer(apple, asked, topic, clock))], None, actor="test")
        assert done.on_trial
        assert done.warnings == done.warnings[:1], "a new key is nothing to warn of"
        assert done.version is not None
        assert done.version.id == asked.version.id

    async def test_apple_answered_with_another_topic(
        self, live: Live, topic: str, apple: SandboxAppleCA, clock: SetClock
    ) -> None:
        """Somebody chose Create: stopped, and the request stays open for the right answer."""
        await enroll(live.installation, topic)
        asked = await requests.ask(live.installation, wanted(), actor="test")
        wrong = answer(apple, asked, new_topic(), clock)
        with pytest.raises(TopicWouldChange):
            await importing.import_files(live.installation, [pem(wrong)], None, actor="test")
        assert (await requests.opened(live.installation, topic)).version == asked.version
        done = await importing.import_files(live.installation, [pem(wrong)], None, actor="test", terms=Terms(other_devices=1))
        detail = await certificates.show(live.installation, asked.version.id)
        assert detail.row.version.state == "failed"
        assert done.topic in detail.row.version.reason

    async def test_a_request_that_was_given_up_is_answered_after_all(
        self, live: Live, topic: str, apple: SandboxAppleCA, clock: SetClock
    ) -> None:
        first = await requests.ask(live.installation, wanted(), actor="test")
        await requests.ask(live.installation, replace(wanted(), new_key=True), actor="test")
        clock.moment += timedelta(days=1)
        done = await importing.import_files(live.installation, [pem(answer(apple, first, topic, clock))], None, actor="test")
        assert done.version is not None
        assert done.version.key_id == first.version.key_id

    async def test_a_certificate_of_a_key_that_nobody_has(
        self, live: Live, topic: str, issue: Issue, device_keys: list[keys.PrivateKey]
    ) -> None:
        stranger = issue(topic, device_keys[0].public_key())
        with pytest.raises(NoPrivateKey):
            await importing.import_files(live.installation, [pem(stranger)], None, actor="test")


async def test_an_archive_of_profile_manager(live: Live, issue: Issue, push_key: keys.PrivateKey, topic: str) -> None:
    certificate = issue(topic)
    archive = pkcs12.write(Bundle(push_key, certificate, ()), "orchard", style=pkcs12.Style.APPLE)
    terms = Terms(account="it@orchard.example", route=Route.PROFILE_MANAGER)
    done = await importing.import_files(live.installation, [archive], "orchard", actor="test", terms=terms)
    assert done.topic == topic
    (found,) = await status.overview(live.installation)
    assert (found.account, found.route) == ("it@orchard.example", Route.PROFILE_MANAGER)


async def test_a_certificate_put_into_the_database_by_hand_is_not_used(live: Live, topic: str) -> None:
    """The door that is no door: half a backup, restored over a running server."""

    def by_hand(tx: Tx) -> None:
        lineage = tx.lineages.find(Kind.PUSH, topic)
        assert lineage is not None
        tx.lineages.update(replace(lineage, name=new_topic()))
        tx.notes.set("generation", "by hand")

    await live.installation.store.run(by_hand)
    await live.refresh()
    assert live.current().pushes == {}
    ((spoilt, why),) = live.current().unusable.items()
    assert spoilt != topic
    assert "changed by hand" in why


async def test_what_came_in_is_told(live: Live, topic: str, issue: Issue, bring_in: Any) -> None:
    done = await bring_in(issue(topic), account="it@orchard.example")
    told = await live.installation.store.read(lambda tx: tx.events.find(version_id=done.version.id))
    assert {event.kind for event in told} == {EventKind.CERTIFICATE_IMPORTED, EventKind.CERTIFICATE_ACTIVATED}


def wanted() -> Wanted:
    return Wanted(Route.VENDOR, "it@orchard.example", "push@orchard.example")


def answer(apple: SandboxAppleCA, asked: requests.Asked, topic: str, clock: SetClock) -> x509.Certificate:
    key = asked.request.public_key()
    assert isinstance(key, keys.PublicKey)
    return apple.issue_push_certificate(key, topic=topic, now=clock.now())
