"""Every way a connection to APNs can end before an answer, made to happen, and what the preflight says of it."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pycurl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from bramley.apple.push import BadPushCertificate, ClientClosed, Push, PushResult, PushTarget
from bramley.apple.push.client import CurlPushClient
from bramley.apple.push.preflight import Check, preflight, routes, verdict
from bramley.apple.push.stages import Progress, Stage, failed_at
from bramley.pki import certificates, keys
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.tls import load_identity
from tests.apple.push.connect_proxy import connect_proxy

SHORT = timedelta(seconds=0.4)
UNREAL = "nobody." + "a" * 64 + ".invalid"
"""A label of 64 octets is in no DNS (RFC 1035, 2.3.4), so nobody need be asked."""

Look = Callable[..., Awaitable[Check]]


@pytest.fixture
def look(ca: SandboxAppleCA, clock: ShiftedClock, push_key: PrivateKey, push_pem: bytes, topic: str) -> Look:
    """The check of one way."""

    async def make(port: int, *, host: str = "127.0.0.1", ca_pem: bytes = b"", **changes: Any) -> Check:
        target = PushTarget(host, port, ca_pem or ca.root_pem, changes.pop("proxy", None))
        values = {"certificate_pem": push_pem, "key": push_key, "topic": topic, "expiration": timedelta(days=1), **changes}

        def connect(target: PushTarget) -> CurlPushClient:
            return CurlPushClient(target=target, clock=clock, connect_timeout=SHORT, answer_timeout=SHORT, **values)

        (check,) = await preflight([target], connect)
        assert (check.host, check.port) == (host, port)
        assert check.ok is not bool(check.advice)
        return check

    return make


@pytest.fixture(scope="session")
def server_pair(ca: SandboxAppleCA) -> tuple[bytes, PrivateKey]:
    """A certificate of this machine that the client trusts, for servers that are not APNs."""
    key = keys.generate(KeyAlgorithm.P_256)
    return certificates.pem(ca.issue_server_certificate(key.public_key(), ("127.0.0.1",), now=datetime.now(UTC))), key


@asynccontextmanager
async def _saying(answer: bytes | None, pair: tuple[bytes, PrivateKey] | None = None) -> AsyncIterator[int]:
    """The port of a server that says one thing to everybody, or with None nothing and does not hang up; TLS with a pair."""
    context = None
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        load_identity(context, *pair)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await reader.read(-1)
        else:
            writer.write(answer)
            await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_what_works_says_so_and_wakes_nobody(apns: APNs, topic: str, look: Look) -> None:
    waiting = asyncio.create_task(apns.courier.wait(await apns.courier.register(topic)))
    check = await look(apns.port)
    assert (check.ok, check.stage, check.proxy) == (True, Stage.CERTIFICATE, None)
    assert 0 < check.milliseconds < 5000
    assert (apns.accepted, apns.delivered, apns.refused) == (0, 0, {"BadDeviceToken": 1})
    waiting.cancel()


async def test_ports_are_tried_at_once_and_told_in_order(
    ca: SandboxAppleCA, apns: APNs, push_key: PrivateKey, push_pem: bytes, topic: str
) -> None:
    clock = ShiftedClock()
    second = APNs(ca, clock, latency=0.3)
    await second.start()

    def connect(target: PushTarget) -> CurlPushClient:
        return CurlPushClient(
            certificate_pem=push_pem, key=push_key, topic=topic, target=target, expiration=timedelta(days=1), clock=clock
        )

    async with connect_proxy(credentials="jo:secret") as proxy:
        target = PushTarget("127.0.0.1", second.port, ca.root_pem, f"http://jo:secret@127.0.0.1:{proxy.port}")
        checks = await preflight(routes(target, (apns.port, second.port)), connect)
    shown = f"http://127.0.0.1:{proxy.port}"
    expected = [(second.port, shown), (apns.port, shown), (second.port, None), (apns.port, None)]
    assert [(check.port, check.proxy) for check in checks] == expected
    assert all(check.ok for check in checks)
    assert sorted(proxy.asked) == sorted(f"CONNECT 127.0.0.1:{port} 200" for port in (second.port, apns.port))
    assert checks[0].milliseconds >= 300 > checks[3].milliseconds
    await second.stop()


async def test_a_name_that_is_not_found(look: Look) -> None:
    check = await look(443, host=UNREAL)
    assert (check.ok, check.stage) == (False, Stage.NAME)
    assert UNREAL in check.words
    assert "DNS" in check.advice


async def test_a_port_where_nobody_listens(look: Look) -> None:
    check = await look(1)
    assert (check.ok, check.stage) == (False, Stage.CONNECT)
    assert "port 1 of 127.0.0.1" in check.advice
    assert "17.0.0.0/8" in check.advice


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
async def test_a_server_without_tls(answer: bytes | None, look: Look) -> None:
    async with _saying(answer) as port:
        check = await look(port)
    assert (check.ok, check.stage) == (False, Stage.TLS)


def _forged(subject: str, issuer: str) -> tuple[bytes, PrivateKey]:
    """A certificate whose issuer is nobody we trust, with whatever names."""
    key, now = keys.generate(KeyAlgorithm.P_256), datetime.now(UTC)
    by, of = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)]) for name in (issuer, subject))
    builder = x509.CertificateBuilder(by, of, key.public_key(), x509.random_serial_number(), now, now + SHORT * 999)
    return certificates.pem(builder.sign(key, hashes.SHA256())), key


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize(
    ("subject", "issuer", "shown"),
    [
        ("127.0.0.1", "Firewall Inspection CA", "issued by CN = Firewall Inspection CA"),
        ("127.0.0.1", "W\u00e4chter\x1b[31m", r"issued by CN = W\C3\A4chter\1B[31m"),
        ("x\x1b[31m", "Wall", "issued by CN = Wall"),
        ("\u00dc" * 200, "Wall", "issued by CN = Wall"),
        ("x" + "\u00dc" * 200, "Wall", "issued by CN = Wall"),
    ],
)
async def test_inspection_is_named_by_the_issuer_it_shows(subject: str, issuer: str, shown: str, look: Look) -> None:
    async with _saying(b"", _forged(subject, issuer)) as port:
        check = await asyncio.wait_for(look(port), 10)
    assert (check.ok, check.stage) == (False, Stage.TLS)
    assert shown in check.words
    assert "inspection is not allowed" in check.advice


async def test_a_certificate_of_another_host_is_not_apns(apns: APNs, ca: SandboxAppleCA, look: Look) -> None:
    key = keys.generate(KeyAlgorithm.P_256)
    elsewhere = ca.issue_server_certificate(key.public_key(), ("elsewhere.example",), now=datetime.now(UTC))
    async with _saying(b"", (certificates.pem(elsewhere), key)) as port:
        check = await look(port)
    assert (check.ok, check.stage) == (False, Stage.TLS)
    assert "Sandbox Apple Root CA" in check.words


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", b"", None])
async def test_tls_without_http_2(answer: bytes | None, server_pair: tuple[bytes, PrivateKey], look: Look) -> None:
    async with _saying(answer, server_pair) as port:
        check = await look(port)
    assert (check.ok, check.stage) == (False, Stage.HTTP2)
    assert "inspection" in check.advice


async def test_a_server_that_takes_the_push_and_does_not_answer(apns: APNs, look: Look) -> None:
    apns.stall()
    check = await look(apns.port)
    assert (check.ok, check.stage) == (False, Stage.HTTP2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"HTTP/1.1 407 Who?\r\n\r\n", "407"), (b"HTTP/1.1 403 No\r\n\r\n", "403"), (b"", ""), (b"rubbish\r\n\r\n", ""), (None, "")],
)
async def test_a_proxy_that_does_not_let_us_through(answer: bytes | None, said: str, apns: APNs, look: Look) -> None:
    async with _saying(answer) as port:
        check = await look(apns.port, proxy=f"http://jo:secret@127.0.0.1:{port}")
    assert (check.ok, check.stage) == (False, Stage.PROXY)
    assert said in check.words
    assert f"CONNECT to 127.0.0.1:{apns.port}" in check.advice
    assert check.proxy == f"http://127.0.0.1:{port}"
    assert "secret" not in repr(check)


@pytest.mark.parametrize(
    ("proxy", "stage"),
    [
        (f"http://jo:secret@{UNREAL}:3128", Stage.NAME),
        ("http://jo:secret@127.0.0.1:1", Stage.CONNECT),
        ("socks9://jo:secret@127.0.0.1:1", Stage.CONNECT),
    ],
)
async def test_a_proxy_that_is_not_there(proxy: str, stage: Stage, apns: APNs, look: Look) -> None:
    check = await look(apns.port, proxy=proxy)
    assert (check.ok, check.stage) == (False, stage)
    assert check.advice.startswith(f"Check push.proxy: {check.proxy}")
    assert "secret" not in repr(check)


async def test_trouble_behind_the_proxy_is_not_the_proxys(apns: APNs, look: Look) -> None:
    async with connect_proxy() as proxy, _saying(None) as silent:
        check = await look(silent, proxy=f"http://127.0.0.1:{proxy.port}")
        assert (check.ok, check.stage) == (False, Stage.TLS)
        foreign = SandboxAppleCA.make(datetime.now(UTC)).root_pem
        check = await look(apns.port, proxy=f"http://127.0.0.1:{proxy.port}", ca_pem=foreign)
        assert (check.ok, check.stage) == (False, Stage.TLS)


async def test_a_revoked_certificate_is_apns_word(ca: SandboxAppleCA, apns: APNs, push_pem: bytes, look: Look) -> None:
    apns.revoke(certificates.load_chain(push_pem)[0].serial_number)
    check = await look(apns.port)
    assert (check.ok, check.stage) == (False, Stage.CERTIFICATE)
    assert "403 BadCertificate" in check.words
    assert "Renew it" in check.advice


@contextmanager
def _openssl_server(folder: Path, pair: tuple[bytes, PrivateKey], clients_ca: bytes, version: str) -> Iterator[int]:
    """The port of OpenSSL's own server, which takes clients of one CA only and says why in an alert."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("no openssl on this machine")
    pem, key = pair
    (folder / "server.pem").write_bytes(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (folder / "clients.pem").write_bytes(clients_ca)
    asked = ["-cert", "server.pem", "-CAfile", "clients.pem", "-Verify", "3", "-verify_return_error", "-alpn", "h2"]
    with subprocess.Popen(
        [openssl, "s_server", "-accept", "127.0.0.1:0", *asked, version],
        cwd=folder,
        stdin=subprocess.PIPE,  # at the end of its input it would end itself
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        told = next(line for line in server.stdout if line.startswith("ACCEPT"))
        yield int(told.rpartition(":")[2])
        server.kill()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_a_certificate_that_tls_refuses(
    version: str, tmp_path: Path, server_pair: tuple[bytes, PrivateKey], look: Look
) -> None:
    other = SandboxAppleCA.make(datetime.now(UTC))
    with _openssl_server(tmp_path, server_pair, other.root_pem, version) as port:
        check = await look(port)
    assert (check.ok, check.stage) == (False, Stage.CERTIFICATE)
    assert "unknown ca" in check.words


async def test_an_expired_certificate_is_said_before_connecting(
    apns: APNs, clock: ShiftedClock, push_pem: bytes, push_key: PrivateKey, topic: str, ca: SandboxAppleCA
) -> None:
    made: list[CurlPushClient] = []

    def connect(target: PushTarget) -> CurlPushClient:
        made.append(
            CurlPushClient(
                certificate_pem=push_pem, key=push_key, topic=topic, target=target, expiration=timedelta(days=1), clock=clock
            )
        )
        return made[-1]

    clock.shift = timedelta(days=366)
    with pytest.raises(BadPushCertificate, match="expired on"):
        await preflight(routes(PushTarget("127.0.0.1", apns.port, ca.root_pem)), connect)
    assert apns.connections_opened == 0
    clock.shift = timedelta()
    for client in made:
        with pytest.raises(ClientClosed):
            await client.push([Push(b"t", "m")])


def test_the_ways_begin_with_the_one_in_the_settings() -> None:
    plain, through = PushTarget(port=443), PushTarget(port=2197, proxy="http://proxy.example")
    assert [target.port for target in routes(plain)] == [443, 2197]
    assert [target.port for target in routes(plain, (8443, 443))] == [443, 8443]
    expected = [(2197, "http://proxy.example"), (443, "http://proxy.example"), (2197, None), (443, None)]
    assert [(target.port, target.proxy) for target in routes(through)] == expected


@pytest.mark.parametrize(
    ("status", "reason", "stage", "words", "advice"),
    [
        (403, "BadCertificate", Stage.CERTIFICATE, "refused: 403 BadCertificate", "Renew it"),
        (403, "Forbidden", Stage.CERTIFICATE, "refused: 403 Forbidden", "Renew it"),
        (403, "MissingProviderToken", Stage.CERTIFICATE, "did not arrive", "inspection"),
        (400, "TopicDisallowed", Stage.CERTIFICATE, "answered 400 TopicDisallowed", "topic"),
        (400, "DeviceTokenNotForTopic", Stage.CERTIFICATE, "answered 400 DeviceTokenNotForTopic", "topic"),
        (410, "Unregistered", Stage.CERTIFICATE, "answered 410 Unregistered", "topic"),
        (418, "NewAtApple", Stage.CERTIFICATE, "answered 418 NewAtApple", "topic"),
        (503, "ServiceUnavailable", Stage.HTTP2, "busy: 503 ServiceUnavailable", "later"),
        (429, "TooManyRequests", Stage.HTTP2, "busy: 429", "later"),
        (500, "NewAtApple", Stage.HTTP2, "busy: 500", "later"),
        (200, None, Stage.HTTP2, "is not one of APNs", "inspection"),
        (400, None, Stage.HTTP2, "is not one of APNs", "inspection"),
        (403, None, Stage.HTTP2, "is not one of APNs", "inspection"),
        (502, None, Stage.HTTP2, "is not one of APNs", "inspection"),
        (0, None, Stage.CONNECT, "no connection: closed", "17.0.0.0/8"),
    ],
)
def test_only_bad_device_token_is_well(status: int, reason: str | None, stage: Stage, words: str, advice: str) -> None:
    ok, reached, said, todo = verdict(PushTarget(), PushResult(status, reason, error=None if status else "closed"))
    assert (ok, reached) == (False, stage)
    assert words in said
    assert advice in todo


CONNECTED = Progress(looked_up=True, connected=True)
AT_PROXY = Progress(looked_up=True, connected=True, tunnelled=False)
SECURED = Progress(looked_up=True, connected=True, secured=True)


@pytest.mark.parametrize(
    ("code", "message", "progress", "stage"),
    [
        (pycurl.E_COULDNT_RESOLVE_HOST, "", Progress(), Stage.NAME),
        (pycurl.E_OPERATION_TIMEDOUT, "Resolving timed out", Progress(), Stage.NAME),
        (pycurl.E_OPERATION_TIMEDOUT, "Connection timed out", Progress(looked_up=True), Stage.CONNECT),
        (pycurl.E_COULDNT_CONNECT, "", Progress(), Stage.CONNECT),
        (pycurl.E_COULDNT_CONNECT, "", AT_PROXY, Stage.PROXY),
        (97, "SOCKS5 refused", CONNECTED, Stage.PROXY),
        (pycurl.E_OPERATION_TIMEDOUT, "", AT_PROXY, Stage.PROXY),
        (pycurl.E_OPERATION_TIMEDOUT, "", CONNECTED, Stage.TLS),
        (pycurl.E_PEER_FAILED_VERIFICATION, "self-signed certificate", CONNECTED, Stage.TLS),
        (pycurl.E_PEER_FAILED_VERIFICATION, "self-signed certificate", AT_PROXY, Stage.TLS),
        (pycurl.E_SSL_CONNECT_ERROR, "sslv3 alert handshake failure", CONNECTED, Stage.TLS),
        (pycurl.E_SSL_CONNECT_ERROR, "tlsv1 alert protocol version", CONNECTED, Stage.TLS),
        (pycurl.E_SSL_CONNECT_ERROR, "sslv3 alert bad certificate", CONNECTED, Stage.CERTIFICATE),
        (pycurl.E_SSL_CONNECT_ERROR, "ssl/tls alert certificate expired", CONNECTED, Stage.CERTIFICATE),
        (pycurl.E_SSL_CONNECT_ERROR, "tlsv1 alert internal error", CONNECTED, Stage.CERTIFICATE),
        (pycurl.E_RECV_ERROR, "tlsv13 alert certificate required", SECURED, Stage.CERTIFICATE),
        (pycurl.E_RECV_ERROR, "sslv3 alert handshake failure", SECURED, Stage.CERTIFICATE),
        (pycurl.E_RECV_ERROR, "Connection reset by peer", SECURED, Stage.HTTP2),
        (pycurl.E_OPERATION_TIMEDOUT, "", Progress(secured=True), Stage.HTTP2),
        (pycurl.E_SSL_CERTPROBLEM, "unable to set private key", Progress(), Stage.CERTIFICATE),
    ],
)
def test_libcurls_words_tell_the_stage(code: int, message: str, progress: Progress, stage: Stage) -> None:
    assert failed_at(code, message, progress) is stage
