"""A device left to itself: it sleeps until a push, and connects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bramley.sandbox.apns.tokens import Payload
from bramley.sandbox.device.channel import Channel
from bramley.sandbox.errors import BadCommand, ServerRefused, ServerUnreachable, Unenrolled

if TYPE_CHECKING:
    from bramley.sandbox.device.device import SimulatedDevice


async def run(device: SimulatedDevice) -> None:
    """Connects a channel when a push with its magic comes, by itself after NotNow or a failure, and every `poll_seconds`.

    Returns when the device is no longer enrolled; else runs until cancelled.
    """
    waits: dict[asyncio.Task[Payload], Channel] = {}
    try:
        while device.channels:
            if device.courier is not None:
                for channel in device.channels.values():
                    if channel not in waits.values():
                        waits[asyncio.create_task(device.courier.wait(channel.token))] = channel
            for channel in await _woken(device, waits):
                try:
                    await device.connect(channel.user)
                except (ServerRefused, ServerUnreachable, BadCommand):
                    # the answer, if one is owed, is kept
                    channel.come_back = True
                except Unenrolled:
                    return
                if not device.channels:
                    return
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _woken(device: SimulatedDevice, waits: dict[asyncio.Task[Payload], Channel]) -> list[Channel]:
    """The channels that have a reason to connect, once there is one."""
    behaviour = device.behaviour
    coming_back = [channel for channel in device.channels.values() if channel.come_back]
    timeout = behaviour.recheck_seconds if coming_back else behaviour.poll_seconds
    if not waits:
        await asyncio.sleep(3600 if timeout is None else timeout)
        return coming_back or list(device.channels.values())
    done, _ = await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    if not done:
        return coming_back or list(device.channels.values())
    # a push with another magic is not for this enrollment (Apple, "Sending MDM push notifications")
    woken = [(waits.pop(wait), wait) for wait in done]
    return [channel for channel, wait in woken if wait.result().get("mdm") == channel.push_magic]
