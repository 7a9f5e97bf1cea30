"""nginx ends TLS in front of Bramley, with the configuration that docs/how-to/behind-nginx.md gives."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import shutil
import socket
import ssl
import tomllib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.clock import SystemClock
from bramley.model.events import EventKind
from bramley.operations import enrolling
from bramley.operations.installation import initialize, open_installation
from bramley.operations.push import importing
from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.rehearsal.stage import free_port
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.device import Behaviour, DeviceIdentity, Identity, Patience, SignatureStyle, SimulatedDevice
from bramley.sandbox.device import messages as said
from bramley.sandbox.errors import ServerRefused
from bramley.sandbox.tls import load_identity
from bramley.settings import Limits, Proxy, Settings, load
from bramley.web.service import Service
from tests.docs.pages import code_blocks, read

PAGE = read("how-to/behind-nginx.md")
SERVER, MAP = code_blocks(PAGE, "nginx")
(FILE,) = code_blocks(PAGE, "toml")
FORMS = {"escaped PEM": "$ssl_client_escaped_cert", "RFC 9440": "$client_cert_rfc9440"}

WRAPPER = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Public:
    """A certificate authority that devices know, and an installation that is reached by way of nginx."""

    ca: authority.Authority
    settings: Settings


@pytest.fixture(scope="session")
def public(tmp_path_factory: pytest.TempPathFactory, push_key: keys.PrivateKey) -> Public:
    clock = SystemClock()
    ca_key = keys.generate(keys.KeyAlgorithm.P_256)
    certificate = authority.self_signed(profiles.ROOT_CA, ca_key, names.make("Public CA"), now=clock.now())
    settings = load(
        environment={},
        data=tmp_path_factory.mktemp("nginx") / "data",
        url=f"https://localhost:{free_port()}",
        listen={"host": "127.0.0.1", "port": 0, "tls": False},
        # what the page says, and few failures, so that a test can use them up
        proxy=tomllib.loads(FILE)["proxy"],
        limits={"failures": 2, "failures_per_minute": 1},
    )

    async def make() -> None:
        installation, _first = await initialize(settings, clock, {})
        apple = SandboxAppleCA.make(clock.now())
        pushing = apple.issue_push_certificate(push_key.public_key(), topic=new_topic(), now=clock.now())
        await importing.import_pair(installation, pushing, push_key, actor="test")
        await installation.store.close()

    asyncio.run(make())
    return Public(authority.Authority(certificate, ca_key), settings)


@dataclass(frozen=True, slots=True)
class Behind:
    """Bramley, and nginx in front of it."""

    public: Public
    service: Service

    @property
    def url(self) -> str:
        return self.service.live.installation.url

    @property
    def direct(self) -> str:
        """Where Bramley itself listens, in clear."""
        assert self.service.main is not None
        return f"http://127.0.0.1:{self.service.main.port}"

    @asynccontextmanager
    async def client(self, *, address: str = "127.0.0.1", shows: Identity | None = None) -> AsyncGenerator[httpx2.AsyncClient]:
        context = ssl.create_default_context(cadata=certificates.pem(self.public.ca.certificate).decode())
        if shows is not None:
            load_identity(context, certificates.pem(shows.certificate), shows.key)
        transport = httpx2.AsyncHTTPTransport(verify=context, local_address=address)
        async with httpx2.AsyncClient(transport=transport) as client:
            yield client

    async def device(self, style: SignatureStyle, seed: int = 1) -> SimulatedDevice:
        """An enrolled device."""
        live = self.service.live
        created = await enrolling.create_link(
            live.installation, label="", uses=1, expires_in=timedelta(hours=1), udid=None, actor="test"
        )
        root = live.current().authorities.root.certificate
        behaviour = Behaviour(
            style=style, anchors=(root, self.public.ca.certificate), patience=Patience(whole=10, refusals=1, pause=0.05)
        )
        made = DeviceIdentity.make(random.Random(seed))
        device = SimulatedDevice(made, SystemClock(), behaviour=behaviour, seed=seed)
        await device.enroll(created.url)
        return device

    async def reasons(self) -> list[object]:
        store = self.service.live.installation.store
        return [event.detail["reason"] for event in await store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED))]


@pytest.fixture
async def behind(request: pytest.FixtureRequest, public: Public, tmp_path: Path) -> AsyncGenerator[Behind]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    data = tmp_path / "data"
    shutil.copytree(public.settings.data, data)
    service = await Service.start(await open_installation(dataclasses.replace(public.settings, data=data), SystemClock(), {}))
    assert service.main is not None
    try:
        _configure(tmp_path, public, service.main.port, FORMS[getattr(request, "param", "escaped PEM")])
        nginx = await asyncio.create_subprocess_exec(program, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"))
        try:
            await _listening(public.settings.url, nginx)
            yield Behind(public, service)
        finally:
            nginx.terminate()
            await nginx.wait()
    finally:
        await service.stop()
    complaints = [line for line in (tmp_path / "error.log").read_text().splitlines() if "[emerg]" in line or "[crit]" in line]
    assert complaints == []


def _configure(folder: Path, public: Public, port: int, form: str) -> None:
    """The page's two files, with our ports and paths in place of those on the page."""
    key = keys.generate(keys.KeyAlgorithm.P_256)
    now = SystemClock().now()
    sans = [x509.DNSName("localhost")]
    issued = authority.issue(
        public.ca, profiles.HTTPS_SERVER, key.public_key(), subject=names.make("localhost"), sans=sans, now=now
    )
    (folder / "site.pem").write_bytes(certificates.pem(issued))
    (folder / "site.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    text = SERVER
    for before, after in (
        ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{public.settings.url.rpartition(':')[2]} ssl"),
        ("server_name mdm.example.org", "server_name localhost"),
        ("/etc/nginx/mdm.example.org.pem", str(folder / "site.pem")),
        ("/etc/nginx/mdm.example.org.key", str(folder / "site.key")),
        ("$ssl_client_escaped_cert", form),
    ):
        assert text.count(before) == 1, f"the page says {before} once"
        text = text.replace(before, after)
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "bramley.conf").write_text(text)
    (folder / "conf.d" / "client-cert.conf").write_text(MAP)
    (folder / "nginx.conf").write_text(WRAPPER.format(folder=folder))


async def _listening(url: str, nginx: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(10):
        while True:
            assert nginx.returncode is None, "nginx takes the configuration"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0:
                    return
            await asyncio.sleep(0.05)


def idle(udid: str) -> bytes:
    return said.encode({"Status": "Idle", "UDID": udid})


IN_EITHER_FORM = pytest.mark.parametrize("behind", FORMS, indirect=True)


@IN_EITHER_FORM
@pytest.mark.parametrize("style", [SignatureStyle.TLS, SignatureStyle.APPLE])
async def test_a_device_enrolls_and_checks_in_through_it(behind: Behind, style: SignatureStyle) -> None:
    device = await behind.device(style)

    assert await device.connect() == 0
    assert await behind.reasons() == []
    await device.close()


async def test_a_signature_and_a_certificate_must_be_of_one_identity(behind: Behind) -> None:
    device, other = await behind.device(SignatureStyle.APPLE, 1), await behind.device(SignatureStyle.APPLE, 2)

    await device.transport.present(device.identity)
    assert await device.connect() == 0
    await device.transport.present(other.identity)
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()

    assert await behind.reasons() == ["bad-signature"]
    await device.close()
    await other.close()


@IN_EITHER_FORM
async def test_a_header_that_the_caller_wrote_gets_nobody_in(behind: Behind) -> None:
    device = await behind.device(SignatureStyle.TLS)
    assert device.identity is not None
    forged = {
        "Client-Cert": quote(certificates.pem(device.identity.certificate).decode(), safe=""),
        "Content-Type": said.CONNECT_TYPE,
    }

    async with behind.client() as client:  # through nginx, which overwrites it
        answer = await client.put(f"{behind.url}/mdm/connect", content=idle(device.device.udid), headers=forged)
    async with behind.client(address="127.0.0.9") as client:  # past nginx, from an address that is no proxy's
        past = await client.put(f"{behind.direct}/mdm/connect", content=idle(device.device.udid), headers=forged)

    assert (answer.status_code, past.status_code) == (400, 400)
    assert await behind.reasons() == ["no-signature", "no-signature"]
    await device.close()


async def test_what_nginx_lets_pass_is_judged_here(behind: Behind) -> None:
    ours, foreign = behind.service.live.current().authorities.identity.authority, behind.public.ca
    now = SystemClock().now()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ended = authority.issue(
        ours,
        profiles.DEVICE_IDENTITY,
        key.public_key(),
        subject=names.make("device"),
        now=now - timedelta(minutes=30),
        lifetime=timedelta(minutes=10),
    )
    strange = authority.issue(foreign, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=now)
    for certificate in (ended, strange):
        async with behind.client(shows=Identity(certificate, key)) as client:
            answer = await client.put(
                f"{behind.url}/mdm/connect", content=idle("A" * 8), headers={"Content-Type": said.CONNECT_TYPE}
            )

        assert (answer.status_code, answer.content) == (400, b"")

    # of one that has ended the record decides, and this one is on none
    assert await behind.reasons() == ["unknown-issuer", "unknown-identity"]


async def test_callers_are_told_apart_by_their_own_addresses(behind: Behind) -> None:
    async def guess(address: str) -> int:
        async with behind.client(address=address) as client:
            # what the caller says of itself is not what nginx says of it
            headers = {"X-Forwarded-For": str(random.getrandbits(16)), "Forwarded": "for=192.0.2.77"}
            return (await client.get(f"{behind.url}/enroll/guessed", headers=headers)).status_code

    assert [await guess("127.0.0.5") for _ in range(3)] == [404, 404, 429]
    assert await guess("127.0.0.6") == 404


def test_the_page_gives_the_settings_that_it_explains() -> None:
    told = tomllib.loads(FILE)

    assert Proxy(**{**told["proxy"], "addresses": ("127.0.0.1",)}).client_certificate == "Client-Cert"
    assert Limits().connect_bytes <= 32 * 1024 * 1024
    assert Limits().api_bytes <= 32 * 1024 * 1024
