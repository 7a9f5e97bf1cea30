"""How devices hear of pushes, in the stand-in's process and from another."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from bramley.sandbox.apns import APNs, NetworkCourier, Refusal
from bramley.sandbox.apns.requests import Notification
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.errors import UnknownToken

TOPIC = "com.apple.mgmt.External.5d2a"


def send(apns: APNs, token: bytes, magic: str, now: ShiftedClock, *, keep: bool = True) -> Refusal | None:
    expires = now.now() + timedelta(days=1) if keep else None
    return apns.tokens.accept(Notification(token, TOPIC, "id", expires), {"mdm": magic})


async def test_a_push_reaches_a_device_in_another_process(apns: APNs, clock: ShiftedClock) -> None:
    courier = NetworkCourier("127.0.0.1", apns.courier_port)
    token = await courier.register(TOPIC)
    send(apns, token, "one", clock)
    send(apns, token, "two", clock)
    assert [await asyncio.wait_for(courier.wait(token), 5) for _ in range(2)] == [{"mdm": "one"}, {"mdm": "two"}]
    await courier.close()


async def test_a_device_that_was_away_gets_the_last_push(apns: APNs, clock: ShiftedClock) -> None:
    courier = NetworkCourier("127.0.0.1", apns.courier_port)
    token = await courier.register(TOPIC)
    await courier.close()
    await asyncio.sleep(0.05)
    send(apns, token, "one", clock)
    send(apns, token, "two", clock)
    assert await asyncio.wait_for(courier.wait(token), 5) == {"mdm": "two"}
    await courier.close()


async def test_without_an_expiration_nothing_is_kept(apns: APNs, clock: ShiftedClock) -> None:
    token = await apns.courier.register(TOPIC)
    assert send(apns, token, "one", clock, keep=False) is None
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(apns.courier.wait(token), 0.05)


async def test_a_courier_outlives_the_stand_in(apns: APNs, clock: ShiftedClock) -> None:
    courier = NetworkCourier("127.0.0.1", apns.courier_port)
    token = await courier.register(TOPIC)
    waiting = asyncio.create_task(courier.wait(token))
    port, courier_port = apns.port, apns.courier_port
    await apns.stop()
    await asyncio.sleep(0.1)
    await apns.start(port=port, courier_port=courier_port)
    await asyncio.sleep(0.3)
    send(apns, token, "back", clock)
    assert await asyncio.wait_for(waiting, 10) == {"mdm": "back"}
    await courier.close()


async def test_an_unregistered_token_is_dead_for_both_sides(apns: APNs, clock: ShiftedClock) -> None:
    courier = NetworkCourier("127.0.0.1", apns.courier_port)
    token = await courier.register(TOPIC)
    await courier.unregister(token)
    with pytest.raises(UnknownToken, match="dead"):
        await courier.wait(token)
    refusal = send(apns, token, "m", clock)
    assert refusal is not None
    assert refusal.reason == "Unregistered"
    await courier.close()


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b'{"resume":"zz"}\n', b'{"register":{}}\n', b'{"dance":1}\n', b'{"a":1,"b":2}\n']
)
async def test_nonsense_is_answered_and_harmless(line: bytes, apns: APNs) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", apns.courier_port)
    writer.write(line + b'{"register":{"topic":"t"}}\n')
    assert "error" in json.loads(await reader.readline())
    assert "token" in json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
