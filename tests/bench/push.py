"""A fan-out of 10,000 pushes through the client of APNs, beside bare pycurl and httpx in the same run.

    python -m tests.bench.push [--pushes N] [--httpx-pushes N] [--rounds N]

The stand-in for APNs runs in a process of its own. The three take turns; each round is a new client, so that connecting counts.
A client's CPU time is user and system of this process, all threads. The stand-in, on the Python library h2, is the slower half:
where it is busy all the time, pushes a second are its own pace, and only CPU time tells one client from another.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import median

from bramley.apple.push import Push, PushTarget
from bramley.apple.push.client import CurlPushClient
from bramley.clock import SystemClock
from tests.bench.push_peers import Stage, bare_pycurl, context_of, httpx_over_http2, stand_in

AIM = 0.7

Client = Callable[[Sequence[Push]], list[int]]
"""Pushes over one new connection; the HTTP status of each."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one round: pushes a second of the clock and of the client's CPU time; how much of the time the stand-in worked."""

    rate: float
    rate_of_cpu: float
    busy: float


def ours(stage: Stage, pushes: Sequence[Push]) -> list[int]:
    """All of them in one call, as a fan-out does it."""
    return asyncio.run(_ours(stage, pushes))


async def _ours(stage: Stage, pushes: Sequence[Push]) -> list[int]:
    client = CurlPushClient(
        certificate_pem=stage.certificate_pem,
        key=stage.key,
        topic=stage.topic,
        target=PushTarget("127.0.0.1", stage.port, stage.ca_pem),
        expiration=timedelta(days=1),
        clock=SystemClock(),
    )
    results = await client.push(pushes)
    await client.close()
    return [result.status for result in results]


def measure(stage: Stage, client: Client, pushes: Sequence[Push]) -> Figures:
    """One round, in which the stand-in took every push, over one connection."""
    before, began, cpu_before = stage.tally(), time.perf_counter(), time.process_time()
    statuses = client(pushes)
    cpu, wall = time.process_time() - cpu_before, time.perf_counter() - began
    after = stage.tally()
    assert statuses == [200] * len(pushes)
    assert after.accepted - before.accepted == len(pushes)
    assert after.connections - before.connections == 1
    return Figures(len(pushes) / wall, len(pushes) / cpu, (after.cpu - before.cpu) / wall)


def compare(count: int, httpx_count: int, rounds: int) -> int:
    with stand_in(count) as stage:
        clients: dict[str, tuple[Client, list[Push]]] = {
            "Bramley": (partial(ours, stage), stage.pushes),
            "bare pycurl": (partial(bare_pycurl, stage), stage.pushes),
            "httpx": (partial(httpx_over_http2, stage, context_of(stage)), stage.pushes[:httpx_count]),
        }
        for client, pushes in clients.values():
            measure(stage, client, pushes[: len(pushes) // 10])  # to warm up
        turns = [{name: measure(stage, client, pushes) for name, (client, pushes) in clients.items()} for _ in range(rounds)]
    columns = {name: [turn[name] for turn in turns] for name in clients}
    print(f"Pushes to the stand-in, {rounds} rounds of {count} in turns, each over a new connection; medians")
    for name, column in columns.items():
        cpu, busy = count / median(each.rate_of_cpu for each in column), median(each.busy for each in column)
        print(
            f"  {name:<12} {median(each.rate for each in column):6.0f} pushes/s   {cpu:5.2f} s CPU for {count}"
            f"   the stand-in was busy {busy:4.0%} of the time"
        )
    print(f"  (httpx: rounds of {httpx_count}, its CPU time scaled to {count})")
    mine, bare, httpx = columns.values()
    by_clock, by_cpu = beside(mine, bare)
    met = min(by_clock, by_cpu) >= AIM
    print(f"  beside bare pycurl: {by_clock:.2f} × its pushes/s, {by_cpu:.2f} × its pushes a CPU second", end="")
    print(f"  (aim: at least {AIM}: {'met' if met else 'missed'})")
    by_clock, by_cpu = beside(mine, httpx)
    print(f"  beside httpx:       {by_clock:.2f} × its pushes/s, {by_cpu:.2f} × its pushes a CPU second")
    return 0 if met else 1


def beside(mine: list[Figures], theirs: list[Figures]) -> tuple[float, float]:
    """Our rate as a multiple of theirs, by the clock and by CPU time: the medians over rounds that ran side by side."""
    pairs = list(zip(mine, theirs, strict=True))
    return median(a.rate / b.rate for a, b in pairs), median(a.rate_of_cpu / b.rate_of_cpu for a, b in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pushes", type=int, default=10_000, help="pushes a round")
    parser.add_argument("--httpx-pushes", type=int, default=1000, help="pushes a round of httpx, which is far slower")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    given = parser.parse_args()
    return compare(given.pushes, min(given.pushes, given.httpx_pushes), given.rounds)


if __name__ == "__main__":
    sys.exit(main())
