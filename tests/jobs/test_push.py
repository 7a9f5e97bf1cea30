"""Pushes: whom APNs takes for dead, when a topic is paused, and that no push is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bramley.apple.push.client import Push, PushResult
from bramley.apple.push.errors import CannotConnect
from bramley.jobs.push import Pusher
from bramley.jobs.runner import MOST_ATTEMPTS, Runner
from bramley.jobs.sending import Sender
from bramley.jobs.trial import Trials
from bramley.mdm.commands import SecurityInfo
from bramley.mdm.token_update import leave_push
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job, Outcome
from bramley.operations import commands, pushing
from bramley.operations.live import Live, PushIdentity
from bramley.operations.push import importing
from bramley.operations.push.clients import clients
from bramley.operations.push.importing import Terms
from bramley.operations.push.trial import TRIAL
from bramley.pki import keys
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock

GOOD = PushResult(200)
REFUSED = PushResult(403, reason="BadCertificate")
SECOND = timedelta(seconds=1)
Renew = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class StandIn:
    """Clients of an APNs that answers as it is told, `GOOD` where it is not; `meanwhile` runs before the next answer."""

    answers: list[PushResult] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[Any]] | None = None
    batches: list[tuple[str, list[bytes]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __call__(self, identity: PushIdentity) -> Client:
        self.open.append(identity.fingerprint)
        return Client(self, identity.fingerprint)


@dataclass(slots=True)
class Client:
    apns: StandIn
    certificate: str

    async def push(self, pushes: Sequence[Push]) -> Sequence[PushResult]:
        self.apns.batches.append((self.certificate, [push.token for push in pushes]))
        if self.apns.meanwhile is not None:
            meanwhile, self.apns.meanwhile = self.apns.meanwhile, None
            await meanwhile()
        return [self.apns.answers.pop(0) if self.apns.answers else GOOD for _ in pushes]

    async def close(self) -> None:
        await asyncio.sleep(0.01)  # as a thread that ends takes its time
        self.apns.open.remove(self.certificate)


@pytest.fixture
def apns() -> StandIn:
    return StandIn()


@pytest.fixture
def sender(live: Live, apns: StandIn) -> Sender:
    return Sender(live, apns)


@pytest.fixture
def pusher(live: Live, sender: Sender) -> Pusher:
    return Pusher(live, sender)


@pytest.fixture
def renew(live: Live, apple: SandboxAppleCA, push_key: keys.PrivateKey, topic: str) -> Renew:
    """Imports the next push certificate of the topic, and has it prove itself where it is on trial."""

    async def bring_in() -> None:
        now = live.installation.clock.now()
        certificate = apple.issue_push_certificate(push_key.public_key(), topic=topic, now=now)
        await importing.import_pair(live.installation, certificate, push_key, actor="test")
        await Trials(live, Sender(live, StandIn()))([Job(TRIAL, now, now, {"topic": topic})])

    return bring_in


async def add(live: Live, topic: str, name: str = "1", **fields: Any) -> EnrollmentKey:
    made = Enrollment(EnrollmentKey(f"key {name}"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(f"udid {name}"))
    row = replace(made, topic=topic, push_token=name.encode(), push_magic="magic", token_updated_at=NOW)
    await live.installation.store.run(lambda tx: tx.enrollments.add(replace(row, **fields)))
    return row.key


async def row(live: Live, key: EnrollmentKey) -> Enrollment:
    found = await live.installation.store.read(lambda tx: tx.enrollments.get(key))
    assert found is not None
    return found


async def events(live: Live, kind: EventKind) -> list[dict[str, object]]:
    return [dict(event.detail) for event in await live.installation.store.read(lambda tx: tx.events.find(kind=kind))]


async def waiting(live: Live) -> set[str]:
    """Who is still to be pushed to."""
    jobs = await live.installation.store.read(lambda tx: tx.jobs.of_kind("push"))
    return {job.args["enrollment_key"] for job in jobs if job.state == "ready"}


def job(key: EnrollmentKey, attempts: int = 1) -> Job:
    return Job("push", NOW, NOW, {"enrollment_key": key}, attempts=attempts)


async def test_many_go_in_one_batch_and_it_is_noted_when(live: Live, topic: str, pusher: Pusher, apns: StandIn) -> None:
    found = [await add(live, topic, name) for name in "12"]
    assert await pusher([job(key) for key in found]) == [DONE, DONE]
    ((_certificate, tokens),) = apns.batches
    assert sorted(tokens) == [b"1", b"2"]
    assert {(await row(live, key)).last_push_at for key in found} == {live.installation.clock.now()}


@pytest.mark.parametrize(
    "fields", [{"state": EnrollmentState.CHECKED_OUT}, {"state": EnrollmentState.PENDING}, {"push_token": None}]
)
async def test_nobody_else_is_pushed_to(live: Live, topic: str, pusher: Pusher, apns: StandIn, fields: dict[str, Any]) -> None:
    key = await add(live, topic, **fields)
    assert await pusher([job(key), job(EnrollmentKey("never heard of"))]) == [DONE, DONE]
    assert apns.batches == []
    (asked,) = await pushing.request_push(live.installation, [key])
    assert not asked.queued
    assert asked.why_not


class TestDeadToken:
    async def test_is_left_alone_from_then_on(self, live: Live, topic: str, pusher: Pusher, apns: StandIn) -> None:
        key = await add(live, topic)
        apns.answers = [PushResult(410, reason="Unregistered", timestamp=NOW + SECOND)]
        assert await pusher([job(key)]) == [DONE]
        assert (await row(live, key)).push_stopped_at == NOW
        assert await events(live, EventKind.PUSH_TOKEN_DEAD) == [{"reason": "Unregistered"}]
        assert await pusher([job(key)]) == [DONE]
        assert len(apns.batches) == 1

    async def test_not_where_a_later_token_update_vouched_for_the_same_token(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn
    ) -> None:
        key = await add(live, topic)
        apns.answers = [PushResult(410, reason="Unregistered", timestamp=NOW - SECOND)]
        (outcome,) = await pusher([job(key)])
        assert outcome.retry_after is not None
        assert (await row(live, key)).push_stopped_at is None

    async def test_without_a_timestamp_the_token_is_dead(self, live: Live, topic: str, pusher: Pusher, apns: StandIn) -> None:
        key = await add(live, topic)
        apns.answers = [PushResult(410, reason="ExpiredToken")]
        await pusher([job(key)])
        assert (await row(live, key)).push_stopped_at is not None

    async def test_not_the_token_that_came_while_the_old_one_was_pushed(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn
    ) -> None:
        key = await add(live, topic)
        renewed = replace(await row(live, key), push_token=b"new")
        apns.meanwhile = lambda: live.installation.store.run(lambda tx: tx.enrollments.update(renewed))
        apns.answers = [PushResult(410, reason="Unregistered", timestamp=NOW + SECOND)]
        assert await pusher([job(key)]) == [DONE]
        assert (await row(live, key)).push_stopped_at is None


class TestPausedTopic:
    async def test_is_one_event_however_many_devices(self, live: Live, topic: str, pusher: Pusher, apns: StandIn) -> None:
        found = [await add(live, topic, name) for name in "123"]
        apns.answers = [REFUSED] * 3
        assert await pusher([job(key) for key in found]) == [DONE] * 3
        assert await events(live, EventKind.PUSH_TOPIC_PAUSED) == [{"topic": topic, "reason": "BadCertificate"}]
        await pusher([job(key) for key in found])
        assert len(apns.batches) == 1
        (asked,) = await pushing.request_push(live.installation, ["udid 1"])
        assert (asked.queued, "paused (BadCertificate)" in asked.why_not) == (False, True)

    async def test_a_new_certificate_wakes_whoever_has_something_waiting(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn, renew: Renew
    ) -> None:
        """What was queued during the pause was pushed to nobody."""
        busy, _idle = await add(live, topic, "1"), await add(live, topic, "2")
        apns.answers = [REFUSED]
        await pusher([job(busy)])
        await commands.send(live.installation, busy, SecurityInfo(), actor="test", push=False)
        await renew()
        assert await waiting(live) == {busy}
        assert await events(live, EventKind.PUSH_TOPIC_RESUMED) == [{"topic": topic}]
        await live.refresh()
        assert await pusher([job(busy)]) == [DONE]
        assert [certificate for certificate, _tokens in apns.batches] != [apns.batches[0][0]] * 2

    async def test_an_expired_certificate_pauses_without_asking_apple(self, live: Live, topic: str, clock: SetClock) -> None:
        sender = Sender(live, clients(live.installation))
        pusher = Pusher(live, sender)
        key = await add(live, topic)
        clock.moment += timedelta(days=400)
        assert await pusher([job(key)]) == [DONE]
        (paused,) = await events(live, EventKind.PUSH_TOPIC_PAUSED)
        assert "expired on" in str(paused["reason"])
        await sender.close()

    async def test_what_was_said_of_the_old_certificate_does_not_pause_the_new_one(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn, renew: Renew
    ) -> None:
        key = await add(live, topic)
        apns.meanwhile, apns.answers = renew, [REFUSED]
        (outcome,) = await pusher([job(key)])
        assert outcome.retry_after is not None
        assert await events(live, EventKind.PUSH_TOPIC_PAUSED) == []
        await live.refresh()
        assert await pusher([job(key)]) == [DONE]

    async def test_the_certificate_in_force_ends_a_pause_when_it_is_given_again(
        self, live: Live, topic: str, push_key: keys.PrivateKey, pusher: Pusher, apns: StandIn
    ) -> None:
        """The cause was elsewhere: a proxy that answers 403."""
        key = await add(live, topic)
        apns.answers = [PushResult(403)]
        await pusher([job(key)])
        await commands.send(live.installation, key, SecurityInfo(), actor="test", push=False)
        certificate = live.current().pushes[topic].certificate
        tried = await importing.import_pair(live.installation, certificate, push_key, actor="test", terms=Terms(dry_run=True))
        assert (tried.version, await waiting(live)) == (None, set())
        done = await importing.import_pair(live.installation, certificate, push_key, actor="test")
        assert done.version is not None
        assert done.version.sha256 == live.current().pushes[topic].fingerprint
        assert await waiting(live) == {key}


class TestTrouble:
    async def test_is_tried_again_ever_later_but_not_before_apple_says(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn
    ) -> None:
        key = await add(live, topic)
        waits = []
        for attempts in (1, 2, 3, 100):
            apns.answers = [PushResult(0, error="connection refused")]
            (outcome,) = await pusher([job(key, attempts)])
            assert (outcome.retry_after, outcome.error) != (None, "")
            waits.append(outcome.retry_after)
        assert waits == [10 * SECOND, 20 * SECOND, 40 * SECOND, timedelta(hours=1)]
        apns.answers = [PushResult(503, reason="ServiceUnavailable", retry_after=90.0)]
        assert await pusher([job(key)]) == [Outcome(90 * SECOND, "ServiceUnavailable")]
        apns.answers = [PushResult(429, reason="TooManyRequests", retry_after=float("inf"))]
        assert await pusher([job(key)]) == [Outcome(timedelta(days=1), "TooManyRequests")]

    async def test_of_an_evening_loses_no_push(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn, clock: SetClock
    ) -> None:
        key = await add(live, topic)
        await live.installation.store.run(lambda tx: leave_push(tx, key, NOW))
        runner = Runner(live.installation.store, clock, {"push": pusher})
        apns.answers = [PushResult(0, error="no route to host")] * (MOST_ATTEMPTS + 5)
        for _ in range(MOST_ATTEMPTS + 6):
            await runner.step()
            await runner.idle()
            clock.moment += timedelta(hours=1)
        assert (await row(live, key)).last_push_at is not None
        assert len(apns.batches) == MOST_ATTEMPTS + 6

    @pytest.mark.parametrize("reason", ["DeviceTokenNotForTopic", "BadTopic"])
    async def test_what_only_a_human_can_mend_is_given_up_and_the_device_is_not_dead(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn, reason: str
    ) -> None:
        key = await add(live, topic)
        apns.answers = [PushResult(400, reason=reason)]
        assert await pusher([job(key)]) == [Outcome(None, reason)]
        assert (await row(live, key)).push_stopped_at is None

    async def test_of_one_topic_does_not_hold_up_another(self, live: Live, topic: str, pusher: Pusher, apns: StandIn) -> None:
        """A topic whose certificate another process has imported and this one has not read yet."""
        ours, other = await add(live, topic, "1"), await add(live, f"{topic}.other", "2")
        done, again = await pusher([job(ours), job(other)])
        assert done == DONE
        assert again.retry_after is not None
        assert len(apns.batches) == 1

    async def test_of_this_machine_is_tried_again(self, live: Live, topic: str) -> None:
        def connect(_identity: PushIdentity) -> Client:
            raise CannotConnect("This machine has no trusted roots.")

        (outcome,) = await Pusher(live, Sender(live, connect))([job(await add(live, topic))])
        assert outcome == Outcome(10 * SECOND, "This machine has no trusted roots.")


class TestClients:
    async def test_one_serves_until_its_certificate_is_replaced(
        self, live: Live, topic: str, pusher: Pusher, sender: Sender, apns: StandIn, renew: Renew
    ) -> None:
        key = await add(live, topic)
        for _ in range(2):
            await pusher([job(key)])
        (first,) = apns.open
        await renew()
        await live.refresh()
        await pusher([job(key)])
        (second,) = apns.open
        assert first != second
        await sender.close()
        assert apns.open == []

    async def test_batches_at_the_same_time_share_the_next_one(
        self, live: Live, topic: str, pusher: Pusher, apns: StandIn, renew: Renew
    ) -> None:
        found = [await add(live, topic, name) for name in "12"]
        await pusher([job(found[0])])
        await renew()
        await live.refresh()
        assert await asyncio.gather(*(pusher([job(key)]) for key in found)) == [[DONE], [DONE]]
        assert len(apns.open) == 1


async def test_a_device_that_checked_out_during_the_push_is_left_as_it_is(
    live: Live, topic: str, pusher: Pusher, apns: StandIn
) -> None:
    key = await add(live, topic)
    ended = replace(await row(live, key), state=EnrollmentState.CHECKED_OUT)
    apns.meanwhile = lambda: live.installation.store.run(lambda tx: tx.enrollments.update(ended))
    await pusher([job(key)])
    assert (await row(live, key)).state is EnrollmentState.CHECKED_OUT


async def test_many_requests_before_the_push_are_one(live: Live, topic: str, now: datetime) -> None:
    key = await add(live, topic)

    def add_two(tx: Tx) -> None:
        for _ in range(2):
            leave_push(tx, key, now)

    await live.installation.store.run(add_two)
    assert len(await live.installation.store.read(lambda tx: tx.jobs.of_kind("push"))) == 1
