"""SIGTERM and Ctrl-C as an orderly end."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Any


def stop_event() -> asyncio.Event:
    """Set when the process is asked to end. For the running event loop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def until(stop: asyncio.Event, work: asyncio.Future[Any]) -> None:
    """Waits for the work, or for `stop`, which cancels it. Raises what the work raised."""
    stopping = asyncio.ensure_future(stop.wait())
    waits: set[asyncio.Future[Any]] = {stopping, work}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
    finally:
        for each in waits:
            each.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*waits, return_exceptions=True)
