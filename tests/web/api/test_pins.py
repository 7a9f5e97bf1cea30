"""/devices/…/pins: told with a reason alone, written down, kept nowhere on the way."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from bramley.model.events import EventKind
from tests.web.api.test_api import API, a_mac, get, post
from tests.web.world import Device, World

GIVEN = "907351"
REASON = {"reason": "ticket 4711"}


async def locked(world: World, device: Device) -> tuple[dict[str, Any], dict[str, Any]]:
    """Locks a Mac twice: with a PIN of our own, then with one that is made up."""
    await a_mac(world, device)
    path, lock = f"/devices/{device.udid}/commands", {"request_type": "DeviceLock", "serial_number": "C02TEST"}
    first = await post(world, path, {**lock, "keys": {"PIN": GIVEN}})
    return first, await post(world, path, lock)


async def test_they_are_told_newest_first_and_that_is_written_down(world: World, device: Device) -> None:
    first, second = await locked(world, device)
    await device.report("Idle")
    await device.report("Acknowledged", CommandUUID=first["uuid"])

    with capture_logs() as logged:
        answer = await world.http.post(f"{API}/devices/{device.udid}/pins", json=REASON, headers=world.as_admin)

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    told = answer.json()
    assert [(each["pin"], each["command_uuid"], each["state"]) for each in told] == [
        (second["pin"], second["uuid"], "queued"),
        (GIVEN, first["uuid"], "acknowledged"),
    ]
    assert {each["request_type"] for each in told} == {"DeviceLock"}
    assert [each["answered_at"] is None for each in told] == [True, False]
    (event,) = await world.events(EventKind.COMMAND_PIN_READ)
    assert (event.actor, event.detail) == ("admin:first", {**REASON, "commands": [second["uuid"], first["uuid"]]})
    shown = (await get(world, f"/devices/{device.udid}"))["device"]
    assert event.enrollment_key == shown["key"]
    for pin in (second["pin"], GIVEN):
        assert pin not in str([entry.get("detail") for entry in await get(world, "/events?kind=command:pin:read")])
        assert pin not in str(logged)


async def test_each_reading_is_an_event_of_its_own(world: World, device: Device) -> None:
    await locked(world, device)

    for reason in ("ticket 4711", "ticket 4712"):
        await post(world, f"/devices/{device.udid}/pins", {"reason": reason}, 200)

    told = [event.detail["reason"] for event in await world.events(EventKind.COMMAND_PIN_READ)]
    assert len(told) == 2
    assert set(told) == {"ticket 4711", "ticket 4712"}


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        {"reason": ""},
        {"reason": None},
        {"reason": "a\nb"},
        {"reason": "a\x00b"},
        {"reason": "x" * 501},
        {"reason": "ticket", "every": True},
    ],
)
async def test_without_a_reason_none_is_told(world: World, device: Device, body: object) -> None:
    _first, second = await locked(world, device)

    answer = await world.http.post(f"{API}/devices/{device.udid}/pins", json=body, headers=world.as_admin)

    assert answer.status_code == 400
    assert answer.json()["error"]
    assert second["pin"] not in answer.text
    assert GIVEN not in answer.text
    assert await world.events(EventKind.COMMAND_PIN_READ) == []


@pytest.mark.parametrize("token", [None, "Bearer bramley_wrong"])
async def test_without_a_token_none_is_told(world: World, device: Device, token: str | None) -> None:
    _first, second = await locked(world, device)
    headers = {} if token is None else {"Authorization": token}

    answer = await world.http.post(f"{API}/devices/{device.udid}/pins", json=REASON, headers=headers)

    assert answer.status_code == 401
    assert second["pin"] not in answer.text
    assert await world.events(EventKind.COMMAND_PIN_READ) == []


async def test_where_there_is_none_nothing_is_written_down(world: World, device: Device) -> None:
    await a_mac(world, device)

    for name in (device.udid, "nobody"):
        told = await post(world, f"/devices/{name}/pins", REASON, 404)
        assert name in told["error"]
    assert await world.events(EventKind.COMMAND_PIN_READ) == []


async def test_one_device_does_not_tell_the_pin_of_another(world: World, device: Device) -> None:
    await locked(world, device)
    other = Device(world, device.key, "00008030-000000000000002E")
    await other.enroll()

    await post(world, f"/devices/{other.udid}/pins", REASON, 404)

    assert await world.events(EventKind.COMMAND_PIN_READ) == []


async def test_it_is_read_by_post_alone(world: World, device: Device) -> None:
    await locked(world, device)

    await get(world, f"/devices/{device.udid}/pins", 405)


async def test_a_pin_that_was_just_made_is_not_kept_on_the_way_either(world: World, device: Device) -> None:
    await a_mac(world, device)
    lock = {"request_type": "DeviceLock", "serial_number": "C02TEST"}

    answer = await world.http.post(f"{API}/devices/{device.udid}/commands", json=lock, headers=world.as_admin)

    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert answer.json()["pin"]
