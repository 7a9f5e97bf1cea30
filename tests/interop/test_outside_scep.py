"""An outside CA, micromdm's `scepserver`, gives devices their identities: by way of this server, and without it."""

from __future__ import annotations

import asyncio
import re
import ssl
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.clock import SystemClock
from bramley.model.enrollments import IdentityRoute
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import identities, trusted_cas
from bramley.operations.installation import open_installation
from bramley.pki import certificates, csr, names
from bramley.pki.scep.client import SCEPClient
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import Stage, free_port, open_stage
from bramley.sandbox.device import Identity, SignatureStyle, SimulatedDevice
from bramley.sandbox.errors import IdentityRefused, ServerRefused
from bramley.settings import SCEP
from bramley.storage.protocols import Tx
from bramley.web.service import Service
from tests.interop.kit import require
from tests.interop.test_scepserver import depot as depot
from tests.scep_http import SCEPOverHTTP

CHALLENGE = "open sesame"


@dataclass(slots=True)
class Play:
    """This server in front of, or beside, the outside CA."""

    stage: Stage
    url: str
    ca: x509.Certificate
    devices: list[SimulatedDevice]

    def device(self, seed: int, style: SignatureStyle = SignatureStyle.APPLE) -> SimulatedDevice:
        usual = self.stage.device(seed, style)
        behaviour = replace(usual.behaviour, legacy_scep=True)  # as scepserver answers
        made = SimulatedDevice(usual.device, self.stage.clock, behaviour=behaviour, courier=usual.courier, seed=seed)
        self.devices.append(made)
        return made

    async def behind_our_back(self) -> Identity:
        """What anybody gets from the CA who knows its challenge."""
        async with httpx2.AsyncClient(base_url=self.url.removesuffix("/scep"), trust_env=False) as http:
            client, key = SCEPClient(SCEPOverHTTP(http)), rsa.generate_private_key(65537, 2048)
            request = csr.build(key, names.make("anybody"), challenge_password=CHALLENGE)
            now = SystemClock().now()
            issued = await client.enroll(key, request, ca=self.ca, now=now, use_post=True, allow_legacy=True)
        return Identity(issued[0], key)


@pytest.fixture
async def play(depot: Path, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Play]:
    """With scepserver asking for its static challenge; `request.param` are the SCEP settings besides."""
    require("scepserver")
    port = free_port()
    url = f"http://127.0.0.1:{port}/scep"
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("scepserver", "-depot", depot, "-port", str(port), "-challenge", CHALLENGE, "-allowrenew", "0"),
            stdout=log,
            stderr=log,
        )
    stage = await open_stage(tmp_path, SystemClock())
    try:
        ca = certificates.load((depot / "ca.pem").read_bytes())
        await trusted_cas.trust(stage.installation, ca, actor="test")
        settings = stage.installation.settings
        front = await over_tls(stage, port)
        there = f"https://localhost:{front.sockets[0].getsockname()[1]}/scep" if request.param else url
        scep = replace(SCEP(), outside_url=there, outside_challenge=CHALLENGE, outside_legacy=True, **request.param)
        await stage.service.stop()
        again = await Service.start(await open_installation(replace(settings, scep=scep), SystemClock(), {}))
        made = Play(replace(stage, service=again), url, ca, [])
        async with asyncio.timeout(10), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    await http.get(f"{url}?operation=GetCACaps")
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.02)
        yield made
        for device in made.devices:
            await device.close()
        await made.stage.service.stop()
        front.close()
    finally:
        await stage.apns.stop()
        process.terminate()
        await process.wait()


async def over_tls(stage: Stage, port: int) -> asyncio.Server:
    """HTTPS in front of scepserver, which has none, with a certificate that devices trust."""
    https = stage.service.live.current().https
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "pair.pem")
        key = https.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pair.write_bytes(key + b"".join(map(certificates.pem, (https.certificate, *https.chain))))
        context.load_cert_chain(pair)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, one answer, and the end: that is all the device asks for."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        forth.write(re.sub(rb"(?i)connection: [^\r]*\r\n", b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
        writer.write(await back.read())
        for each in (writer, forth):
            each.close()
            await each.wait_closed()

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


def of(device: SimulatedDevice) -> x509.Certificate:
    assert device.identity is not None
    return device.identity.certificate


async def renewed(play: Play, device: SimulatedDevice) -> None:
    before = of(device)
    await identities.renew(play.stage.service.live, device.device.udid, actor="test")
    async with awake(device):
        await play.stage.until("the renewal", lambda tx: of(device) != before and tx.commands.count_pending() == 0)


def routes(tx: Tx) -> set[str]:
    return {lineage.route for lineage in tx.lineages.of_kind(Kind.DEVICE_IDENTITY)}


@pytest.mark.parametrize("play", [{}], indirect=True)
@pytest.mark.parametrize("style", [SignatureStyle.APPLE, SignatureStyle.TLS])
async def test_by_way_of_this_server(play: Play, style: SignatureStyle) -> None:
    device = play.device(2, style)
    await device.enroll(await play.stage.link())
    of(device).verify_directly_issued_by(play.ca)
    await device.connect()
    await renewed(play, device)
    of(device).verify_directly_issued_by(play.ca)
    await device.connect()
    store = play.stage.installation.store
    assert await store.read(routes) == {IdentityRoute.OUTSIDE_SCEP}
    rows = await store.read(lambda tx: tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY, limit=9))
    assert [row.version.state for row in rows] == [VersionState.SUPERSEDED, VersionState.ACTIVE]
    stranger = await play.behind_our_back()
    with pytest.raises(ServerRefused, match="400"):
        await device.authenticate(stranger)
    await identities.revoke(play.stage.installation, device.device.udid, reason="lost", actor="test")
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()


@pytest.mark.parametrize("play", [{}], indirect=True)
async def test_an_outside_ca_that_does_not_answer_spends_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    device, live = play.device(2), play.stage.service.live
    here, right = live.installation, live.installation.settings
    await device.fetch_profile(await play.stage.link())
    nowhere = replace(right, scep=replace(right.scep, outside_url=f"http://127.0.0.1:{free_port()}/scep"))
    monkeypatch.setattr(live, "installation", replace(here, settings=nowhere))
    with pytest.raises(IdentityRefused):
        await device.obtain_identity()
    monkeypatch.setattr(live, "installation", here)
    await device.obtain_identity()
    await device.authenticate()


@pytest.mark.parametrize("play", [{"outside_by": "device"}], indirect=True)
@pytest.mark.parametrize("style", [SignatureStyle.APPLE, SignatureStyle.TLS])
async def test_without_this_server_a_token_in_its_urls_names_the_device(play: Play, style: SignatureStyle) -> None:
    device, other = play.device(2, style), play.device(4, style)
    for each in (device, other):
        await each.enroll(await play.stage.link())
        of(each).verify_directly_issued_by(play.ca)
        await each.connect()
    assert "?device=" in device.mdm.check_in_url
    assert await play.stage.installation.store.read(routes) == {IdentityRoute.OUTSIDE}
    stranger = await play.behind_our_back()
    # with a good token, while no renewal is under way
    with pytest.raises(ServerRefused, match="400"):
        await device.authenticate(stranger)
    await renewed(play, device)
    await device.connect()
    # the renewal's right is spent
    with pytest.raises(ServerRefused, match="400"):
        await device.authenticate(stranger)
    # somebody else's identity, which is bound, with this device's token
    assert other.identity is not None
    with pytest.raises(ServerRefused, match="400"):
        await device.authenticate(other.identity)
    await other.connect()


@pytest.mark.parametrize("play", [{"outside_by": "device"}], indirect=True)
@pytest.mark.parametrize("query", ["", "?device=", "?device=x.y", "?device={other}", "?device={own}&device={own}", "?x={own}"])
async def test_no_other_token_will_do(play: Play, query: str) -> None:
    device, other = play.device(2), play.device(4)
    for each in (device, other):
        await each.fetch_profile(await play.stage.link())
    own, theirs = (each.mdm.check_in_url.partition("?device=")[2] for each in (device, other))
    # its enrollment's key with the token of another
    mixed = f"{own.partition('.')[0]}.{theirs.partition('.')[2]}"
    identity = await device.obtain_identity()
    url = device.mdm.check_in_url.partition("?")[0] + query.format(own=own, other=mixed)
    profile = device.holdings.enrollment
    for payload in profile.payloads:
        if payload["PayloadType"] == "com.apple.mdm":
            payload["CheckInURL"] = url
    with pytest.raises(ServerRefused, match="400"):
        await device.authenticate()
    for payload in profile.payloads:
        if payload["PayloadType"] == "com.apple.mdm":
            payload["CheckInURL"] = url.partition("?")[0] + f"?device={own}"
    await device.authenticate()
    assert device.identity == identity


@pytest.mark.parametrize("play", [{}], indirect=True)
async def test_a_ca_that_is_trusted_no_more_shuts_its_devices_out(play: Play) -> None:
    device = play.device(2)
    await device.enroll(await play.stage.link())
    _version, shut_out = await trusted_cas.distrust(play.stage.installation, certificates.sha256(play.ca), actor="test")
    assert shut_out == 1
    generation = play.stage.service.live.current().generation
    await play.stage.until(
        "the server to follow",
        lambda _tx: (
            play.stage.service.live.current().generation != generation or not play.stage.service.live.current().outside_cas
        ),
    )
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()
