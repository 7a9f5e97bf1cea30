"""Waves through the API: started, watched, stopped, resumed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.model.events import EventKind
from bramley.model.push import WaveID
from bramley.storage.protocols import Tx
from tests.jobs.kit import enroll
from tests.web.push import call
from tests.web.world import TOPIC, World


async def test_one_is_started_shown_stopped_and_resumed(world: World) -> None:
    await enroll(world.installation, TOPIC, 3)

    started = await call(world, "POST", "/waves", {"all": True, "per_second": 2, "label": "rollout"}, 202)
    path = f"/waves/{started['id']}"

    assert (started["state"], started["total"], started["left"], started["outcomes"]) == ("running", 3, 3, {})
    assert (started["label"], started["per_second"], started["created_by"]) == ("rollout", 2.0, "admin:first")
    assert started["eta"] == "2026-11-24T12:00:01.500000Z"
    assert await call(world, "GET", path) == started
    stopped = await call(world, "POST", f"{path}/stop")
    assert (stopped["state"], stopped["eta"]) == ("stopped", None)
    assert (await call(world, "POST", f"{path}/resume", None, 202))["state"] == "running"
    (event, *_) = await world.events(EventKind.PUSH_WAVE_STOPPED)
    assert event.actor == "admin:first"


async def test_outcomes_are_counted_and_the_latest_wave_comes_first(world: World) -> None:
    devices = await enroll(world.installation, TOPIC, 3)
    first = await call(world, "POST", "/waves", {"devices": ["udid 1", devices[2]]}, 202)
    await world.installation.store.run(lambda tx: _settle(tx, WaveID(first["id"]), "delivered", "Unregistered"))
    world.clock.moment += timedelta(seconds=1)
    second = await call(world, "POST", "/waves", {"all": True, "topic": TOPIC}, 202)

    listed = await call(world, "GET", "/waves")

    assert [each["id"] for each in listed] == [second["id"], first["id"]]
    assert [(each["total"], each["left"], each["outcomes"]) for each in listed] == [
        (3, 3, {}),
        (2, 0, {"delivered": 1, "Unregistered": 1}),
    ]
    assert await call(world, "GET", "/waves?limit=1") == listed[:1]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {}, 400),
        ("", {"all": False}, 400),
        ("", {"all": True, "devices": ["udid 0"]}, 400),
        ("", {"devices": []}, 400),
        ("", {"devices": ["udid 0"], "topic": TOPIC}, 400),
        ("", {"devices": ["udid 0"] * 10_001}, 400),
        ("", {"devices": ["none"]}, 404),
        ("", {"all": True, "topic": "none"}, 409),
        ("", {"all": True, "per_second": -1}, 400),
        ("", {"all": True, "per_second": 1e300}, 400),
        ("", {"all": True, "label": "a\nb"}, 400),
        ("", {"everybody": True}, 400),
        ("/none/stop", None, 404),
        ("/none/resume", None, 404),
    ],
)
async def test_what_makes_no_sense_starts_nothing(world: World, path: str, body: object, status: int) -> None:
    await enroll(world.installation, TOPIC, 1)

    assert (await call(world, "POST", f"/waves{path}", body, status))["error"]

    assert await call(world, "GET", "/waves") == []
    await call(world, "GET", "/waves/none", None, 404)


def _settle(tx: Tx, wave: WaveID, *outcomes: str) -> None:
    """As the wave's job does."""
    targets = tx.waves.untried(wave, len(outcomes))
    tx.waves.settle([replace(target, outcome=outcome) for target, outcome in zip(targets, outcomes, strict=True)])
