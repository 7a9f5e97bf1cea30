"""First enrolments over HTTP, beside Debian's `scepserver` (micromdm, in Go) under the same load in the same run.

    python -m tests.bench.scep_http [--requests N] [--connections N] [--rounds N]

Each request is a PKCSReq made beforehand, with SHA-256 and AES-256, by POST over a kept-alive connection, to a CA key of
RSA-2048. One connection, since scepserver loses requests that come at once: two of them write its serial number over one
another. Ours is measured over several besides, where commits come in groups. The two servers are measured in turns; what
counts is a server's own CPU time (user and system, of its whole process, from the operating system). Both check a challenge,
issue, and write down what they issued. Ours gives each device a challenge of its own, and has the certificate, its binding and
its event on disk before it answers, over TLS; scepserver has one challenge for all, appends to text files, and speaks plain
HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import ssl
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import process_time

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import SystemClock
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState, Purpose
from bramley.operations.enrollment_profiles import NewChallenge, new_challenge
from bramley.operations.installation import initialize
from bramley.operations.live import Live
from bramley.pki import csr, names
from bramley.pki.scep import enrollment
from bramley.rehearsal.stage import free_port
from bramley.settings import load
from bramley.storage.protocols import Tx
from tests.bench.checkin import cpu_seconds, process
from tests.bench.scep_inside import floor

AIM = 3.0
SHARED_CHALLENGE = "open sesame"


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server, and the requests that it has not had yet, each with what its answer is held against."""

    pid: int
    port: int
    tls: ssl.SSLContext | None
    requests: list[enrollment.Enrollment]

    async def serve(self, count: int, connections: int) -> float:
        """CPU milliseconds of the server for each of the next `count` requests; every answer is a certificate."""
        batch = [self.requests.pop() for _ in range(count)]
        waiting, answers = iter(batch), []
        opened = [
            await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost" if self.tls else None)
            for _ in range(connections)
        ]

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for sent in waiting:
                answers.append((sent, await _post(reader, writer, sent.message)))

        began = cpu_seconds(self.pid)
        await asyncio.gather(*(one(*connection) for connection in opened))
        spent = cpu_seconds(self.pid) - began
        for _reader, writer in opened:
            writer.close()
        for sent, answer in answers:
            # single DES and SHA-1 is what scepserver answers with, whatever it was asked in
            enrollment.accept(answer, sent, now=SystemClock().now(), allow_legacy=self.tls is None)
        return spent * 1000 / count


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bytes:
    head = f"POST /scep?operation=PKIOperation HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(message)}\r\n\r\n"
    writer.write(head.encode() + message)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not answer.startswith(b"http/1.1 200"):
        raise SystemExit(f"Expected 200; {answer[:200]!r} came.")
    if b"transfer-encoding: chunked" in answer:
        return await _chunks(reader)
    return await reader.readexactly(int(answer.partition(b"content-length:")[2].split(b"\r\n")[0]))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    await reader.readline()
    return b"".join(parts)


def requests(ca: x509.Certificate, secrets: list[str], devices: list[rsa.RSAPrivateKey]) -> list[enrollment.Enrollment]:
    """A PKCSReq for each challenge, each of a device with a name of its own."""
    now = SystemClock().now()
    made = []
    for number, secret in enumerate(secrets):
        key, name = devices[number % len(devices)], names.make(f"device {number}", organization="Bench")
        signer = enrollment.temporary_signer(key, name, now=now)
        made.append(enrollment.request(csr.build(key, name, challenge_password=secret), signer=signer, ca=ca, now=now))
    return made


async def prepare_ours(folder: Path, port: int, count: int) -> tuple[x509.Certificate, list[str]]:
    """An installation with as many pending enrollments, and the challenge of each."""
    installation, _first = await initialize(load(environment={}, data=folder, url=f"https://localhost:{port}"), SystemClock(), {})
    ca = (await Live.start(installation)).current().authorities.identity.authority.certificate
    now = installation.clock.now()

    def begin(tx: Tx) -> list[NewChallenge]:
        begun = []
        for number in range(count):
            key = EnrollmentKey(f"bench-{number}")
            tx.enrollments.add(Enrollment(key, EnrollmentState.PENDING, now, now, topic="t"))
            begun.append(new_challenge(key, Purpose.ENROLL, now, timedelta(days=1)))
            tx.challenges.add(begun[-1].challenge)
        return begun

    begun = await installation.store.run(begin)
    await installation.store.close()
    return ca, [each.secret for each in begun]


def prepare_theirs(depot: Path) -> x509.Certificate:
    """A CA for scepserver, with a key like ours."""
    making = ("scepserver", "ca", "-init", "-keySize", "2048", "-depot", str(depot))
    subprocess.run(making, check=True, capture_output=True, timeout=60)
    return x509.load_pem_x509_certificate((depot / "ca.pem").read_bytes())


async def measure(each: int, connections: int, rounds: int) -> int:
    if shutil.which("scepserver") is None:
        print("scepserver is not installed (Debian's package scep): nothing to compare with.", file=sys.stderr)
        return 2
    count = each * (rounds + 1)  # one round more than count, to warm up
    devices = [rsa.generate_private_key(65537, 2048) for _ in range(4)]
    with tempfile.TemporaryDirectory(prefix="bramley-bench-") as folder:
        data, depot, port, their_port = Path(folder, "data"), Path(folder, "depot"), free_port(), free_port()
        our_ca, secrets = await prepare_ours(data, port, count + each * rounds)
        our_requests = requests(our_ca, secrets, devices)
        their_requests = requests(prepare_theirs(depot), [SHARED_CHALLENGE] * count, devices)
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        environment = {
            "BRAMLEY_DATA": str(data),
            "BRAMLEY_LISTEN_HOST": "127.0.0.1",
            "BRAMLEY_LISTEN_PORT": str(port),
            "BRAMLEY_LOG_LEVEL": "warning",
        }
        command = ("scepserver", "-depot", str(depot), "-port", str(their_port), "-challenge", SHARED_CHALLENGE)
        with (
            process(sys.executable, "-m", "bramley", "serve", environment=environment, port=port) as pid,
            process(*command, environment={}, port=their_port) as their_pid,
        ):
            peers = (Peer(pid, port, tls, our_requests), Peer(their_pid, their_port, None, their_requests))
            pairs = [[await peer.serve(each, 1) for peer in peers] for _ in range(rounds + 1)][1:]
            crowded = [await peers[0].serve(each, connections) for _ in range(rounds)]
    ours, theirs_ms = (list(column) for column in zip(*pairs, strict=True))
    print(f"PKCSReq by POST, {rounds} rounds of {each} in turns, RSA-2048")
    _row("bramley serve, TLS, durable", ours)
    _row("scepserver, plain HTTP", theirs_ms)
    _row(f"bramley serve, {connections} connections", crowded)
    _row("bare RSA in it (floor of either)", [bare_rsa(devices[0]) for _ in range(rounds)])
    ratio = median(theirs / mine for mine, theirs in pairs)
    print(f"  scepserver needs {ratio:.2f} × our CPU  (aim: at least {AIM:.0f} ×: {'met' if ratio >= AIM else 'missed'})")
    return 0 if ratio >= AIM else 1


def bare_rsa(key: rsa.RSAPrivateKey, times: int = 50) -> float:
    """CPU milliseconds of what SCEP obliges to: one decryption, two signatures; verifying and encrypting cost next to nothing."""
    run, began = floor(key, key), process_time()
    for _ in range(times):
        run()
    return (process_time() - began) * 1000 / times


def _row(name: str, column: list[float]) -> None:
    cpu = median(column)
    print(f"  {name:<34} {cpu:6.2f} ms CPU each   {1000 / cpu:5.0f} a CPU second")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=200, help="requests a round")
    parser.add_argument("--connections", type=int, default=4, help="connections to ours, besides one")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    given = parser.parse_args()
    return asyncio.run(measure(given.requests, given.connections, given.rounds))


if __name__ == "__main__":
    sys.exit(main())
