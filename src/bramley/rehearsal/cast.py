"""Who plays in a rehearsal: a fleet of devices that sleep until a push, and an attacker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bramley.pki.keys import KeyAlgorithm
from bramley.rehearsal.stage import Stage
from bramley.sandbox.device import SignatureStyle, SimulatedDevice

STYLES: Final = (SignatureStyle.APPLE, SignatureStyle.DER, SignatureStyle.TLS)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: a fleet of all styles, the first with a user channel, the second of more than two with an elliptic
    identity, as hardware makes them, and an attacker who is enrolled like everybody.
    """

    fleet: Sequence[SimulatedDevice]
    mallory: SimulatedDevice


@asynccontextmanager
async def cast(stage: Stage, count: int) -> AsyncGenerator[Cast]:
    """Players for a stage, of whom none is enrolled yet; their connections are closed at the end."""
    fleet = [
        stage.device(
            n,
            STYLES[n % len(STYLES)],
            not_now_rate=0.1,
            users=int(n == 0),
            hardware_key=KeyAlgorithm.P_256 if 1 == n < count - 1 else None,
        )
        for n in range(count)
    ]
    mallory = stage.device(count)
    try:
        yield Cast(fleet, mallory)
    finally:
        for device in (*fleet, mallory):
            await device.close()


@asynccontextmanager
async def awake(*fleet: SimulatedDevice) -> AsyncGenerator[None]:
    """The devices wait for pushes, connect and answer."""
    tasks = [asyncio.create_task(device.run()) for device in fleet]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
