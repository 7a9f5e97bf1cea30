"""Idle check-ins with an `Mdm-Signature`, against `bramley serve` in a process of its own.

    python -m tests.bench.checkin [--requests N] [--connections N] [--database both]

Two cases: over kept-alive TLS connections, and over a new connection each time, the latter beside a bare TLS loop that
shakes hands with the same certificate, reads one request and writes one answer. Prints the server's CPU time per request
(user and system, of the whole process, from the operating system) and what the client saw: p50 and p99.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

from bramley.clock import SystemClock
from bramley.model.enrollments import Binding, Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.operations import records
from bramley.operations.authorities import Held
from bramley.operations.installation import Installation, initialize
from bramley.operations.live import Live
from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.settings import load
from bramley.storage.protocols import Tx

AIM_MICROSECONDS = 250
DEVICES = 40
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one round."""

    cpu_microseconds: float
    latencies: list[float]


async def prepare(folder: Path, port: int, database: str = "") -> list[bytes]:
    """Makes an installation with active devices; returns a signed Idle of each, as it goes over the wire."""
    settings = load(environment={}, data=folder, database=database, url=f"https://localhost:{port}")
    installation, _first = await initialize(settings, SystemClock(), {})
    live = await Live.start(installation)
    device_keys = [keys.generate(keys.KeyAlgorithm.RSA_2048) for _ in range(4)]
    requests = []
    for number in range(DEVICES):
        requests.append(await _device(installation, live.current().authorities.identity, number, device_keys[number % 4], port))
    await installation.store.close()
    return requests


async def _device(installation: Installation, held: Held, number: int, key: keys.PrivateKey, port: int) -> bytes:
    now, udid = installation.clock.now(), f"00008030-{number:016X}"
    enrollment_key = EnrollmentKey(f"bench-{number}")
    certificate = issue(
        held.authority,
        profiles.DEVICE_IDENTITY,
        key.public_key(),
        subject=names.make(enrollment_key),
        now=now,
        lifetime=timedelta(days=365),
    )

    def enroll(tx: Tx) -> None:
        tx.enrollments.add(
            Enrollment(enrollment_key, EnrollmentState.ACTIVE, now, now, id=EnrollmentID(udid), udid=udid, topic="t")
        )
        lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, enrollment_key, Policy(), now=now)
        version = records.record(tx, lineage, certificate, state=VersionState.ACTIVE, now=now, actor="bench")
        tx.enrollments.bind(Binding(certificates.sha256(certificate), enrollment_key, Purpose.ENROLL, version.id, now))

    await installation.store.run(enroll)
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" '
        '"http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n<plist version="1.0">\n<dict>\n\t<key>Status</key>\n'
        f"\t<string>Idle</string>\n\t<key>UDID</key>\n\t<string>{udid}</string>\n</dict>\n</plist>\n"
    ).encode()
    signature = cms.sign(
        body, key=key, certificate=certificate, detached=True, signed_attributes=False, digest="sha1", allow_sha1=True
    )
    head = (
        f"PUT /mdm/connect HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/x-apple-aspen-mdm; charset=UTF-8\r\n"
        f"Mdm-Signature: {base64.b64encode(signature).decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def process(*command: str, environment: dict[str, str], port: int) -> Iterator[int]:
    """A server process that listens on the port; its process id."""
    running = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise SystemExit(f"{' '.join(command)} did not start")
        yield running.pid
    finally:
        running.terminate()
        running.wait(20)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    began = time.perf_counter()
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return time.perf_counter() - began


async def kept_alive(pid: int, port: int, context: ssl.SSLContext, requests: list[bytes], count: int, at_once: int) -> Figures:
    """Many requests over a few connections."""

    async def one(number: int) -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        await _ask(reader, writer, requests[number % DEVICES])
        await ready.wait()
        latencies = [await _ask(reader, writer, requests[(number + n) % DEVICES]) for n in range(count // at_once)]
        writer.close()
        return latencies

    ready = asyncio.Event()
    tasks = [asyncio.create_task(one(number)) for number in range(at_once)]
    await asyncio.sleep(0.5)
    began = cpu_seconds(pid)
    ready.set()
    latencies = [latency for task in tasks for latency in await task]
    return Figures((cpu_seconds(pid) - began) * 1e6 / len(latencies), latencies)


async def new_connections(
    pid: int, port: int, context: ssl.SSLContext, requests: list[bytes], count: int, at_once: int
) -> Figures:
    """A TLS connection for each request, as devices do that a push has woken."""

    async def one(number: int) -> list[float]:
        latencies = []
        for n in range(count // at_once):
            opened = time.perf_counter()
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            await _ask(reader, writer, requests[(number + n) % DEVICES])
            latencies.append(time.perf_counter() - opened)
            writer.transport.abort()
        return latencies

    began = cpu_seconds(pid)
    tasks = [asyncio.create_task(one(number)) for number in range(at_once)]
    latencies = [latency for task in tasks for latency in await task]
    return Figures((cpu_seconds(pid) - began) * 1e6 / len(latencies), latencies)


def _row(name: str, rounds: list[Figures]) -> float:
    cpu = median(figures.cpu_microseconds for figures in rounds)
    latencies = [latency * 1e3 for figures in rounds for latency in figures.latencies]
    cuts = quantiles(latencies, n=100)
    print(f"  {name:<42} {cpu:7.0f} µs CPU   p50 {cuts[49]:6.2f} ms   p99 {cuts[98]:6.2f} ms")
    return cpu


def free_port() -> int:
    """A port on loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def measure(requests_each: int, at_once: int) -> int:
    with tempfile.TemporaryDirectory(prefix="bramley-bench-") as folder:
        data, port, floor_port = Path(folder, "data"), free_port(), free_port()
        requests = await prepare(data, port)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        environment = {
            "BRAMLEY_DATA": str(data),
            "BRAMLEY_LISTEN_HOST": "127.0.0.1",
            "BRAMLEY_LISTEN_PORT": str(port),
            "BRAMLEY_LOG_LEVEL": "warning",
        }
        floor = (sys.executable, "-m", "tests.bench.tls_floor", str(floor_port))
        with (
            process(sys.executable, "-m", "bramley", "serve", environment=environment, port=port) as pid,
            process(*floor, environment={}, port=floor_port) as floor_pid,
        ):
            kept, fresh, bare, edge = [], [], [], []
            empty = [f"HEAD /healthz HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode()] * DEVICES
            for _ in range(ROUNDS):
                edge.append(await kept_alive(pid, port, context, empty, requests_each, at_once))
                kept.append(await kept_alive(pid, port, context, requests, requests_each, at_once))
                fresh.append(await new_connections(pid, port, context, requests, requests_each // 10, 8))
                bare.append(await new_connections(floor_pid, floor_port, context, requests, requests_each // 10, 8))
    print(f"Idle check-in, Mdm-Signature, {ROUNDS} rounds in turns, {at_once} kept-alive connections")
    edge_cpu, cpu = _row("edge alone: /healthz, kept-alive", edge), _row("kept-alive TLS connection", kept)
    new, floor_cpu = _row("new TLS connection each time", fresh), _row("bare TLS handshake loop (floor)", bare)
    met = "met" if cpu <= AIM_MICROSECONDS else "missed"
    print(f"  kept-alive: {cpu:.0f} µs, aim ≤ {AIM_MICROSECONDS}: {met}; beside the edge alone: {cpu / edge_cpu:.2f} ×")
    print(f"  new connection beside the bare loop: {new / floor_cpu:.2f} ×")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=4000, help="requests a round")
    parser.add_argument("--connections", type=int, default=8, help="kept-alive connections")
    parser.add_argument("--database", choices=["sqlite", "both"], default="sqlite", help="both: PostgreSQL beside SQLite")
    given = parser.parse_args()
    if given.database == "both":
        from tests.bench.checkin_databases import compare  # which imports this module

        return compare(given.requests, given.connections)
    return asyncio.run(measure(given.requests, given.connections))


if __name__ == "__main__":
    sys.exit(main())
