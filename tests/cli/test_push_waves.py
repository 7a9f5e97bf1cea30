"""`bramley push send` and the verbs for waves, beside a server whose APNs answers as it is told."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.apple.push.notification import PushResult
from bramley.apple.push.reasons import Action
from bramley.cli.push import wave_progress
from bramley.clock import SystemClock
from bramley.jobs.runner import Runner
from bramley.jobs.waves import Waves
from bramley.model.enrollments import Enrollment
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.operations import records
from bramley.operations.installation import open_installation
from bramley.operations.live import Live
from bramley.operations.pushing import Obstacle
from bramley.pki import keys
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import Run
from tests.jobs.kit import GOOD, FakeSender, answering, enroll

COUNT = 4
Answers = Callable[[Enrollment], PushResult]


@pytest.fixture
def fleet(data: Path, apple: SandboxAppleCA, push_key: keys.PrivateKey, topic: str) -> Path:
    """The data folder of an installation with a push certificate and four devices that it can wake."""

    async def fill() -> None:
        installation = await open_installation(Settings(data=data), SystemClock(), {})
        now = installation.clock.now()
        certificate = apple.issue_push_certificate(push_key.public_key(), topic=topic, now=now)

        def put(tx: Tx) -> None:
            lineage = records.lineage(tx, Kind.PUSH, topic, Policy(), now=now)
            version = records.record(tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor="test")
            records.promote(tx, version, now=now, actor="test")

        await installation.store.run(put)
        await enroll(installation, topic, COUNT)
        await installation.store.close()

    asyncio.run(fill())
    return data


@contextmanager
def serving(data: Path, answers: Answers = lambda _target: GOOD) -> Iterator[None]:
    """A server that does nothing but carry waves on, in a thread of its own."""
    ended = threading.Event()

    async def serve() -> None:
        installation = await open_installation(Settings(data=data), SystemClock(), {})
        (push,) = await installation.store.read(lambda tx: tx.lineages.certificates(kind=Kind.PUSH))
        live = await Live.start(installation)
        sender = FakeSender(live, answers, certificate=push.version.sha256 or "")
        running = asyncio.create_task(Runner(installation.store, installation.clock, {"push-wave": Waves(live, sender)}).run())
        while not ended.is_set():
            await asyncio.sleep(0.02)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await installation.store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def once(data: Path, there_is: str, act: Callable[[], None]) -> threading.Thread:
    """Does something as soon as there is such a row, in a thread of its own."""

    def wait() -> None:
        with closing(sqlite3.connect(data / "bramley.sqlite3")) as database:
            for _ in range(3000):
                if database.execute(f"SELECT 1 FROM {there_is}").fetchone():
                    break
                time.sleep(0.01)
            else:
                return
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def listed(run: Run, data: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = run("push", "waves", "--data", data, "--json").json
    return found


def test_everybody_is_woken_and_machines_get_one_object(run: Run, fleet: Path) -> None:
    with serving(fleet):
        sent = run("push", "send", "--all", "--yes", "--per-second", "0", "--label", "night", "--data", fleet, "--json")
    assert (sent.code, sent.err) == (0, "")
    told = sent.json
    assert {name: told[name] for name in ("total", "outcomes", "state", "problem", "label", "left")} == {
        "total": COUNT,
        "outcomes": {"delivered": COUNT},
        "state": "done",
        "problem": "",
        "label": "night",
        "left": 0,
    }
    assert 0 < told["seconds"] < 30
    assert listed(run, fleet) == [told]
    assert run("push", "wave", told["wave"], "--data", fleet, "--json").json == told


def test_those_named_are_told_of_by_reason(run: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wave_progress, "LINE_SECONDS", 0.0)
    with serving(fleet, answering(_1=PushResult(410, reason="Unregistered"), _2=PushResult(502))):
        sent = run("push", "send", "udid 0", "udid 1", "udid 2", "--per-second", "20", "--data", fleet)
    assert sent.code == 1
    for line in ("delivered", "APNs took it.", "Unregistered", "next TokenUpdate brings another", "status 502", "by itself"):
        assert line in sent.out
    assert "of 3 tried" in sent.err
    assert "2 not delivered" in sent.err
    assert "secret" not in sent.out + sent.err


def test_a_problem_stops_it_and_says_how_to_go_on(run: Run, fleet: Path) -> None:
    with serving(fleet, answering(_1=PushResult(403, reason="BadCertificate"))):
        sent = run("push", "send", "udid 0", "udid 1", "--data", fleet)
    assert sent.code == 1
    assert "is paused: BadCertificate" in sent.out
    assert "push wave-resume" in sent.err


def test_interrupting_stops_it_and_it_can_be_resumed(run: Run, fleet: Path) -> None:
    with serving(fleet):
        once(fleet, "wave_targets WHERE outcome = 'delivered'", lambda: os.kill(os.getpid(), signal.SIGINT))
        stopped = run("push", "send", "--all", "--yes", "--per-second", "0.2", "--data", fleet)
        (wave,) = listed(run, fleet)
        assert stopped.code == 130
        assert (wave["state"], wave["left"]) == ("stopped", COUNT - 1)
        assert f"push wave-resume {wave['wave']}` goes on with the {COUNT - 1} that were not tried" in stopped.err
        resumed = run("push", "wave-resume", wave["wave"], "--detach", "--data", fleet, "--json")
        assert (resumed.code, resumed.json["state"]) == (0, "running")
        again = run("push", "wave-stop", wave["wave"], "--data", fleet, "--json")
        assert (again.code, again.json["state"]) == (0, "stopped")


def test_without_a_server_machines_are_refused_and_the_wave_waits(run: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wave_progress, "PATIENCE", timedelta(seconds=0.5))
    sent = run("push", "send", "--all", "--yes", "--data", fleet, "--json")
    assert sent.code == 3
    assert "bramley serve" in sent.err
    (wave,) = listed(run, fleet)
    assert (wave["state"], wave["left"]) == ("running", COUNT)
    assert "bramley serve" in run("push", "wave", wave["wave"], "--data", fleet).err


def test_without_a_server_people_are_told_once_and_it_goes_on_when_there_is_one(
    run: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wave_progress, "PATIENCE", timedelta(seconds=0.5))
    over = threading.Event()

    def late() -> None:
        time.sleep(1.5)
        with serving(fleet):
            over.wait(30)

    server = once(fleet, "waves", late)
    sent = run("push", "send", "--all", "--yes", "--per-second", "0", "--data", fleet)
    over.set()
    server.join()
    assert sent.code == 0
    assert sent.err.count("bramley serve") == 1


def test_a_person_at_a_terminal_sees_a_bar(fleet: Path) -> None:
    leader, follower = pty.openpty()
    with serving(fleet, answering(_1=PushResult(410, reason="Unregistered"))):
        sent = subprocess.run(
            [sys.executable, "-m", "bramley", "push", "send", "--all", "--yes", "--per-second", "3", "--data", fleet],
            stdout=subprocess.PIPE,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
            timeout=60,
            check=False,
        )
    os.close(follower)
    seen = os.read(leader, 100_000).decode(errors="replace")
    os.close(leader)
    assert sent.returncode == 1
    assert f"3/{COUNT}" in seen
    assert "1 not delivered" in seen
    assert b"Unregistered" in sent.stdout


def test_what_is_detached_goes_on_alone(run: Run, fleet: Path) -> None:
    started = run("push", "send", "udid 3", "--detach", "--data", fleet)
    assert started.code == 0
    assert "tells how it goes" in started.err
    (wave,) = listed(run, fleet)
    assert (wave["state"], wave["total"], wave["per_second"]) == ("running", 1, 50.0)
    with serving(fleet):
        once(fleet, "waves WHERE state = 'done'", lambda: None).join()
    refused = run("push", "wave-resume", wave["wave"], "--data", fleet)
    assert refused.code == 2
    assert "has tried every device" in refused.err
    assert "done" in run("push", "wave-stop", wave["wave"], "--data", fleet).out
    assert "done" in run("push", "waves", "--data", fleet).out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Expected either devices or --all"),
        (("udid 0", "--all"), "Expected either devices or --all"),
        (("--topic", "T"), "Expected either devices or --all"),
        (("udid 0", "--topic", "T"), "narrows down"),
        (("udid 0", "nobody"), "There is no device 'nobody'"),
        (("--all", "--topic", "T", "--yes"), "no device of the topic T"),
        (("udid 0", "--per-second", "-1"), "wakes a second"),
        (("udid 0", "--per-second", "nan"), "wakes a second"),
        (("udid 0", "--label", "a\nb"), "label"),
        (("--all",), f"Push to {COUNT} devices and user channels, 50 a second? This needs a confirmation"),
        (("--all", "--json"), "--yes"),
    ],
)
def test_what_cannot_be_sent_starts_nothing(run: Run, fleet: Path, arguments: tuple[str, ...], complaint: str) -> None:
    refused = run("push", "send", *arguments, "--data", fleet)
    assert refused.code == 2
    assert complaint in refused.err
    assert listed(run, fleet) == []


@pytest.mark.parametrize("verb", ["wave", "wave-stop", "wave-resume"])
def test_an_unknown_wave(run: Run, data: Path, verb: str) -> None:
    shown = run("push", verb, "nothing", "--data", data)
    assert shown.code == 2
    assert shown.err == "error: There is no wave 'nothing'.\n`bramley push waves` shows what there is.\n"


def test_a_dry_run_counts_and_starts_nothing(run: Run, fleet: Path) -> None:
    shown = run("push", "send", "--all", "--dry-run", "--data", fleet)
    assert (shown.code, shown.out) == (
        0,
        f"This would push to {COUNT} devices and user channels, 50 a second; nothing was changed.\n",
    )
    told = run("push", "send", "udid 0", "--per-second", "0", "--dry-run", "--data", fleet, "--json").json
    assert told == {"dry_run": True, "total": 1, "per_second": 0.0}
    assert listed(run, fleet) == []
    assert "`bramley push send --all` starts one" in run("push", "waves", "--data", fleet).err


def test_every_outcome_has_a_meaning() -> None:
    assert set(wave_progress.MEANINGS) == {*Action, *Obstacle, None}
