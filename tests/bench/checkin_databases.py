"""Idle check-ins on SQLite and on PostgreSQL: the CPU of ours and of the database's processes, and one statement beside three.

Run by `python -m tests.bench.checkin --database both`. The database syncs to disk as it does in production.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from tests.bench.checkin import ROUNDS, Figures, cpu_seconds, free_port, kept_alive, prepare, process
from tests.postgres import Cluster, cluster, database


@dataclass(slots=True)
class Case:
    """One server, what it was sent, and what was seen of it."""

    name: str
    command: Sequence[str]
    port: int
    environment: dict[str, str]
    requests: list[bytes]
    pid: int = 0
    rounds: list[Figures] = field(default_factory=list)
    database_cpu: list[float] = field(default_factory=list)


def database_seconds(running: Cluster) -> dict[int, float]:
    """CPU time of each of the database's processes."""
    return {pid: cpu_seconds(pid) for pid in running.processes() if Path(f"/proc/{pid}").exists()}


def compare(requests_each: int, at_once: int) -> int:
    """Measures the three cases in turns and prints them with their ratios."""
    with cluster(options="") as running:
        asyncio.run(_measure(running, requests_each, at_once))
    return 0


async def _measure(running: Cluster, requests_each: int, at_once: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bramley-bench-") as folder, ExitStack() as stack:
        cases = []
        for name, module in (("SQLite", "bramley"), ("PostgreSQL, one statement", "bramley"), ("PostgreSQL, three", "")):
            url = "" if name == "SQLite" else running.url(stack.enter_context(database(running)))
            data, port = Path(folder, name), free_port()
            requests = await prepare(data, port, url)
            command = [sys.executable, "-m", *([module, "serve"] if module else ["tests.bench.three_statements"])]
            environment = {
                "BRAMLEY_DATA": str(data),
                "BRAMLEY_DATABASE": url,
                "BRAMLEY_LISTEN_HOST": "127.0.0.1",
                "BRAMLEY_LISTEN_PORT": str(port),
                "BRAMLEY_LOG_LEVEL": "warning",
            }
            cases.append(Case(name, command, port, environment, requests))
        for case in cases:
            case.pid = stack.enter_context(process(*case.command, environment=case.environment, port=case.port))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        for _ in range(ROUNDS):
            for case in cases:
                before = database_seconds(running)
                figures = await kept_alive(case.pid, case.port, context, case.requests, requests_each, at_once)
                used = sum(seconds - before.get(pid, 0.0) for pid, seconds in database_seconds(running).items())
                case.rounds.append(figures)
                case.database_cpu.append(used * 1e6 / len(figures.latencies))
    _print(cases, at_once)


def _print(cases: list[Case], at_once: int) -> None:
    print(f"Idle check-in by database, {ROUNDS} rounds in turns, {at_once} kept-alive connections, load {os.getloadavg()[0]:.1f}")
    for case in cases:
        cuts = quantiles([latency * 1e3 for figures in case.rounds for latency in figures.latencies], n=100)
        ours, theirs = _ours(case), median(case.database_cpu)
        print(
            f"  {case.name:<28} {ours:7.0f} µs ours {theirs:7.0f} µs database   p50 {cuts[49]:6.2f} ms   p99 {cuts[98]:6.2f} ms"
        )
    sqlite, one, three = cases
    print(f"  our CPU on PostgreSQL beside SQLite: {_ours(one) / _ours(sqlite):.2f} ×")
    ours, theirs = _ours(three) / _ours(one), _theirs(three) / _theirs(one)
    print(f"  three statements beside one: ours {ours:.2f} ×, the database's {theirs:.2f} ×")


def _ours(case: Case) -> float:
    return median(figures.cpu_microseconds for figures in case.rounds)


def _theirs(case: Case) -> float:
    return median(case.database_cpu)
