"""A web server of a few lines, over TLS, that says octet by octet what a test wants to hear."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates
from bramley.sandbox.apple_ca import SandboxAppleCA

HANG = b""
"""An answer that never comes."""


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def redirect(to: str) -> bytes:
    return answer(302, b"", f"Location: {to}")


@dataclass
class Site:
    """`answers` by path; `heard` is every request as it came."""

    port: int
    ca_pem: bytes
    answers: dict[str, bytes] = field(default_factory=dict)
    heard: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            self.heard.append(head + await reader.readexactly(length))
            path = head.split(b" ")[1].decode()
            said = self.answers.get(path, answer(404, b"<html>Not here</html>"))
            if said == HANG:
                await reader.read()
            writer.write(said)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """A site on a free port. TLS reads the real clock, so its certificate is of today."""
    now = datetime.now(UTC)
    ca, key = SandboxAppleCA.make(now), ec.generate_private_key(ec.SECP256R1())
    certificate = ca.issue_server_certificate(key.public_key(), ("localhost",), now=now)
    pem = folder / "site.pem"
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(certificates.pem(certificate) + key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    made = Site(0, ca.root_pem)
    server = await asyncio.start_server(made.serve, "localhost", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
