"""`bramley scep`: what waits, and the two answers there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState, Purpose
from bramley.operations.enrollment_profiles import new_challenge
from bramley.operations.installation import open_installation
from bramley.operations.live import Live
from bramley.pki import keys
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import Run
from tests.operations.scep_kit import Client, with_scep


@pytest.fixture
def asked(data: Path, device_keys: list[keys.PrivateKey]) -> Client:
    """A client whose request waits in the installation."""

    async def ask() -> Client:
        installation = await open_installation(Settings(data=data), SystemClock(), {})
        try:
            now, key = installation.clock.now(), EnrollmentKey("fedcba9876543210")
            given = new_challenge(key, Purpose.ENROLL, now, timedelta(hours=1))

            def begin(tx: Tx) -> None:
                tx.enrollments.add(Enrollment(key, EnrollmentState.PENDING, now, now))
                tx.challenges.add(given.challenge)

            await installation.store.run(begin)
            client = Client.make(await with_scep(await Live.start(installation), approval="manual"), device_keys[0], given.secret)
            assert await client.send() == "pending"
            return client
        finally:
            await installation.store.close()

    return asyncio.run(ask())


def waiting(run: Run, data: Path) -> list[str]:
    return [each["id"] for each in run("scep", "requests", "--data", data, "--json").json]


def test_nothing_waits(run: Run, data: Path) -> None:
    shown = run("scep", "requests", "--data", data)
    assert (shown.code, shown.out) == (0, "")
    assert "No request." in shown.err


def test_a_request_is_listed_and_approved(run: Run, data: Path, asked: Client) -> None:
    shown = run("scep", "requests", "--data", data)
    (name,) = waiting(run, data)
    assert name in shown.out
    assert "CN=router" in shown.out

    approved = run("scep", "approve", name, "--data", data, "--json").json

    assert (approved["state"], approved["decided_by"], approved["dry_run"]) == ("approved", "cli", False)
    assert run("certs", "show", approved["version_id"], "--data", data).code == 0
    assert waiting(run, data) == []
    assert [each["state"] for each in run("scep", "requests", "--all", "--data", data, "--json").json] == ["approved"]
    assert [each["id"] for each in run("scep", "requests", "--state", "approved", "--data", data, "--json").json] == [name]


def test_a_request_is_denied(run: Run, data: Path, asked: Client) -> None:
    (name,) = waiting(run, data)
    denied = run("scep", "deny", name, "--reason", "not ours", "--data", data)
    assert denied.code == 0
    assert denied.out == f"denied: {name}, CN=router\n"
    assert "not ours" in run("events", "--kind", "scep:request:denied", "--data", data, "--json").out


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_a_dry_run_changes_nothing(run: Run, data: Path, asked: Client, verb: str, snapshot: Callable[[], list[int]]) -> None:
    (name,) = waiting(run, data)
    before = snapshot()
    tried = run("scep", verb, name, "--dry-run", "--data", data)
    assert tried.code == 0
    assert tried.out.startswith("would be ")
    assert snapshot() == before
    assert waiting(run, data) == [name]


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_what_is_unknown_or_decided_exits_2(run: Run, data: Path, asked: Client, verb: str) -> None:
    (name,) = waiting(run, data)
    assert run("scep", "deny", name, "--data", data).code == 0
    for named, words in (("nothing", "There is no SCEP request"), (name, "was denied by cli")):
        refused = run("scep", verb, named, "--data", data)
        assert refused.code == 2
        assert words in refused.err
