"""What it takes to run a SCEP client that we didn't write against a server of ours, and to see what came of it."""

from __future__ import annotations

import asyncio
import base64
import os
import plistlib
import shutil
import signal
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from asn1crypto.algos import DigestAlgorithm, EncryptionAlgorithm
from asn1crypto.cms import ContentInfo
from cryptography import x509

from bramley.lifecycle.plans import PACES
from bramley.model.enrollments import Binding, EnrollmentKey, Purpose
from bramley.model.events import EventKind
from bramley.model.lineages import Version
from bramley.model.plans import PlanKind, PlanStage
from bramley.operations import ca_rollover, enrolling
from bramley.operations.ca_plan import Mode
from bramley.operations.records import GENERATION_NOTE
from bramley.pki import certificates
from bramley.pki.scep import challenge as challenges
from bramley.rehearsal.passing import nothing_due
from bramley.sandbox.clock import ShiftedClock
from bramley.storage.protocols import Tx
from bramley.web.service import Service

SCEP_PAYLOAD = "com.apple.security.scep"
MESSAGE_TYPE = "2.16.840.1.113733.1.9.2"
TYPE_NAMES = {"19": "PKCSReq", "17": "RenewalReq", "20": "CertPoll"}
CIPHER_NAMES = {"des": "DES", "tripledes": "3DES"}


def require(*programs: str) -> None:
    """Skips the test where one of the programs is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has run: its exit status, what it wrote, and what it said about it."""

    status: int
    output: bytes
    said: str

    def succeeded(self) -> Ended:
        assert self.status == 0, self.output.decode(errors="replace") + self.said
        return self


async def run(*command: str | Path, folder: Path, environment: Mapping[str, str] | None = None, seconds: float = 30) -> Ended:
    """Runs a program in a folder, which is its home too, with next to nothing of our environment; ends its whole group."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C", **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            output, said = await process.communicate()
    except TimeoutError:
        pytest.fail(f"{command[0]} did not end within {seconds:.0f} seconds")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, output, said.decode(errors="replace"))


@dataclass(frozen=True, slots=True)
class Challenge:
    """The one-time challenge out of an enrollment profile, and the enrollment that it is for."""

    secret: str = field(repr=False)
    enrollment: EnrollmentKey


@dataclass(frozen=True, slots=True)
class Server:
    """A running service, and the files that a client's administrator would copy from it."""

    service: Service
    clock: ShiftedClock
    root: Path
    ca: Path

    @classmethod
    async def start(cls, service: Service, clock: ShiftedClock, folder: Path) -> Server:
        server = cls(service, clock, folder / "root.pem", folder / "ca.pem")
        server.root.write_bytes(certificates.pem(service.live.current().authorities.root.certificate))
        server.ca.write_bytes(certificates.pem(server.issuing))
        return server

    @property
    def issuing(self) -> x509.Certificate:
        """The identity CA that issues at the moment."""
        return self.service.live.current().authorities.identity.authority.certificate

    async def prepare_rollover(self) -> None:
        """Begins a rollover to a new key, and waits until the next CA can be asked for."""
        await ca_rollover.begin(self.service.live.installation, Mode.NEW_KEY, actor="test")
        await self._reach(PlanStage.TRUSTED)

    async def roll_over(self) -> Server:
        """Has the prepared CA take over; the server as its administrator would copy from it now, without the files of before.

        The clock goes on by the minute that the servers of an installation have to hear of the new CA; to the client this is
        a server whose clock is a little fast.
        """
        former = self.issuing
        self.clock.shift += PACES[PlanKind.CA_ROLLOVER].settle
        await self._reach(PlanStage.USED)
        assert self.issuing.public_key() != former.public_key()
        assert self.issuing.subject != former.subject
        now = replace(self, ca=self.ca.with_name("new-ca.pem"))
        now.ca.write_bytes(certificates.pem(self.issuing))
        return now

    async def withdraw(self) -> None:
        """Has the server do in a moment what it does in the weeks after a rollover, as if its clock had been far ahead."""
        before, hour = self.clock.shift, timedelta(hours=1, seconds=1)
        # in the first round the replaced identities are retired, in the next the CA that they relied on
        for time in (PACES[PlanKind.CA_ROLLOVER].linger + hour, hour):
            await self._until(lambda tx: nothing_due(tx, self.clock.now()))
            self.clock.shift += time
        await self._reach(PlanStage.WITHDRAWN)
        self.clock.shift = before

    async def _reach(self, stage: PlanStage) -> None:
        """The server takes its steps by itself; from here on it uses what came of them."""
        live = self.service.live

        def reached(tx: Tx) -> bool:
            return tx.plans.recent(limit=1)[0].stage is stage and tx.notes.get(GENERATION_NOTE) == live.current().generation

        await self._until(reached)

    async def _until(self, reached: Callable[[Tx], bool]) -> None:
        async with asyncio.timeout(20):
            while not await self.service.live.installation.store.read(reached):
                await asyncio.sleep(0.05)

    @property
    def port(self) -> int:
        assert self.service.main is not None
        return self.service.main.port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/scep"

    async def challenge(self) -> Challenge:
        """That of a fresh enrollment profile, as whoever holds a link gets it."""
        live = self.service.live
        created = await enrolling.create_link(
            live.installation, label="interop", uses=1, expires_in=timedelta(hours=1), actor="test"
        )
        signed = await enrolling.profile_for_link(live, created.url.rsplit("/", 1)[1])
        profile = plistlib.loads(ContentInfo.load(signed)["content"]["encap_content_info"]["content"].native)
        payloads = [each["PayloadContent"] for each in profile["PayloadContent"] if each["PayloadType"] == SCEP_PAYLOAD]
        secret: str = payloads[0]["Challenge"]
        kept = await live.installation.store.read(lambda tx: tx.challenges.by_hash(challenges.digest(secret)))
        assert kept is not None
        return Challenge(secret, kept.enrollment_key)

    async def judge(self, certificate: Path, key: Path, challenge: Challenge) -> Version:
        """What a client came to hold: recorded here, bound to the enrollment, for the client's key, and good for OpenSSL."""
        issued = x509.load_pem_x509_certificate(certificate.read_bytes())
        issued.verify_directly_issued_by(self.issuing)
        sha256 = certificates.sha256(issued)

        def look(tx: Tx) -> tuple[Version | None, Binding | None]:
            return tx.lineages.by_sha256(sha256), tx.enrollments.binding(sha256)

        version, binding = await self.service.live.installation.store.read(look)
        assert version is not None
        assert binding is not None
        assert (binding.enrollment_key, binding.version_id) == (challenge.enrollment, version.id)
        folder = certificate.parent
        chain = ("-CAfile", self.root, "-untrusted", self.ca, "-purpose", "sslclient", "-x509_strict")
        (await run("openssl", "verify", *chain, certificate, folder=folder)).succeeded()
        of_key = (await run("openssl", "pkey", "-in", key, "-pubout", folder=folder)).succeeded()
        in_certificate = (await run("openssl", "x509", "-in", certificate, "-noout", "-pubkey", folder=folder)).succeeded()
        assert in_certificate.output == of_key.output
        return version

    async def purpose(self, version: Version) -> Purpose:
        """Why the version was issued, as its binding has it."""
        sha256 = version.sha256 or ""
        binding = await self.service.live.installation.store.read(lambda tx: tx.enrollments.binding(sha256))
        assert binding is not None
        return binding.purpose

    async def refusals(self) -> list[str]:
        """The reasons that operators see, the latest first."""
        events = await self.service.live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
        return [str(event.detail["reason"]) for event in events]

    async def spent_on(self, challenge: Challenge) -> Version | None:
        """The version that the challenge was spent on, if it was."""

        def look(tx: Tx) -> Version | None:
            kept = tx.challenges.by_hash(challenges.digest(challenge.secret))
            assert kept is not None
            return None if kept.version_id is None else tx.lineages.version(kept.version_id)

        return await self.service.live.installation.store.read(look)


@dataclass(frozen=True, slots=True)
class Sent:
    """One pkiMessage on its way, as asn1crypto reads it, and how long its request line was.

    `recipient` is the serial number of the certificate that it is encrypted to.
    """

    message_type: str
    digest: str
    cipher: str
    method: str
    request_line: int
    recipient: int

    def __str__(self) -> str:
        """As the reference page words it."""
        return f"{self.message_type}, {self.digest}, {self.cipher}, {self.method}"

    @classmethod
    def read(cls, message: bytes, method: str, request_line: int) -> Sent:
        signed = ContentInfo.load(message)["content"]
        (signer,) = signed["signer_infos"]
        (kind,) = (each["values"][0].native for each in signer["signed_attrs"] if each["type"].dotted == MESSAGE_TYPE)
        envelope = ContentInfo.load(signed["encap_content_info"]["content"].native)["content"]
        cipher = envelope["encrypted_content_info"]["content_encryption_algorithm"]
        (recipient,) = envelope["recipient_infos"]
        serial: int = recipient.chosen["rid"].chosen["serial_number"].native
        return cls(TYPE_NAMES[kind], _digest_name(signer["digest_algorithm"]), _cipher_name(cipher), method, request_line, serial)


def _digest_name(algorithm: DigestAlgorithm) -> str:
    name: str = algorithm["algorithm"].native
    return name.upper().replace("SHA", "SHA-")


def _cipher_name(algorithm: EncryptionAlgorithm) -> str:
    name: str = algorithm.encryption_cipher
    return CIPHER_NAMES.get(name) or f"{name.upper()}-{algorithm.key_length * 8}"


@dataclass(frozen=True, slots=True)
class Relay:
    """Plain HTTP on loopback in front of the server's HTTPS: for clients that trust the system's roots alone.

    SCEP messages are signed and encrypted themselves, so nothing is lost by it here. Keeps the pkiMessages that pass.
    """

    url: str
    sent: list[Sent]

    @classmethod
    @asynccontextmanager
    async def open(cls, server: Server) -> AsyncGenerator[Relay]:
        context = ssl.create_default_context(cafile=server.root)
        sent: list[Sent] = []

        connections: list[asyncio.Task[None]] = []

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with _closing(writer):
                behind_reader, behind_writer = await asyncio.open_connection("localhost", server.port, ssl=context)
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pump(behind_reader, writer))
                    async with _closing(behind_writer):
                        while head := await _head(reader):
                            body = await reader.readexactly(_content_length(head))
                            behind_writer.write(head + body)
                            _note(sent, head, body)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(asyncio.create_task(forward(reader, writer)))

        listening = await asyncio.start_server(accept, "127.0.0.1", 0, limit=64 * 1024)
        try:
            async with listening:
                port = listening.sockets[0].getsockname()[1]
                yield cls(f"http://127.0.0.1:{port}/scep", sent)
        finally:
            for connection in connections:
                connection.cancel()
            ended = await asyncio.gather(*connections, return_exceptions=True)
        # what went wrong on a connection is the test's to know, and not only its client's
        assert [each for each in ended if each is not None and not isinstance(each, asyncio.CancelledError)] == []


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The next request's header; nothing where the client has closed."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except (ConnectionError, ssl.SSLError):
        return


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _colon, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


def _note(sent: list[Sent], head: bytes, body: bytes) -> None:
    line = head.partition(b"\r\n")[0]
    method, target, _version = line.split(b" ")
    query = urlsplit(target).query
    if b"operation=PKIOperation" not in query:
        return
    # What the clients here send by GET is wholly escaped, so that no reading of ours is needed to tell what it is.
    encoded = unquote_to_bytes(query.partition(b"message=")[2])
    message = body if method == b"POST" else base64.b64decode(encoded, validate=True)
    sent.append(Sent.read(message, method.decode(), len(line)))
