"""A fleet moves in: devices that another MDM enrolled come to us under its name, and go on without enrolling again."""

from __future__ import annotations

import asyncio
import json
import plistlib
import random
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from bramley.mdm.commands import SecurityInfo
from bramley.model.events import EventKind
from bramley.model.lineages import VersionState
from bramley.operations import commands, devices, former_mdm, identities, trusted_cas
from bramley.operations.former_lines import read_lines
from bramley.operations.former_mdm import Imported
from bramley.operations.installation import open_installation
from bramley.pki import certificates, keys, names
from bramley.pki.ca.authority import issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, HTTPS_SERVER
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import DeviceIdentity, Identity, Patience, SignatureStyle, SimulatedDevice, UserAccount
from bramley.sandbox.errors import ServerRefused, ServerUnreachable
from bramley.sandbox.tls import load_identity
from bramley.web.service import Service
from tests.sandbox import tiny_server
from tests.sandbox.tiny_server import TinyServer

PATHS = ("/connect", "/checkin")


@pytest.fixture(scope="module")
def keyring() -> list[keys.PrivateKey]:
    kinds = (keys.KeyAlgorithm.P_256, keys.KeyAlgorithm.RSA_2048, keys.KeyAlgorithm.P_256, keys.KeyAlgorithm.RSA_2048)
    return [keys.generate(kind) for kind in kinds]


@dataclass
class FormerMDM(TinyServer):
    """Another MDM, at the URL that will be ours; what it has seen of its devices is what its storage would hold."""

    topic: str = ""
    profiles: list[bytes] = field(default_factory=list)

    def enrollment_profile(self, challenge: str, **changes: Any) -> bytes:
        base = f"https://localhost:{self.port}"
        urls = {"ServerURL": f"{base}/connect", "CheckInURL": f"{base}/checkin", "AccessRights": 3}
        self.profiles.append(super().enrollment_profile(challenge, **{"Topic": self.topic, **urls, **changes}))
        return self.profiles[-1]

    async def listen(self, port: int, key: keys.PrivateKey) -> None:
        sans = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        made = issue(self.root, HTTPS_SERVER, key.public_key(), subject=names.make("localhost"), sans=sans, now=self.now())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_identity(context, certificates.pem(made), key)
        await self.start(port, context)

    def export(self) -> bytes:
        """A line for each device and each user's channel, as a query of its database gives them."""
        rows: dict[str, dict[str, str]] = {}
        for request in self.seen:
            if request.path == "/checkin":
                said = request.plist
                row = rows.setdefault(f"{said['UDID']}:{said.get('UserID', '')}", {})
                row[{"Authenticate": "authenticate", "TokenUpdate": "token_update"}[request.name]] = request.body.decode()
                if "UserID" not in said:
                    row["certificate"] = certificates.pem(certificates.load(request.signer)).decode()
        return "\n".join(map(json.dumps, rows.values())).encode()


@dataclass(slots=True)
class Move:
    """The former server and ours, which has its URL."""

    stage: Stage
    former: FormerMDM
    clock: ShiftedClock
    devices: list[SimulatedDevice] = field(default_factory=list)

    def device(self, seed: int) -> SimulatedDevice:
        behaviour = self.stage.behaviour(self.stage.device(seed).behaviour.style)
        chance = random.Random(seed)
        trusted = (*behaviour.anchors, self.former.root.certificate)
        behaviour = replace(behaviour, anchors=trusted, users=(UserAccount.make(chance),))
        made = SimulatedDevice(
            DeviceIdentity.make(chance), self.clock, behaviour=behaviour, courier=self.stage.apns.courier, seed=seed
        )
        self.devices.append(made)
        return made

    async def begin(self) -> None:
        """The former server ends, and ours takes its place."""
        await self.former.stop()
        settings = replace(self.stage.installation.settings, former_paths=PATHS)
        service = await Service.start(await open_installation(settings, self.clock, {}))
        self.stage = replace(self.stage, service=service)
        for device in self.devices:
            await device.close()

    async def trust(self) -> None:
        await trusted_cas.trust(self.stage.installation, self.former.identity_ca.certificate, actor="test")
        await self.stage.service.live.refresh()

    async def bring(self) -> Imported:
        lines = read_lines(self.former.export(), "export")
        done = await former_mdm.import_enrollments(self.stage.installation, lines, profile=self.former.profiles[0], actor="test")
        await self.stage.service.live.refresh()
        return done

    async def refusals(self) -> list[object]:
        found = await self.stage.installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED))
        return [event.detail["reason"] for event in found]


@pytest.fixture
async def move(tmp_path: Path, database: str, keyring: list[keys.PrivateKey]) -> AsyncGenerator[Move]:
    clock = ShiftedClock()
    stage = await open_stage(tmp_path, clock, database)
    port = stage.installation.settings.listen.port
    await stage.service.stop()
    made = tiny_server.make(keyring, clock.now)
    former = FormerMDM(made.root, made.identity_ca, made.signer, clock.now, topic=stage.topic)
    await former.listen(port, keyring[3])
    opened = Move(stage, former, clock)
    yield opened
    for device in opened.devices:
        await device.close()
    await former.stop()
    await opened.stage.close()


@pytest.mark.parametrize("alone", [False, True], ids=["of a former CA", "self-signed"])
async def test_a_fleet_moves_in(move: Move, keyring: list[keys.PrivateKey], alone: bool) -> None:
    device = move.device(2)
    udid, user = device.device.udid, device.behaviour.users[0]
    await device.fetch_profile(f"https://localhost:{move.former.port}/enroll")
    former_identity = await device.obtain_identity()
    if alone:
        key = former_identity.key
        certificate = self_signed(DEVICE_IDENTITY, key, names.make(udid), now=move.clock.now())
        former_identity = device.holdings.identity = Identity(certificate, key)
    await device.authenticate()
    await device.token_update()
    await device.token_update(user)
    assert await device.connect() == 0

    await move.begin()
    if not alone:
        await move.trust()
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()
    assert set(await move.refusals()) == {"unknown-issuer" if alone else "unknown-identity"}
    done = await move.bring()
    assert (done.written.brought, done.problems, done.warnings) == ((udid, f"{udid}:{user.user_id}"), (), ())

    stage = move.stage
    waiting = await commands.send(stage.installation, udid, SecurityInfo(), actor="test")
    of_user = await commands.send(stage.installation, f"{udid}:{user.user_id}", SecurityInfo(), actor="test")
    renewal = await identities.renew(stage.service.live, udid, actor="test")
    before = device.holdings.enrollment
    await by_tls(stage, device)
    async with awake(device):
        await stage.until("every command answered", lambda tx: tx.commands.count_pending() == 0)
    assert {each.uuid for each in (waiting, of_user, renewal)} <= {done.command_uuid for done in device.history}
    assert {done.status for done in device.history} == {"Acknowledged"}

    after = device.holdings.enrollment
    _assert_the_same_but_for_the_identity(before.content, after.content)
    assert device.identity is not None
    assert device.identity.certificate != former_identity.certificate
    issuer = stage.service.live.current().authorities.identity.authority.certificate
    device.identity.certificate.verify_directly_issued_by(issuer)
    shown = await devices.show(stage.installation, udid)
    assert sorted(version.state for version in shown.identities) == [VersionState.ACTIVE, VersionState.SUPERSEDED]

    move.clock.shift = timedelta(hours=stage.installation.settings.identity.grace_hours + 1)
    await identities.retire_superseded(stage.installation, actor="test")
    await device.connect()
    device.holdings.identity = former_identity
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()


async def by_tls(stage: Stage, device: SimulatedDevice) -> None:
    """It shows its identity in TLS too, once the listener that asks for one has heard of it."""
    usual = device.behaviour
    deadline = asyncio.get_running_loop().time() + 30
    while True:
        device.behaviour = replace(usual, style=SignatureStyle.TLS, tls_base=stage.tls_base, patience=Patience(whole=0.5))
        try:
            await device.check_in({"MessageType": "SetBootstrapToken", **device.sender(), "BootstrapToken": b"x"})
            break
        except ServerUnreachable:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.2)
    device.behaviour = usual
    await device.transport.present(None)


def _assert_the_same_but_for_the_identity(before: dict[str, Any], after: dict[str, Any]) -> None:
    was, now = ({each["PayloadIdentifier"]: each for each in content["PayloadContent"]} for content in (before, after))
    assert {**before, "PayloadContent": None} == {**after, "PayloadContent": None}
    fresh = now["bramley.scep"]["PayloadUUID"]
    assert now["o.mdm"] == was["o.mdm"] | {"IdentityCertificateUUID": fresh}
    assert now["o.root"] == was["o.root"]
    assert "o.scep" not in now
    assert plistlib.dumps(after).count(b"challenge-0") == 0
