"""Many simulated devices at once: enrolled, kept answering, and reported on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from bramley.cli.output import Output
from bramley.cli.signals import stop_event, until
from bramley.errors import BramleyError
from bramley.sandbox.device import SimulatedDevice

AT_ONCE = 8
"""Devices that enroll at the same time: each makes an RSA key."""


@dataclass(slots=True)
class Member:
    """One simulated device, where it enrolls, and why it could not."""

    device: SimulatedDevice
    url: str
    error: str = ""


async def run(output: Output, members: Sequence[Member], seconds: float | None) -> None:
    """Enrolls all, then lets them answer for so long; ends early when asked to, or when none is left."""
    stop = stop_event()
    limit = asyncio.Semaphore(AT_ONCE)
    try:
        with output.busy("enrolling…"):
            await until(stop, asyncio.gather(*(_enroll(member, limit) for member in members)))
        enrolled = [member.device for member in members if member.device.enrolled]
        output.remark(f"{len(enrolled)} of {len(members)} enrolled.")
        if enrolled and not stop.is_set():
            with output.busy("answering…"), suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await until(stop, asyncio.gather(*(device.run() for device in enrolled)))
    finally:
        for member in members:
            await member.device.close()


async def _enroll(member: Member, limit: asyncio.Semaphore) -> None:
    async with limit:
        try:
            await member.device.enroll(member.url)
        except BramleyError as error:
            member.error = str(error)


def show(output: Output, members: Sequence[Member]) -> None:
    """What became of each."""
    if output.as_json:
        output.json(
            [
                {
                    "udid": member.device.device.udid,
                    "serial_number": member.device.device.serial_number,
                    "enrolled": member.device.enrolled,
                    "commands": len(member.device.history),
                    "unenrolled_because": member.device.unenrolled_because,
                    "error": member.error or None,
                }
                for member in members
            ]
        )
        return
    output.table(
        ("device", "serial number", "enrolled", "commands", "remark"),
        [
            (
                member.device.device.udid,
                member.device.device.serial_number,
                member.device.enrolled,
                len(member.device.history),
                member.error or member.device.unenrolled_because or "",
            )
            for member in members
        ],
        empty="No devices.",
    )
