"""Waves, carried on by the runner: every device once, at its pace, through whatever gets in the way."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bramley.apple.push.client import CurlPushClient
from bramley.apple.push.notification import PushClient, PushResult, PushTarget
from bramley.jobs.runner import LEASE, MOST_ATTEMPTS, Runner
from bramley.jobs.sending import Sender
from bramley.jobs.waves import Waves
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job, JobState
from bramley.model.kinds import Kind
from bramley.model.push import Wave, WaveState
from bramley.operations import pushing, waves
from bramley.operations.installation import Installation
from bramley.operations.live import Live, PushIdentity
from bramley.operations.waves import WaveReport
from bramley.pki import keys
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.storage import postgres
from bramley.storage.errors import DiskTrouble
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW, SetClock
from tests.jobs.kit import GOOD, FakeSender, answering, change, enroll

SECOND = timedelta(seconds=1)
UNREACHABLE = PushResult(0, error="no route to host")
UNREGISTERED = PushResult(410, reason="Unregistered", timestamp=NOW + SECOND)
REFUSED = PushResult(403, reason="BadCertificate")
Begin = Callable[..., Awaitable[Wave]]


@pytest.fixture
def sender(live: Live) -> FakeSender:
    return FakeSender(live)


@pytest.fixture
def runner(live: Live, sender: FakeSender, clock: SetClock) -> Runner:
    return Runner(live.installation.store, clock, {"push-wave": Waves(live, sender)})


@pytest.fixture
def begin(live: Live, topic: str) -> Begin:
    """Enrolls so many devices and starts a wave to them."""

    async def begin(count: int, per_second: float = 10.0) -> Wave:
        keys = await enroll(live.installation, topic, count)
        return await waves.start(live.installation, keys, per_second=per_second, actor="test")

    return begin


async def turn(runner: Runner) -> None:
    await runner.step()
    await runner.idle()


async def to_the_end(runner: Runner, live: Live, wave: Wave, clock: SetClock, step: timedelta = SECOND) -> WaveReport:
    """Lets time pass until the wave no longer runs."""
    for _ in range(1000):
        await turn(runner)
        report = await waves.show(live.installation, wave.id)
        if report.wave.state is not WaveState.RUNNING:
            return report
        clock.moment += step
    raise AssertionError(f"it never ends: {report}")


async def row(live: Live, key: str) -> Enrollment:
    found = await live.installation.store.read(lambda tx: tx.enrollments.get(EnrollmentKey(key)))
    assert found is not None
    return found


async def jobs(live: Live, kind: str = "push-wave") -> list[Job]:
    return list(await live.installation.store.read(lambda tx: tx.jobs.of_kind(kind, limit=20_000)))


async def events(live: Live, kind: EventKind) -> list[dict[str, object]]:
    return [dict(event.detail) for event in await live.installation.store.read(lambda tx: tx.events.find(kind=kind))]


async def test_each_device_is_pushed_to_once_at_the_pace_that_was_asked_for(
    live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
) -> None:
    wave = await begin(25)
    sizes = []
    for _ in range(30):
        await turn(runner)
        sizes.append(sum(map(len, sender.batches)))
        clock.moment += SECOND / 10
    assert sizes == [10] * 10 + [20] * 10 + [25] * 10
    report = await waves.show(live.installation, wave.id)
    assert (report.wave.state, report.outcomes, report.left) == (WaveState.DONE, {"delivered": 25}, 0)
    assert sender.times == Counter({key: 1 for batch in sender.batches for key in batch})
    assert (await row(live, "000000")).last_push_at == NOW
    assert (await row(live, "000024")).last_push_at == NOW + 2 * SECOND
    (job,) = await jobs(live)
    assert (job.state, job.last_error) == (JobState.DONE, "")
    assert await events(live, EventKind.PUSH_WAVE_ENDED) == [{"wave": wave.id, "outcomes": {"delivered": 25}}]
    assert await jobs(live, "push") == []


async def test_the_time_that_sending_takes_is_part_of_the_pace(
    live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
) -> None:
    await begin(20)

    async def takes_time() -> None:
        clock.moment += SECOND * 0.6

    sender.meanwhile = takes_time
    await turn(runner)
    (job,) = await jobs(live)
    assert job.run_at == NOW + SECOND


async def test_mere_pacing_is_no_error_however_long_it_takes(live: Live, runner: Runner, begin: Begin, clock: SetClock) -> None:
    wave = await begin(MOST_ATTEMPTS + 5, per_second=1)
    for _ in range(MOST_ATTEMPTS + 3):
        await turn(runner)
        clock.moment += SECOND
    (job,) = await jobs(live)
    assert (job.state, job.last_error, job.attempts) == (JobState.READY, "", MOST_ATTEMPTS + 3)
    assert (await to_the_end(runner, live, wave, clock)).wave.state is WaveState.DONE


async def test_what_became_of_each_is_told_by_reason(
    live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
) -> None:
    wave = await begin(7)
    sender.answers = answering(
        _1=UNREGISTERED,
        _2=PushResult(400, reason="BadDeviceToken"),
        _3=PushResult(429, reason="TooManyRequests", retry_after=60.0),
        _4=PushResult(503),
        _5=UNREACHABLE,
        _6=PushResult(410, reason="Unregistered", timestamp=NOW - SECOND),
    )
    report = await to_the_end(runner, live, wave, clock)
    assert report.wave.state is WaveState.DONE
    assert report.outcomes == {
        "delivered": 1,
        "Unregistered": 2,
        "BadDeviceToken": 1,
        "TooManyRequests": 1,
        "status 503": 1,
        "no answer": 1,
    }
    assert (await row(live, "000001")).push_stopped_at == NOW
    assert (await row(live, "000006")).push_stopped_at is None, "a later TokenUpdate has vouched for it"
    left = {job.args["enrollment_key"]: (job.run_at, job.dedup_key) for job in await jobs(live, "push")}
    assert left == {
        "000003": (NOW + 60 * SECOND, "push:000003"),
        **{key: (NOW + 10 * SECOND, f"push:{key}") for key in ("000004", "000005", "000006")},
    }
    assert set(sender.times.values()) == {1}
    assert len(await events(live, EventKind.PUSH_TOKEN_DEAD)) == 1


async def test_devices_that_cannot_be_pushed_to_at_their_turn_say_why(
    live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
) -> None:
    wave = await begin(6, per_second=1)
    await turn(runner)
    unreachable: list[dict[str, Any]] = [
        {"state": EnrollmentState.CHECKED_OUT},
        {"push_token": None},
        {"push_stopped_at": NOW},
        {"topic": "of another server"},
    ]
    for number, fields in enumerate(unreachable, 1):
        await change(live.installation, EnrollmentKey(f"{number:06}"), **fields)
    report = await to_the_end(runner, live, wave, clock)
    assert report.outcomes == {"delivered": 2, "not enrolled": 1, "no token": 1, "token dead": 1, "no push certificate": 1}
    assert sender.batches == [["000000"], ["000005"]]


async def test_a_device_that_checks_out_while_it_is_pushed_to_stays_checked_out(
    live: Live, runner: Runner, sender: FakeSender, begin: Begin
) -> None:
    await begin(1)
    sender.answers = answering(_0=UNREGISTERED)
    sender.meanwhile = lambda: change(live.installation, EnrollmentKey("000000"), state=EnrollmentState.CHECKED_OUT)
    await turn(runner)
    assert (await row(live, "000000")).state is EnrollmentState.CHECKED_OUT


class TestStopping:
    async def test_takes_effect_at_the_next_turn_and_resuming_goes_on_there(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        sender.meanwhile = lambda: waves.stop(live.installation, wave.id, actor="test")
        report = await to_the_end(runner, live, wave, clock)
        assert (report.wave.state, report.wave.problem) == (WaveState.STOPPED, "")
        assert (report.outcomes, report.left) == ({"delivered": 10}, 15)
        assert [job.state for job in await jobs(live)] == [JobState.DONE]
        clock.moment += timedelta(days=1)
        await turn(runner)
        assert len(sender.batches) == 1
        await waves.resume(live.installation, wave.id, actor="test")
        assert (await to_the_end(runner, live, wave, clock)).outcomes == {"delivered": 25}
        assert set(sender.times.values()) == {1}

    async def test_between_turns(self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock) -> None:
        wave = await begin(25)
        await turn(runner)
        await waves.stop(live.installation, wave.id, actor="test")
        await waves.resume(live.installation, wave.id, actor="test")
        assert (await to_the_end(runner, live, wave, clock)).outcomes == {"delivered": 25}
        assert len(await jobs(live)) == 1

    async def test_and_resuming_during_a_turn_leaves_one_job_and_pushes_to_nobody_twice(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)

        async def stop_and_resume() -> None:
            await waves.stop(live.installation, wave.id, actor="test")
            await waves.resume(live.installation, wave.id, actor="test")

        sender.meanwhile = stop_and_resume
        await turn(runner)
        assert [job.state for job in await jobs(live)] == [JobState.READY, JobState.DONE]
        assert (await to_the_end(runner, live, wave, clock)).outcomes == {"delivered": 25}
        assert set(sender.times.values()) == {1}

    async def test_during_the_last_turn_is_too_late(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(5)
        sender.meanwhile = lambda: waves.stop(live.installation, wave.id, actor="test")
        assert (await to_the_end(runner, live, wave, clock)).wave.state is WaveState.DONE

    async def test_of_one_wave_leaves_another_alone(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        other = await waves.start(live.installation, ["udid 0", "udid 1"], per_second=1, actor="test")
        await waves.stop(live.installation, wave.id, actor="test")
        assert (await to_the_end(runner, live, other, clock)).outcomes == {"delivered": 2}
        assert sender.times.total() == 2


class TestPausedTopic:
    async def test_by_an_answer_stops_the_wave_and_leaves_those_it_met_untried(
        self, live: Live, topic: str, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        sender.answers = answering(_11=REFUSED, _12=REFUSED, _13=PushResult(400, reason="BadDeviceToken"))
        report = await to_the_end(runner, live, wave, clock)
        assert (report.wave.state, report.outcomes) == (WaveState.STOPPED, {"delivered": 17, "BadDeviceToken": 1})
        assert report.wave.problem == f"pushing under {topic} is paused: BadCertificate"
        assert await events(live, EventKind.PUSH_TOPIC_PAUSED) == [{"topic": topic, "reason": "BadCertificate"}]
        assert await events(live, EventKind.PUSH_WAVE_STOPPED) == [{"wave": wave.id, "problem": report.wave.problem}]
        await live.installation.store.run(lambda tx: tx.notes.delete(pushing.paused_note(topic)))
        sender.answers = answering()
        await waves.resume(live.installation, wave.id, actor="test")
        report = await to_the_end(runner, live, wave, clock)
        assert report.outcomes == {"delivered": 24, "BadDeviceToken": 1}
        assert {key for key, times in sender.times.items() if times == 2} == {"000011", "000012"}

    async def test_by_somebody_else_stops_it_before_it_burns_the_rest(
        self, live: Live, topic: str, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        await change(live.installation, EnrollmentKey("000010"), state=EnrollmentState.CHECKED_OUT)
        sender.meanwhile = lambda: live.installation.store.run(lambda tx: pushing.pause(tx, topic, "Forbidden", now=NOW))
        for resumed in range(2):
            report = await to_the_end(runner, live, wave, clock)
            assert (report.wave.state, report.left) == (WaveState.STOPPED, 14), resumed
            assert report.outcomes == {"delivered": 10, "not enrolled": 1}
            assert "is paused: Forbidden" in report.wave.problem
            await waves.resume(live.installation, wave.id, actor="test")
        assert len(sender.batches) == 1

    async def test_does_not_hold_up_devices_of_another(
        self, live: Live, topic: str, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        for number in range(0, 25, 5):
            await change(live.installation, EnrollmentKey(f"{number:06}"), topic="of a tenant")
        await live.installation.store.run(lambda tx: pushing.pause(tx, "of a tenant", "BadCertificate", now=NOW))
        report = await to_the_end(runner, live, wave, clock)
        assert (report.wave.state, report.outcomes) == (WaveState.DONE, {"delivered": 20, "topic paused": 5})

    async def test_of_a_certificate_no_longer_in_force_is_only_tried_again(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(2)
        sender.answers, sender.certificate = answering(_0=REFUSED), "the SHA-256 of the former one"
        report = await to_the_end(runner, live, wave, clock)
        assert (report.wave.state, report.outcomes) == (WaveState.DONE, {"delivered": 1, "BadCertificate": 1})
        assert [job.args["enrollment_key"] for job in await jobs(live, "push")] == ["000000"]


async def test_a_fault_of_ours_stops_the_wave_and_resuming_passes_it(
    live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
) -> None:
    wave = await begin(25)
    sender.answers = answering(_3=PushResult(413, reason="PayloadTooLarge"))
    report = await to_the_end(runner, live, wave, clock)
    assert (report.wave.state, report.left) == (WaveState.STOPPED, 15)
    assert report.wave.problem == "APNs does not take what it is sent: PayloadTooLarge"
    await waves.resume(live.installation, wave.id, actor="test")
    report = await to_the_end(runner, live, wave, clock)
    assert report.outcomes == {"delivered": 24, "PayloadTooLarge": 1}
    assert set(sender.times.values()) == {1}


class TestUnreachable:
    async def test_apns_is_one_problem_and_not_a_job_for_each_device(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        sender.answers = lambda _target: UNREACHABLE
        began, tried = clock.moment, []
        for _ in range(1000):
            before = len(sender.batches)
            await turn(runner)
            if len(sender.batches) > before:
                tried.append((clock.moment - began) / SECOND)
            clock.moment += SECOND
        assert tried == [0, 5, 15, 35, 75, 155, 315, 615, 915]
        report = await waves.show(live.installation, wave.id)
        assert (report.wave.state, report.left, report.outcomes) == (WaveState.RUNNING, 25, {})
        assert report.wave.problem == "APNs cannot be reached: no route to host"
        assert await jobs(live, "push") == []
        (job,) = await jobs(live)
        assert job.last_error == report.wave.problem
        sender.answers = answering()
        clock.moment += timedelta(minutes=5)
        await turn(runner)
        report = await waves.show(live.installation, wave.id)
        assert (report.wave.problem, report.wave.changed_at, report.left) == ("", clock.moment, 15)
        assert (await jobs(live))[0].last_error == ""
        assert (await to_the_end(runner, live, wave, clock)).outcomes == {"delivered": 25}

    async def test_then_stopped_by_hand(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(25)
        sender.answers = lambda _target: UNREACHABLE
        sender.meanwhile = lambda: waves.stop(live.installation, wave.id, actor="test")
        report = await to_the_end(runner, live, wave, clock)
        assert (report.wave.state, report.wave.problem, report.left) == (WaveState.STOPPED, "", 25)

    async def test_those_it_would_not_have_asked_anyway_are_settled(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin
    ) -> None:
        wave = await begin(10)
        sender.answers = lambda _target: UNREACHABLE
        await change(live.installation, EnrollmentKey("000004"), push_stopped_at=NOW)
        await turn(runner)
        report = await waves.show(live.installation, wave.id)
        assert (report.outcomes, report.left) == ({"token dead": 1}, 9)


class Broken(Exception):
    """A fault."""


def fails(store: Store, error: Exception, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """Makes the next write fail, from when it is called."""
    run = store.run

    async def once(_fn: object) -> None:
        monkeypatch.setattr(store, "run", run)
        raise error

    async def arm() -> None:
        monkeypatch.setattr(store, "run", once)

    return arm


class TestCrash:
    async def test_between_sending_and_settling_sends_again_and_loses_nothing(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long the wave has been going on."""
        wave = await begin(MOST_ATTEMPTS + 10, per_second=1)
        for _ in range(MOST_ATTEMPTS + 2):
            await turn(runner)
            clock.moment += SECOND
        sender.meanwhile = fails(live.installation.store, DiskTrouble("The disk is full."), monkeypatch)
        await turn(runner)
        (job,) = await jobs(live)
        assert (job.state, job.last_error) == (JobState.READY, "The disk is full.")
        report = await to_the_end(runner, live, wave, clock)
        assert report.outcomes == {"delivered": MOST_ATTEMPTS + 10}
        assert sorted(sender.times.values()) == [1] * (MOST_ATTEMPTS + 9) + [2]

    async def test_of_the_process_is_taken_up_by_another_after_the_lease(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock
    ) -> None:
        wave = await begin(5)
        await live.installation.store.run(lambda tx: tx.jobs.claim("dead", NOW, LEASE, 10))
        await turn(runner)
        assert sender.batches == []
        clock.moment += LEASE
        assert (await to_the_end(runner, live, wave, clock)).outcomes == {"delivered": 5}

    async def test_by_a_fault_of_ours_stops_the_wave_instead_of_pushing_for_ever(
        self, live: Live, runner: Runner, sender: FakeSender, begin: Begin, clock: SetClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wave = await begin(5)
        sender.meanwhile = fails(live.installation.store, Broken("boom"), monkeypatch)
        report = await to_the_end(runner, live, wave, clock)
        assert (report.wave.state, report.left) == (WaveState.STOPPED, 5)
        assert "a fault of Bramley (Broken)" in report.wave.problem
        (job,) = await jobs(live)
        assert (job.state, job.last_error) == (JobState.FAILED, "Broken: boom")
        await waves.resume(live.installation, wave.id, actor="test")
        assert (await to_the_end(runner, live, wave, clock)).outcomes == {"delivered": 5}


async def test_a_wave_that_was_deleted_ends_its_job(live: Live, sender: FakeSender, begin: Begin) -> None:
    handler, wave = Waves(live, sender), await begin(5)
    job = Job("push-wave", NOW, NOW, {"wave_id": wave.id})
    gone = replace(job, args={"wave_id": "nothing"})

    async def sweep() -> None:
        await waves.stop(live.installation, wave.id, actor="test")
        await live.installation.store.run(lambda tx: tx.waves.sweep(NOW + SECOND))

    sender.meanwhile = sweep
    assert await handler([gone, job]) == [DONE, DONE]
    assert await waves.listing(live.installation) == []


async def test_over_the_wire(live: Live, topic: str, push_key: keys.PrivateKey, clock: SetClock) -> None:
    """The sender of the server and the stand-in for APNs, which answers in Apple's words; then that is gone."""
    clock.moment = datetime.now(UTC)  # the only time that TLS libraries know
    ca = SandboxAppleCA.make(clock.moment)
    certificate = ca.chain_pem(ca.issue_push_certificate(push_key.public_key(), topic=topic, now=clock.moment))
    apns = APNs(ca, clock)
    await apns.start()

    def connect(identity: PushIdentity) -> PushClient:
        target = PushTarget("127.0.0.1", apns.port, ca.root_pem)
        week = timedelta(days=7)
        return CurlPushClient(
            certificate_pem=certificate, key=push_key, topic=identity.topic, target=target, expiration=week, clock=clock
        )

    found = await enroll(live.installation, topic, 60)
    for key in found[1:]:
        await change(live.installation, key, push_token=apns.tokens.register(topic))
    token = (await row(live, found[1])).push_token
    assert token is not None
    apns.tokens.unregister(token, clock.moment + SECOND)
    sender = Sender(live, connect)
    runner = Runner(live.installation.store, clock, {"push-wave": Waves(live, sender)})
    wave = await waves.start(live.installation, None, per_second=0, actor="test")
    report = await to_the_end(runner, live, wave, clock)
    assert report.outcomes == {"delivered": 58, "BadDeviceToken": 1, "Unregistered": 1}
    assert (apns.accepted, apns.connections_opened) == (58, 1)
    await apns.stop()
    wave = await waves.start(live.installation, None, per_second=0, actor="test")
    await turn(runner)
    report = await waves.show(live.installation, wave.id)
    assert (report.left, "APNs cannot be reached: " in report.wave.problem) == (59, True)
    await sender.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh PostgreSQL database; empty for SQLite."""
    return request.getfixturevalue("postgres_url") if request.param == "postgres" else ""


@pytest.fixture
async def on_both(database: str, live: Live, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Installation]:
    """The installation on each database. What a server keeps at hand was read from the first."""
    if not database:
        yield live.installation
        return
    store = await postgres.open_store(database)
    push = await live.installation.store.read(lambda tx: tx.lineages.certificates(kind=Kind.PUSH))

    def copy(tx: Tx) -> None:
        for each in push:
            tx.lineages.add(each.lineage)
            tx.lineages.add_version(replace(each.version, key_id=None))

    await store.run(copy)
    monkeypatch.setattr(live, "installation", replace(live.installation, store=store))
    yield live.installation
    await store.close()


async def test_ten_thousand(on_both: Installation, live: Live, topic: str, clock: SetClock) -> None:
    """As fast as APNs would take them: what it costs to start, to settle and to count."""
    await enroll(on_both, topic, 10_000)
    sender = FakeSender(live, lambda target: UNREGISTERED if int(str(target.key)) % 100 == 7 else GOOD)
    runner = Runner(on_both.store, clock, {"push-wave": Waves(live, sender)})
    started = time.perf_counter()
    wave = await waves.start(on_both, None, per_second=0, actor="test")
    report = await to_the_end(runner, live, wave, clock, timedelta())
    seconds = time.perf_counter() - started
    assert (report.outcomes, report.left) == ({"delivered": 9_900, "Unregistered": 100}, 0)
    assert [len(batch) for batch in sender.batches] == [1000] * 10
    assert (await row(live, "009999")).last_push_at == NOW
    assert seconds < 30, "and a tenth of that on a machine that does nothing else"
