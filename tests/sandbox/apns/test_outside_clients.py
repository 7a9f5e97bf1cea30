"""The stand-in seen by programs that we did not write: the openssl and curl command lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from bramley.pki import certificates
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock
from tests.sandbox.apns.kit import TOPIC, curl, run


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
