"""A small MDM server to try devices on: real SCEP and signatures, answers as a test wants them."""

from __future__ import annotations

import asyncio
import base64
import plistlib
import ssl
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates, cms, names
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, HTTPS_SERVER, IDENTITY_CA, PROFILE_SIGNER, ROOT_CA
from bramley.pki.keys import PrivateKey
from bramley.pki.scep import messages as scep
from bramley.pki.scep.replies import failure, success
from bramley.pki.scep.requests import Responder, open_request
from bramley.pki.scep.server import ca_certificates, capabilities
from bramley.sandbox.tls import load_identity


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    tls_certificate: bytes | None

    @property
    def plist(self) -> dict[str, Any]:
        found: dict[str, Any] = plistlib.loads(self.body)
        return found

    @property
    def name(self) -> str:
        """The MessageType of a check-in, the Status of a report."""
        return str(self.plist.get("MessageType") or self.plist["Status"])

    @property
    def signer(self) -> bytes:
        """The certificate that signed the body, checked."""
        signed = cms.parse_signed_data(base64.b64decode(self.headers["mdm-signature"]))
        return cms.verify(signed, content=self.body, policy=cms.DEVICE).certificate


Reply = tuple[int, str, bytes]


@dataclass
class TinyServer:
    """`commands` are handed out one by one; `answers` (status and body) come first, and are for check-in and connect only.

    `further` payloads are in each enrollment profile, `mdm` in its MDM payload.
    """

    root: Authority
    identity_ca: Authority
    signer: tuple[x509.Certificate, PrivateKey]
    now: Callable[[], datetime]
    commands: deque[dict[str, Any]] = field(default_factory=deque)
    answers: deque[tuple[int, bytes]] = field(default_factory=deque)
    seen: list[Request] = field(default_factory=list)
    challenges: set[str] = field(default_factory=set)
    bootstrap_token: bytes | None = None
    refuse: Callable[[Request], int | None] = lambda _request: None
    signed: bool = True
    further: list[dict[str, Any]] = field(default_factory=list)
    mdm: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    scheme: str = "http"
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self, port: int = 0, context: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        self.scheme = "http" if context is None else "https"

    async def start_tls(self, key: PrivateKey) -> None:
        """Listens with TLS, and asks for a client certificate of its own CA without insisting."""
        names_, sans = names.make("127.0.0.1"), [x509.IPAddress(ip_address("127.0.0.1"))]
        certificate = issue(self.root, HTTPS_SERVER, key.public_key(), subject=names_, sans=sans, now=self.now())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_identity(context, certificates.pem(certificate), key)
        context.verify_mode = ssl.CERT_OPTIONAL
        trusted = certificates.pem(self.root.certificate) + certificates.pem(self.identity_ca.certificate)
        context.load_verify_locations(cadata=trusted.decode())
        await self.start(context=context)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            for writer in self._open:
                writer.close()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def messages(self) -> list[str]:
        return [request.name for request in self.seen if request.method == "PUT"]

    def send(self, request_type: str, **values: Any) -> None:
        self.commands.append({"RequestType": request_type, **values})

    def enrollment_profile(self, challenge: str, **changes: Any) -> bytes:
        """An enrollment profile; a later one is a renewal. `changes` go into its MDM payload."""
        self.challenges.add(challenge)
        identity = str(uuid.uuid4()).upper()
        common = {"PayloadVersion": 1, "PayloadDisplayName": "x"}
        scep_payload = {
            "URL": f"{self.url}/scep", "Challenge": challenge, "Keysize": 2048, "Key Type": "RSA", "Key Usage": 5,
            "Subject": [[["O", "Orchard"]], [["CN", "device"]]],
        }  # fmt: skip
        payloads: list[dict[str, Any]] = [
            {
                "PayloadType": "com.apple.security.root", "PayloadIdentifier": "o.root", "PayloadUUID": "R",
                "PayloadContent": certificates.der(self.root.certificate), **common,
            },
            {
                "PayloadType": "com.apple.security.scep", "PayloadIdentifier": "o.scep", "PayloadUUID": identity,
                "PayloadContent": scep_payload, **common,
            },
            {
                "PayloadType": "com.apple.mdm", "PayloadIdentifier": "o.mdm", "PayloadUUID": "M", **common,
                "IdentityCertificateUUID": identity, "Topic": "com.apple.mgmt.External.orchard",
                "ServerURL": f"{self.url}/connect", "CheckInURL": f"{self.url}/checkin", "SignMessage": True,
                "CheckOutWhenRemoved": True, "AccessRights": 8191,
                "ServerCapabilities": ["com.apple.mdm.per-user-connections"], **self.mdm, **changes,
            },
            *self.further,
        ]  # fmt: skip
        return self.profile("o.enrollment", payloads)

    def profile(self, identifier: str, payloads: list[dict[str, Any]], *, signed: bool | None = None) -> bytes:
        content = plistlib.dumps(
            {
                "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": identifier,
                "PayloadUUID": str(uuid.uuid4()), "PayloadDisplayName": "Orchard", "PayloadContent": payloads,
            }
        )  # fmt: skip
        if not (self.signed if signed is None else signed):
            return content
        certificate, key = self.signer
        others = [self.root.certificate]
        return cms.sign(content, key=key, certificate=certificate, others=others, signing_time=self.now())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *fields = head.decode().split("\r\n")
                method, target, _ = line.split(" ")
                pairs = (text.partition(":") for text in fields if text)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                path, _, query = target.partition("?")
                tls = writer.get_extra_info("ssl_object")
                certificate = tls.getpeercert(binary_form=True) if tls else None
                request = Request(method, path, query, headers, body, certificate)
                self.seen.append(request)
                status, content_type, answer = self._respond(request)
                if status == 0:
                    break  # hangs up in place of an answer
                said = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(answer)}\r\n\r\n"
                writer.write(said.encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _respond(self, request: Request) -> Reply:
        if request.path == "/enroll":
            return 200, "application/x-apple-aspen-config", self.enrollment_profile(f"challenge-{len(self.challenges)}")
        if request.path == "/scep":
            return self._scep(request)
        if (status := self.refuse(request)) is not None:
            return status, "text/plain", b""
        if self.answers:
            status, body = self.answers.popleft()
            return status, "application/xml", body
        if request.path == "/checkin":
            return 200, "application/xml", self._check_in(request)
        return 200, "application/xml", self._connect(request)

    def _scep(self, request: Request) -> Reply:
        if "GetCACaps" in request.query:
            return 200, "text/plain", capabilities()
        if "GetCACert" in request.query:
            return (200, *ca_certificates([self.identity_ca.certificate]))
        assert isinstance(self.identity_ca.key, rsa.RSAPrivateKey)
        responder, now = Responder(self.identity_ca.certificate, self.identity_ca.key), self.now()
        asked = open_request(request.body, responder, now=now)
        if asked.challenge not in self.challenges:
            return 200, scep.PKI_MESSAGE_TYPE, failure(asked, responder, scep.FailInfo.badRequest, now=now)
        self.challenges.discard(asked.challenge)
        issued = issue(self.identity_ca, DEVICE_IDENTITY, asked.csr.public_key, subject=names.make("device"), now=now)
        return 200, scep.PKI_MESSAGE_TYPE, success(asked, responder, issued, now=now)

    def _check_in(self, request: Request) -> bytes:
        said = request.plist
        if said["MessageType"] == "SetBootstrapToken":
            self.bootstrap_token = said.get("BootstrapToken")
        if said["MessageType"] == "GetBootstrapToken" and self.bootstrap_token:
            return plistlib.dumps({"BootstrapToken": self.bootstrap_token})
        return b""

    def _connect(self, request: Request) -> bytes:
        if not self.commands:
            return b""
        return plistlib.dumps({"CommandUUID": str(uuid.uuid4()), "Command": self.commands.popleft()})


def make(keyring: list[PrivateKey], now: Callable[[], datetime]) -> TinyServer:
    """A server with CAs of its own; the keys are those of root, identity CA and profile signer."""
    root_key, ca_key, signer_key, *_ = keyring
    moment = now()
    root = Authority(self_signed(ROOT_CA, root_key, names.make("Orchard Root"), now=moment - timedelta(days=1)), root_key)
    ca = issue(root, IDENTITY_CA, ca_key.public_key(), subject=names.make("Orchard Identity CA"), now=moment)
    signer = issue(root, PROFILE_SIGNER, signer_key.public_key(), subject=names.make("Orchard Signer"), now=moment)
    return TinyServer(root, Authority(ca, ca_key, (root.certificate,)), (signer, signer_key), now)
