"""Push certificates as files, and what of them is in the database."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.pki import certificates, keys
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from bramley.web.app import Application
from tests.web.world import TOPIC, URL, World

PUSH = "/api/v1/push"
CERTIFICATES = f"{PUSH}/certificates"
NANOMDM = "/v1/pushcert"


@dataclass(frozen=True, slots=True)
class Maker:
    """Issues push certificates, as Apple would."""

    ca: SandboxAppleCA
    world: World
    key: keys.PrivateKey = field(repr=False)

    def certificate(self, topic: str = TOPIC) -> x509.Certificate:
        return self.ca.issue_push_certificate(self.key.public_key(), topic=topic, now=self.world.clock.now())

    def files(self, topic: str = TOPIC) -> list[bytes]:
        """A certificate of the topic, and its key."""
        return [certificates.pem(self.certificate(topic)), key_pem(self.key)]


def key_pem(key: keys.PrivateKey, password: str | None = None) -> bytes:
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


async def call(world: World, method: str, path: str, body: object = None, status: int = 200) -> Any:
    """The JSON of an answer under /push that has this status."""
    answer = await world.http.request(method, PUSH + path, json=body, headers=world.as_admin)
    assert answer.status_code == status, answer.text
    return answer.json()


async def through_api(world: World, files: list[bytes], **terms: Any) -> httpx2.Response:
    body = {"files": [base64.b64encode(file).decode() for file in files], **terms}
    return await world.http.post(CERTIFICATES, json=body, headers=world.as_admin)


async def through_nanomdm(world: World, files: list[bytes]) -> httpx2.Response:
    return await world.http.put(NANOMDM, content=b"".join(files), auth=("nanomdm", world.admin_token))


async def stored(world: World) -> object:
    """All that an import could change; refused sign-ins are left out."""

    def read(tx: Tx) -> object:
        lineages = [lineage for kind in (Kind.PUSH, Kind.PUSH_VENDOR) for lineage in tx.lineages.of_kind(kind)]
        events = [event for event in tx.events.find(limit=1000) if event.kind is not EventKind.ADMIN_REFUSED]
        return lineages, [tx.lineages.versions(lineage.id) for lineage in lineages], events, tx.jobs.of_kind("push-trial")

    return await world.installation.store.read(read)


def configure(world: World, **sections: Any) -> None:
    """From now on, the server has these settings."""
    settings: Settings = replace(world.installation.settings, **sections)
    world.live.installation = replace(world.installation, settings=settings)
    world.app = Application(world.live)
    world.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(world.app.main), base_url=URL)
