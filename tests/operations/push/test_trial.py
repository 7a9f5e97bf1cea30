"""A renewed certificate proves itself with one push before the former is given up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from bramley.apple.push.client import PushResult
from bramley.jobs.sending import Sender
from bramley.jobs.trial import Trials
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations import pushing
from bramley.operations.errors import Conflict
from bramley.operations.live import Live, PushIdentity
from bramley.operations.push import importing, status, trial
from bramley.pki import keys
from bramley.sandbox.apple_ca import SandboxAppleCA
from tests.conftest import SetClock

from .kit import enroll

GOOD = PushResult(200)
DEAD = PushResult(410, reason="Unregistered")
NO_ANSWER = PushResult(0, error="connection refused")


class APNs:
    """Answers as told, one answer for each push, and remembers which certificate pushed to which token."""

    def __init__(self) -> None:
        self.answers: list[PushResult] = []
        self.asked: list[tuple[str, bytes]] = []

    def __call__(self, identity: PushIdentity) -> Any:
        return _Client(self, identity.fingerprint)


class _Client:
    def __init__(self, apns: APNs, fingerprint: str) -> None:
        self._apns, self._fingerprint = apns, fingerprint

    async def push(self, pushes: Any) -> list[PushResult]:
        self._apns.asked += [(self._fingerprint, push.token) for push in pushes]
        return [self._apns.answers.pop(0) for _ in pushes]

    async def close(self) -> None: ...


@pytest.fixture
def apns() -> APNs:
    return APNs()


@pytest.fixture
def hold(live: Live, apns: APNs, topic: str, clock: SetClock) -> Callable[..., Any]:
    """Holds the trial, with these answers of APNs."""

    async def hold(*answers: PushResult, attempts: int = 1) -> Outcome:
        apns.answers = list(answers)
        job = Job(trial.TRIAL, clock.now(), clock.now(), {"topic": topic}, attempts=attempts)
        (outcome,) = await Trials(live, Sender(live, apns))([job])
        return outcome

    return hold


@pytest.fixture
async def renewed(live: Live, apple: SandboxAppleCA, device_keys: list[keys.PrivateKey], topic: str, clock: SetClock) -> Version:
    """Two devices, the one seen last first, and a renewed certificate on trial."""
    await enroll(live.installation, topic, "old", last_seen_at=clock.now() - timedelta(days=9))
    await enroll(live.installation, topic, "new", last_seen_at=clock.now())
    clock.moment += timedelta(days=300)
    certificate = apple.issue_push_certificate(device_keys[0].public_key(), topic=topic, now=clock.now())
    done = await importing.import_pair(live.installation, certificate, device_keys[0], actor="test")
    assert done.version is not None
    assert done.on_trial
    return done.version


async def states(live: Live) -> list[str]:
    (lineage,) = await live.installation.store.read(lambda tx: tx.lineages.of_kind(Kind.PUSH))
    return [v.state for v in await live.installation.store.read(lambda tx: tx.lineages.versions(lineage.id))]


async def test_one_push_with_success_puts_it_in_force(live: Live, renewed: Version, apns: APNs, hold: Any, topic: str) -> None:
    assert await hold(GOOD) == DONE
    assert apns.asked == [(renewed.sha256, b"new")]
    assert await states(live) == ["superseded", "active"]
    await live.refresh()
    assert live.current().pushes[topic].fingerprint == renewed.sha256
    assert await hold() == DONE, "there is nothing left to try"


@pytest.mark.parametrize("reason", ["BadCertificate", "Forbidden", "BadCertificateEnvironment", "TopicDisallowed", "BadTopic"])
async def test_what_apns_refuses_never_takes_over(live: Live, renewed: Version, hold: Any, topic: str, reason: str) -> None:
    status_code = 403 if "Certificate" in reason or reason == "Forbidden" else 400
    outcome = await hold(PushResult(status_code, reason=reason))
    assert (outcome.retry_after, reason in outcome.error) == (None, True)
    assert await states(live) == ["active", "failed"]
    (told,) = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.CERTIFICATE_FAILED))
    assert reason in str(told.detail["reason"])
    assert await live.installation.store.read(lambda tx: tx.notes.get(pushing.paused_note(topic))) is None


async def test_a_dead_token_says_nothing_against_the_certificate(live: Live, renewed: Version, apns: APNs, hold: Any) -> None:
    assert await hold(DEAD, GOOD) == DONE
    assert [token for _certificate, token in apns.asked] == [b"new", b"old"]
    assert await states(live) == ["superseded", "active"]
    stopped = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.PUSH_TOKEN_DEAD))
    assert len(stopped) == 1


@pytest.mark.parametrize(
    "answer", [NO_ANSWER, PushResult(503, reason="ServiceUnavailable"), PushResult(429, reason="TooManyRequests")]
)
async def test_trouble_puts_the_trial_off(live: Live, renewed: Version, hold: Any, answer: PushResult) -> None:
    waits = [(await hold(answer, attempts=attempts)).retry_after for attempts in (1, 2, 30)]
    assert waits == [timedelta(seconds=10), timedelta(seconds=20), timedelta(hours=1)]
    assert await states(live) == ["active", "issued"]


async def test_with_nobody_to_try_it_on_it_waits(live: Live, renewed: Version, hold: Any) -> None:
    await hold(DEAD, DEAD)
    outcome = await hold()
    assert outcome.error == "no device to try it on"
    assert await states(live) == ["active", "issued"]


async def test_when_the_former_expires_it_takes_over_untried(live: Live, renewed: Version, hold: Any, clock: SetClock) -> None:
    clock.moment += timedelta(days=70)
    assert await hold(NO_ANSWER) == DONE
    assert await states(live) == ["superseded", "active"]


class TestRollback:
    async def test_drops_what_is_on_trial(self, live: Live, renewed: Version, hold: Any) -> None:
        back = await trial.rollback(live.installation, None, reason="wrong key ceremony", actor="test")
        assert (back.state, await states(live)) == ("active", ["active", "failed"])
        assert await hold() == DONE

    async def test_returns_to_the_former_while_it_is_valid(
        self, live: Live, renewed: Version, hold: Any, topic: str, clock: SetClock
    ) -> None:
        await hold(GOOD)
        await trial.rollback(live.installation, topic, reason="r", actor="test")
        assert await states(live) == ["active", "superseded"]
        await trial.rollback(live.installation, topic, reason="and forth", actor="test")
        assert await states(live) == ["superseded", "active"]
        clock.moment += timedelta(days=80)
        with pytest.raises(Conflict, match="no earlier push certificate"):
            await trial.rollback(live.installation, topic, reason="r", actor="test")
        assert await states(live) == ["superseded", "active"]


class TestResume:
    """After a refusal whose cause was elsewhere: one push first, then all."""

    async def test_one_push_ends_the_pause(self, live: Live, topic: str, apns: APNs, hold: Any) -> None:
        await enroll(live.installation, topic)
        await live.installation.store.run(lambda tx: tx.notes.set(pushing.paused_note(topic), "Forbidden"))
        assert await trial.ask_to_resume(live.installation, None) == topic
        assert await hold(GOOD) == DONE
        (found,) = await status.overview(live.installation)
        assert found.paused == ""
        assert len(apns.asked) == 1

    async def test_a_refusal_leaves_it_paused(self, live: Live, topic: str, hold: Any) -> None:
        await enroll(live.installation, topic)
        await live.installation.store.run(lambda tx: tx.notes.set(pushing.paused_note(topic), "Forbidden"))
        outcome = await hold(PushResult(403, reason="Forbidden"))
        assert outcome.retry_after is None
        (found,) = await status.overview(live.installation)
        assert found.paused == "Forbidden"
        assert await states(live) == ["active"]

    async def test_what_is_not_paused(self, live: Live) -> None:
        with pytest.raises(Conflict, match="not paused"):
            await trial.ask_to_resume(live.installation, None)
