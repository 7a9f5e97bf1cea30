"""The stand-in seen by programs that we did not write: the openssl and curl command lines."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates
from bramley.pki.keys import PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock

TOPIC = new_topic()


async def run(*command: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(stdin), 20)
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


@pytest.fixture
def identity(apple_ca: SandboxAppleCA, push_key: PrivateKey, clock: ShiftedClock, tmp_path: Path) -> Callable[[str], Path]:
    """A file with certificate, chain and key for a topic, and the root beside it."""

    def make(topic: str) -> Path:
        certificate = apple_ca.issue_push_certificate(push_key.public_key(), topic=topic, now=clock.now())
        path = tmp_path / "push.pem"
        key = push_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(apple_ca.chain_pem(certificate) + key)
        (tmp_path / "root.pem").write_bytes(apple_ca.root_pem)
        return path

    return make


async def curl(identity: Path, apns: APNs, token: bytes, *more: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and the protocol curl spoke."""
    if shutil.which("curl") is None:
        pytest.skip("no curl command here")
    _, version = await run("curl", "--version")
    if "HTTP2" not in version:
        pytest.skip("this curl has no HTTP/2")
    _, said = await run(
        "curl", "-sS", "--http2", "--noproxy", "*", "--cacert", identity.parent / "root.pem", "--cert", identity,
        "-w", "\n%{http_version} %{http_code}", "-d", '{"mdm":"magic"}',
        "-H", f"apns-topic: {TOPIC}", "-H", "apns-push-type: mdm", "-H", f"apns-expiration: {int(time.time()) + 99}",
        *more, f"https://127.0.0.1:{apns.port}/3/device/{token.hex()}",
    )  # fmt: skip
    body, _, numbers = said.rpartition("\n")
    http, status = numbers.split()
    assert http == "2"
    return int(status), body, json.loads(body) if body else {}


async def test_curl_pushes(identity: Callable[[str], Path], apns: APNs) -> None:
    token = await apns.courier.register(TOPIC)
    status, body, _ = await curl(identity(TOPIC), apns, token)
    assert (status, body) == (200, "")
    assert await asyncio.wait_for(apns.courier.wait(token), 5) == {"mdm": "magic"}


async def test_curl_hears_apples_words(identity: Callable[[str], Path], apns: APNs) -> None:
    token = await apns.courier.register(TOPIC)
    assert (await curl(identity(TOPIC), apns, b"\x00" * 32))[::2] == (400, {"reason": "BadDeviceToken"})
    assert (await curl(identity(TOPIC), apns, token, "-X", "PUT"))[::2] == (405, {"reason": "MethodNotAllowed"})
    assert (await curl(identity(TOPIC), apns, token, "-H", "apns-priority: 3"))[::2] == (400, {"reason": "BadPriority"})
    assert (await curl(identity(new_topic()), apns, token))[::2] == (400, {"reason": "TopicDisallowed"})
    path = identity(TOPIC)
    huge = path.parent / "huge.json"
    huge.write_text(json.dumps({"mdm": "x" * 300_000}))
    assert (await curl(path, apns, token, "-d", f"@{huge}"))[::2] == (413, {"reason": "PayloadTooLarge"})


async def test_curl_without_a_certificate_or_with_an_expired_one(
    identity: Callable[[str], Path], apns: APNs, clock: ShiftedClock
) -> None:
    path = identity(TOPIC)
    code, _ = await run("curl", "-sS", "--noproxy", "*", "--cacert", path.parent / "root.pem", f"https://127.0.0.1:{apns.port}/")
    assert code != 0
    assert (apns.accepted, apns.refused) == (0, {})
    clock.shift = timedelta(days=366)
    status, _, said_json = await curl(path, apns, await apns.courier.register(TOPIC))
    assert (status, said_json) == (403, {"reason": "BadCertificate"})


async def test_openssl_sees_tls_1_2_or_later_h2_and_the_chain(identity: Callable[[str], Path], apns: APNs) -> None:
    path = identity(TOPIC)
    connect = ("openssl", "s_client", "-connect", f"127.0.0.1:{apns.port}", "-CAfile", path.parent / "root.pem", "-cert", path)
    _, said = await run(*connect, "-key", path, "-alpn", "h2", "-verify_return_error")
    assert "ALPN protocol: h2" in said
    assert "Verify return code: 0 (ok)" in said
    code, said = await run(*connect, "-key", path, "-alpn", "h2", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
    assert code != 0
    assert "Cipher is (NONE)" in said


async def test_openssl_reads_a_push_certificate_as_apples(identity: Callable[[str], Path], apple_ca: SandboxAppleCA) -> None:
    path = identity(TOPIC)
    _, said = await run("openssl", "x509", "-in", path, "-noout", "-subject", "-ext", "extendedKeyUsage", "-nameopt", "RFC2253")
    assert f"UID={TOPIC}" in said
    assert "CN=APSP:" in said
    assert "TLS Web Client Authentication" in said
    (path.parent / "ca.pem").write_bytes(certificates.pem(apple_ca.intermediate))
    trust = ("-CAfile", path.parent / "root.pem", "-untrusted", path.parent / "ca.pem")
    code, said = await run("openssl", "verify", *trust, "-purpose", "sslclient", path)
    assert code == 0, said
