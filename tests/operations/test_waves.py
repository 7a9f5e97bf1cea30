"""Waves: whom they are for, how fast they go, and how they are stopped and resumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.apple.push.notification import PushResult
from bramley.apple.push.reasons import REASONS, Action
from bramley.errors import BramleyError
from bramley.jobs.runner import LEASE
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import JobState
from bramley.model.push import Wave, WaveState
from bramley.operations import pushing, wave_turns, waves
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.pushing import Lookout, Obstacle
from tests.conftest import NOW, SetClock
from tests.contract.kit import id_of
from tests.jobs.kit import change, enroll

SECOND = timedelta(seconds=1)


async def keys_of(installation: Installation, wave: Wave) -> list[str]:
    targets = await installation.store.read(lambda tx: tx.waves.untried(wave.id, 10_000))
    return [target.enrollment_key for target in targets]


async def settle(installation: Installation, wave: Wave, count: int, outcome: str = "delivered") -> None:
    """As turns do."""
    tried = await installation.store.read(lambda tx: tx.waves.untried(wave.id, count))
    await installation.store.run(lambda tx: tx.waves.settle([replace(target, outcome=outcome) for target in tried]))


async def store_wave(installation: Installation, wave: Wave, **fields: Any) -> None:
    await installation.store.run(lambda tx: tx.waves.update(replace(wave, **fields)))


async def jobs(installation: Installation) -> list[tuple[str | None, JobState]]:
    found = await installation.store.read(lambda tx: tx.jobs.of_kind("push-wave"))
    return [(job.args["wave_id"], job.state) for job in found]


async def events(installation: Installation, kind: EventKind) -> list[dict[str, object]]:
    return [dict(event.detail) for event in await installation.store.read(lambda tx: tx.events.find(kind=kind))]


class TestStart:
    async def test_to_everybody_is_to_whom_a_push_can_reach(self, live: Live, topic: str) -> None:
        installation = live.installation
        mac, _idle = await enroll(installation, topic, 2)
        await enroll(installation, topic, 1, first=10, state=EnrollmentState.QUARANTINED)
        await enroll(installation, topic, 1, first=11, parent=mac, user_id="ann")
        unreachable: list[dict[str, Any]] = [
            {"state": EnrollmentState.CHECKED_OUT},
            {"state": EnrollmentState.PENDING},
            {"push_token": None},
            {"push_magic": None},
            {"push_stopped_at": NOW},
            {"topic": "com.apple.mgmt.External.nobody"},
        ]
        for key, fields in zip(await enroll(installation, topic, len(unreachable), first=20), unreachable, strict=True):
            await change(installation, key, **fields)
        wave = await waves.start(installation, None, label="all", actor="test")
        assert (wave.total, wave.state, wave.per_second) == (4, WaveState.RUNNING, 50.0)
        assert sorted(await keys_of(installation, wave)) == ["000000", "000001", "000010", "000011"]
        assert await jobs(installation) == [(wave.id, JobState.READY)]
        assert await events(installation, EventKind.PUSH_WAVE_STARTED) == [
            {"wave": wave.id, "total": 4, "per_second": 50.0, "label": "all", "topic": None}
        ]

    async def test_of_a_topic(self, live: Live, topic: str) -> None:
        ours = await enroll(live.installation, topic, 2)
        await enroll(live.installation, f"{topic}.other", 2, first=5)
        wave = await waves.start(live.installation, None, topic=topic, actor="test")
        assert await keys_of(live.installation, wave) == ours

    async def test_to_those_named_in_their_order_and_once(self, live: Live, topic: str) -> None:
        await enroll(live.installation, topic, 2)
        (gone,) = await enroll(live.installation, topic, 1, first=5, state=EnrollmentState.CHECKED_OUT)
        wave = await waves.start(live.installation, ["udid 1", gone, "udid 0", "000001"], per_second=0.0, actor="test")
        assert (await keys_of(live.installation, wave), wave.per_second) == (["000001", gone, "000000"], 0.0)

    @pytest.mark.parametrize(
        ("arguments", "error", "complaint"),
        [
            ({"names": ["udid 0", "nobody"]}, NotFound, "no device 'nobody'"),
            ({"names": []}, Conflict, "no device that can be pushed to"),
            ({"names": None, "topic": "com.apple.mgmt.nobody"}, Conflict, "of the topic com.apple.mgmt.nobody"),
            ({"names": ["udid 0"], "topic": "T"}, Invalid, "narrows down"),
            *(
                ({"names": None, "per_second": pace}, Invalid, "wakes a second")
                for pace in (-1.0, 1e-9, 1e7, float("nan"), float("inf"))
            ),
            ({"names": None, "label": "x" * 201}, Invalid, "label"),
            ({"names": None, "label": "a\x00b"}, Invalid, "label"),
        ],
    )
    async def test_that_cannot_be_leaves_nothing(
        self, live: Live, topic: str, arguments: dict[str, Any], error: type[BramleyError], complaint: str
    ) -> None:
        await enroll(live.installation, topic, 1)
        names = arguments.pop("names")
        with pytest.raises(error, match=complaint):
            await waves.start(live.installation, names, **arguments, actor="test")
        assert await waves.listing(live.installation) == []
        assert await jobs(live.installation) == []
        assert await events(live.installation, EventKind.PUSH_WAVE_STARTED) == []

    async def test_under_a_paused_topic_finds_nobody(self, live: Live, topic: str) -> None:
        await enroll(live.installation, topic, 1)
        await live.installation.store.run(lambda tx: pushing.pause(tx, topic, "BadCertificate", now=NOW))
        with pytest.raises(Conflict):
            await waves.start(live.installation, None, actor="test")


class TestStopAndResume:
    @pytest.fixture
    async def wave(self, live: Live, topic: str) -> Wave:
        return await waves.start(live.installation, await enroll(live.installation, topic, 3), actor="test")

    async def test_a_stopped_wave_goes_on_where_it_was(self, installation: Installation, wave: Wave, clock: SetClock) -> None:
        await settle(installation, wave, 1)
        clock.moment += SECOND
        stopped = await waves.stop(installation, wave.id, actor="admin:ann")
        assert stopped == replace(wave, state=WaveState.STOPPED, changed_at=clock.moment)
        assert await waves.stop(installation, wave.id, actor="admin:bob") == stopped
        resumed = await waves.resume(installation, wave.id, actor="admin:ann")
        assert resumed == replace(wave, changed_at=clock.moment)
        assert await keys_of(installation, wave) == ["000001", "000002"]
        assert await events(installation, EventKind.PUSH_WAVE_STOPPED) == [{"wave": wave.id}]
        assert (await events(installation, EventKind.PUSH_WAVE_STARTED))[0] == {"wave": wave.id, "resumed": True, "left": 2}
        assert await jobs(installation) == [(wave.id, JobState.READY)]

    async def test_what_stopped_it_is_forgotten(self, installation: Installation, wave: Wave) -> None:
        await store_wave(installation, wave, state=WaveState.STOPPED, problem="the topic is paused")
        assert (await waves.resume(installation, wave.id, actor="test")).problem == ""

    async def test_resuming_a_running_wave_brings_back_a_job_that_was_lost(self, installation: Installation, wave: Wave) -> None:
        (job,) = await installation.store.run(lambda tx: tx.jobs.claim("one", NOW, LEASE, 10))
        await installation.store.run(lambda tx: tx.jobs.fail(id_of(job), "one", "broken"))
        assert await waves.resume(installation, wave.id, actor="test") == wave
        assert await jobs(installation) == [(wave.id, JobState.READY), (wave.id, JobState.FAILED)]
        assert len(await events(installation, EventKind.PUSH_WAVE_STARTED)) == 1

    async def test_a_wave_that_is_done_stays_so(self, installation: Installation, wave: Wave) -> None:
        done = replace(wave, state=WaveState.DONE)
        await store_wave(installation, done)
        assert await waves.stop(installation, wave.id, actor="test") == done
        with pytest.raises(Conflict, match="has tried every device"):
            await waves.resume(installation, wave.id, actor="test")
        assert await events(installation, EventKind.PUSH_WAVE_STOPPED) == []

    async def test_an_unknown_wave(self, installation: Installation) -> None:
        for act in (
            lambda: waves.stop(installation, "nothing", actor="test"),
            lambda: waves.resume(installation, "nothing", actor="test"),
            lambda: waves.show(installation, "nothing"),
        ):
            with pytest.raises(NotFound, match="no wave 'nothing'"):
                await act()


class TestReport:
    async def test_counts_what_was_tried_and_foretells_the_end(self, live: Live, topic: str, clock: SetClock) -> None:
        found = await enroll(live.installation, topic, 5)
        wave = await waves.start(live.installation, found, per_second=0.5, actor="test")
        await settle(live.installation, wave, 2)
        await settle(live.installation, wave, 1, "Unregistered")
        report = await waves.show(live.installation, wave.id)
        assert (report.outcomes, report.left, report.eta) == ({"delivered": 2, "Unregistered": 1}, 2, NOW + 4 * SECOND)
        assert await waves.listing(live.installation) == [report]

    @pytest.mark.parametrize(
        "fields", [{"state": WaveState.STOPPED}, {"problem": "no network"}, {"per_second": 0.0}], ids=["stopped", "stuck", "free"]
    )
    async def test_does_not_foretell_what_nobody_knows(self, live: Live, topic: str, fields: dict[str, Any]) -> None:
        wave = await waves.start(live.installation, await enroll(live.installation, topic, 1), actor="test")
        await store_wave(live.installation, wave, **fields)
        assert (await waves.show(live.installation, wave.id)).eta is None

    async def test_says_since_when_no_server_works_on_it(self, live: Live, topic: str, clock: SetClock) -> None:
        installation = live.installation
        wave = await waves.start(installation, await enroll(installation, topic, 2), actor="test")
        other = await waves.start(installation, ["udid 0"], actor="test")

        async def waiting() -> object:
            return (await waves.show(installation, wave.id)).waiting_since

        clock.moment += 20 * SECOND
        assert await waiting() == NOW
        (job, _other) = await installation.store.run(lambda tx: tx.jobs.claim("one", clock.moment, LEASE, 10))
        assert await waiting() is None
        clock.moment += LEASE
        assert await waiting() == clock.moment
        again = clock.moment + SECOND
        await installation.store.run(lambda tx: tx.jobs.retry(id_of(job), "one", again, ""))
        assert await waiting() is None
        clock.moment += 2 * SECOND
        assert await waiting() == again
        await waves.stop(installation, wave.id, actor="test")
        assert await waiting() is None
        assert (await waves.show(installation, other.id)).waiting_since == NOW + 20 * SECOND + LEASE


@pytest.mark.parametrize(
    ("per_second", "count"), [(0, 1000), (0.001, 1), (0.9, 1), (1, 1), (1.9, 1), (50, 50), (999.5, 999), (1e6, 1000)]
)
def test_a_turn_takes_what_a_second_allows(per_second: float, count: int) -> None:
    assert wave_turns.at_once(per_second) == count


@pytest.mark.parametrize(
    ("per_second", "pushed", "took", "wait"),
    [
        (50, 50, 0.25, 0.75),
        (50, 50, 3.0, 0.0),
        (50, 10, 0.0, 0.2),
        (50, 0, 0.0, 0.0),
        (0.1, 1, 1.0, 9.0),
        (2000, 1000, 0.1, 0.4),
        (0, 1000, 0.0, 0.0),
    ],
)
def test_the_next_turn_waits_for_its_share_of_time(per_second: float, pushed: int, took: float, wait: float) -> None:
    assert wave_turns.wait(per_second, pushed, NOW, NOW + timedelta(seconds=took)) == timedelta(seconds=wait)


def test_apns_that_cannot_be_reached_is_left_alone_for_ever_longer() -> None:
    now, waits = NOW, []
    for _ in range(9):
        waits.append(wave_turns.pause(NOW, now).total_seconds())
        now += timedelta(seconds=waits[-1])
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]


@pytest.mark.parametrize(
    ("result", "word", "meaning"),
    [
        (PushResult(200), "delivered", Action.DELIVERED),
        (PushResult(200, reason="odd"), "delivered", Action.DELIVERED),
        (PushResult(0, error="refused"), "no answer", Action.RETRY),
        (PushResult(410, reason="Unregistered"), "Unregistered", Action.STOP_TOKEN),
        (PushResult(502), "status 502", Action.RETRY),
        (PushResult(418, reason=""), "status 418", Action.OUR_FAULT),
        (PushResult(400, reason="x" * 65), "status 400", Action.OUR_FAULT),
        (PushResult(400, reason="a\x00b"), "status 400", Action.OUR_FAULT),
        (PushResult(400, reason="NeverHeardOf"), "NeverHeardOf", None),
    ],
)
def test_words_for_results(result: PushResult, word: str, meaning: Action | None) -> None:
    assert wave_turns.word(result) == word
    assert wave_turns.action_of(word) is meaning


def test_every_word_of_ours_and_of_apns_has_a_meaning() -> None:
    assert {word: wave_turns.action_of(word) for word in REASONS} == REASONS
    assert [wave_turns.action_of(obstacle.value) for obstacle in Obstacle] == list(Obstacle)


@pytest.mark.parametrize(
    ("fields", "obstacle"),
    [
        ({}, None),
        ({"state": EnrollmentState.QUARANTINED}, None),
        ({"state": EnrollmentState.CHECKED_OUT}, Obstacle.NOT_ENROLLED),
        ({"state": EnrollmentState.PENDING}, Obstacle.NOT_ENROLLED),
        ({"push_token": None}, Obstacle.NO_TOKEN),
        ({"push_magic": None}, Obstacle.NO_TOKEN),
        ({"push_stopped_at": NOW}, Obstacle.TOKEN_DEAD),
        ({"topic": "paused"}, Obstacle.TOPIC_PAUSED),
        ({"topic": "another"}, Obstacle.NO_CERTIFICATE),
        ({"topic": None}, Obstacle.NO_CERTIFICATE),
    ],
)
async def test_what_stands_in_the_way(live: Live, topic: str, fields: dict[str, Any], obstacle: Obstacle | None) -> None:
    (key,) = await enroll(live.installation, topic, 1)
    await change(live.installation, key, **fields)
    await live.installation.store.run(lambda tx: pushing.pause(tx, "paused", "BadCertificate", now=NOW))
    look: Callable[[Any], Any] = lambda tx: Lookout(tx).obstacle(tx.enrollments.get(key))  # noqa: E731
    assert await live.installation.store.read(look) is obstacle
    unknown = EnrollmentKey("never heard of")
    assert Obstacle.NOT_ENROLLED is await live.installation.store.read(
        lambda tx: Lookout(tx).obstacle(tx.enrollments.get(unknown))
    )
