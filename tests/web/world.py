"""A whole installation with its applications, and a device that enrolls and talks as Apple's do."""

from __future__ import annotations

import asyncio
import base64
import plistlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
from asn1crypto.cms import ContentInfo
from cryptography import x509

from bramley.model.events import Event, EventKind
from bramley.operations import enrolling
from bramley.operations.installation import Installation, initialize, open_installation
from bramley.operations.live import Live
from bramley.operations.push import importing
from bramley.pki import cms, csr, keys, names
from bramley.pki.scep.client import SCEPClient
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.settings import Limits, Settings
from bramley.web.app import Application
from tests.scep_http import SCEPOverHTTP

TOPIC = "com.apple.mgmt.External.5b9a1c8e-77f0-4f0b-8f4c-1c6a3b2d9e10"
URL = "https://mdm.example:8443"
LIMITS = Limits(checkin_bytes=16384, connect_bytes=1024 * 1024, scep_bytes=16384)
CHECKIN = "application/x-apple-aspen-mdm-checkin"
CONNECT = "application/x-apple-aspen-mdm; charset=UTF-8"


class ATestClock:
    """Stands still until told."""

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment

    async def sleep_until(self, moment: datetime) -> None:
        self.moment = max(self.moment, moment)


@dataclass(frozen=True, slots=True)
class Template:
    """A data folder with an installation and a push certificate, copied for each test."""

    data: Path
    admin_token: str

    @classmethod
    def make(cls, folder: Path, now: datetime) -> Template:
        async def build() -> Template:
            clock = ATestClock(now)
            installation, first = await initialize(Settings(data=folder, url=URL), clock, {})
            ca, key = SandboxAppleCA.make(now), keys.generate(keys.KeyAlgorithm.RSA_2048)
            certificate = ca.issue_push_certificate(key.public_key(), topic=TOPIC, now=now)
            await importing.import_pair(installation, certificate, key, actor="cli")
            await installation.store.close()
            return cls(folder, first.admin_token)

        return asyncio.run(build())


@dataclass(slots=True)
class World:
    """A server, in process."""

    live: Live
    clock: ATestClock
    app: Application
    http: httpx2.AsyncClient
    admin_token: str

    @property
    def installation(self) -> Installation:
        return self.live.installation

    @classmethod
    @asynccontextmanager
    async def open(cls, template: Template, folder: Path, now: datetime) -> AsyncIterator[World]:
        data = folder / "data"
        shutil.copytree(template.data, data)
        clock = ATestClock(now)
        installation = await open_installation(Settings(data=data, url=URL, limits=LIMITS), clock, {})
        live = await Live.start(installation)
        app = Application(live)
        transport = httpx2.ASGITransport(app.main)
        async with httpx2.AsyncClient(transport=transport, base_url=URL) as http:
            try:
                yield cls(live, clock, app, http, template.admin_token)
            finally:
                await installation.store.close()

    @property
    def as_admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.admin_token}"}

    async def link(self, *, uses: int = 1, udid: str | None = None) -> str:
        created = await enrolling.create_link(
            self.installation, label="test", uses=uses, expires_in=timedelta(hours=1), udid=udid, actor="cli"
        )
        return created.url

    async def events(self, kind: EventKind) -> list[Event]:
        return list(await self.installation.store.read(lambda tx: tx.events.find(kind=kind)))


@dataclass(slots=True)
class Device:
    """A device with one identity key."""

    world: World
    key: keys.PrivateKey
    udid: str = "00008030-001C2D3E4F50002E"
    certificate: x509.Certificate | None = field(default=None, repr=False)

    async def get_identity(self, link: str | None = None) -> None:
        """Fetches the profile, and gets the identity that it describes."""
        fetched = await self.world.http.get(link or await self.world.link())
        assert fetched.status_code == 200, fetched.text
        await self.obey(fetched.content)

    async def obey(self, signed_profile: bytes) -> None:
        content = ContentInfo.load(signed_profile)["content"]["encap_content_info"]["content"].native
        payloads = plistlib.loads(content)["PayloadContent"]
        scep = next(each["PayloadContent"] for each in payloads if each["PayloadType"] == "com.apple.security.scep")
        client = SCEPClient(SCEPOverHTTP(self.world.http))
        (ca,) = await client.ca_certificates()
        request = csr.build(self.key, names.make("device"), challenge_password=scep["Challenge"])
        self.certificate, *_ = await client.enroll(self.key, request, ca=ca, now=self.world.clock.now())

    def sign(self, body: bytes) -> str:
        assert self.certificate is not None
        return base64.b64encode(cms.sign(body, key=self.key, certificate=self.certificate, detached=True)).decode()

    async def put(self, message: dict[str, Any], *, content_type: str, path: str = "/mdm/connect") -> httpx2.Response:
        body = plistlib.dumps(message)
        headers = {"Content-Type": content_type, "Mdm-Signature": self.sign(body)}
        return await self.world.http.put(path, content=body, headers=headers)

    async def check_in(self, message_type: str, **keys_: Any) -> httpx2.Response:
        message = {"MessageType": message_type, "UDID": self.udid, **keys_}
        return await self.put(message, content_type=CHECKIN, path="/mdm/checkin")

    async def authenticate(self) -> httpx2.Response:
        return await self.check_in("Authenticate", Topic=TOPIC, SerialNumber="C02TEST", DeviceName="Test Mac")

    async def token_update(self) -> httpx2.Response:
        return await self.check_in("TokenUpdate", Topic=TOPIC, Token=b"\x01" * 32, PushMagic="magic")

    async def report(self, status: str, **keys_: Any) -> httpx2.Response:
        return await self.put({"Status": status, "UDID": self.udid, **keys_}, content_type=CONNECT)

    async def enroll(self, link: str | None = None) -> None:
        await self.get_identity(link)
        for answer in (await self.authenticate(), await self.token_update()):
            assert (answer.status_code, answer.content) == (200, b"")
