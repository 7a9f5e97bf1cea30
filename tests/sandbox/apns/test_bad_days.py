"""The stand-in as Apple on a bad day: it stalls, refuses one token or topic, and knows revoked and other certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates
from bramley.pki.keys import PrivateKey
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import NULL, PUSH_SERVICE, SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.kept_files import key_pem
from tests.sandbox.apns.kit import TOPIC, curl

Identity = Callable[[str], Path]
BAD_CERTIFICATE = (403, {"reason": "BadCertificate"})


async def test_a_stall_holds_answers_and_deliveries_until_it_ends(identity: Identity, apns: APNs) -> None:
    token = await apns.courier.register(TOPIC)
    arrived = asyncio.create_task(apns.courier.wait(token))
    apns.stall()
    pushes = [asyncio.create_task(curl(identity(TOPIC), apns, token)) for _ in range(2)]
    while apns.connections_opened < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in (*pushes, arrived))
    assert (apns.accepted, apns.refused) == (0, {})
    apns.resume_answers()
    assert [(await push)[0] for push in pushes] == [200, 200]
    assert await asyncio.wait_for(arrived, 5) == {"mdm": "magic"}
    assert apns.accepted == 2
    assert (await curl(identity(TOPIC), apns, token))[0] == 200


async def test_a_client_that_loses_patience_leaves_nothing_behind(identity: Identity, apns: APNs) -> None:
    token = await apns.courier.register(TOPIC)
    apns.stall()
    with pytest.raises((ValueError, AssertionError)):  # curl has no status to tell of
        await curl(identity(TOPIC), apns, token, "--max-time", "0.5")
    apns.resume_answers()
    assert (apns.accepted, apns.delivered) == (0, 0)


async def test_stopping_ends_a_stall_with_answers(identity: Identity, apns: APNs) -> None:
    token = await apns.courier.register(TOPIC)
    apns.stall()
    push = asyncio.create_task(curl(identity(TOPIC), apns, token))
    while apns.connections_opened < 1:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    await asyncio.wait_for(apns.stop(), 5)
    assert (await push)[0] == 200


async def test_one_token_or_one_topic_is_refused_until_it_is_not(identity: Identity, apns: APNs, clock: ShiftedClock) -> None:
    first, second = [await apns.courier.register(TOPIC) for _ in range(2)]
    path = identity(TOPIC)
    apns.refuse_token(first, "TooManyRequests")
    assert (await curl(path, apns, first))[::2] == (429, {"reason": "TooManyRequests"})
    assert (await curl(path, apns, second))[0] == 200
    before = int(clock.now().timestamp() * 1000)
    apns.refuse_token(first, "ExpiredToken")
    status, _, said = await curl(path, apns, first)
    assert (status, said["reason"]) == (410, "ExpiredToken")
    assert before <= int(said["timestamp"]) <= before + 1000
    apns.refuse_token(first, None)
    assert (await curl(path, apns, first))[0] == 200
    apns.refuse_topic(TOPIC, "ServiceUnavailable", retry_after=7)
    for token in (first, second):
        assert (await curl(path, apns, token))[::2] == (503, {"reason": "ServiceUnavailable"})
    await curl(path, apns, first, "-D", str(path.parent / "headers"))
    assert "retry-after: 7" in (path.parent / "headers").read_text()
    apns.refuse_topic(TOPIC, None)
    assert (await curl(path, apns, first))[0] == 200
    assert apns.refused == {"TooManyRequests": 1, "ExpiredToken": 1, "ServiceUnavailable": 3}


async def test_a_revoked_certificate_and_its_successor(identity: Identity, apns: APNs) -> None:
    token = await apns.courier.register(TOPIC)
    for name in (certificates.sha256, lambda certificate: certificate.serial_number):
        path = identity(TOPIC)
        assert (await curl(path, apns, token))[0] == 200
        apns.revoke(name(certificates.load_chain(path.read_bytes())[0]))
        assert (await curl(path, apns, token))[::2] == BAD_CERTIFICATE
    assert (await curl(identity(TOPIC), apns, token))[0] == 200


def spoiled(
    kind: str, ca: SandboxAppleCA, key: rsa.RSAPublicKey, clock: ShiftedClock
) -> tuple[x509.Certificate, x509.Certificate]:
    """A certificate under the sandbox's root that is not for pushes, and its issuer."""
    now = clock.now()
    if kind == "vendor":
        return ca.issue_vendor_certificate(key, organization="x", now=now), ca.wwdr["G3"].certificate
    topic = x509.NameAttribute(x509.NameOID.USER_ID, TOPIC)
    issuer, issuer_key = ca.intermediate, ca.intermediate_key
    if kind == "other-issuer":
        issuer, issuer_key = ca.wwdr["G4"].certificate, ca.wwdr["G4"].key
    uids = {"no-topic": [], "two-topics": [topic, x509.NameAttribute(x509.NameOID.USER_ID, new_topic())]}.get(kind, [topic])
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*uids, x509.NameAttribute(x509.NameOID.COMMON_NAME, "APSP:x")]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
    if kind != "no-extension":
        builder = builder.add_extension(x509.UnrecognizedExtension(PUSH_SERVICE, NULL), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()), issuer


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("as-it-should-be", (200, {})),
        *((kind, BAD_CERTIFICATE) for kind in ("vendor", "other-issuer", "no-extension", "no-topic", "two-topics")),
    ],
)
async def test_a_certificate_that_is_not_for_pushes(
    kind: str,
    answer: object,
    apns: APNs,
    apple_ca: SandboxAppleCA,
    push_key: PrivateKey,
    clock: ShiftedClock,
    tmp_path: Path,
) -> None:
    public = push_key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    certificate, issuer = spoiled(kind, apple_ca, public, clock)
    path = tmp_path / "push.pem"
    path.write_bytes(certificates.pem(certificate) + certificates.pem(issuer) + key_pem(push_key))
    (tmp_path / "root.pem").write_bytes(apple_ca.root_pem)
    assert (await curl(path, apns, await apns.courier.register(TOPIC)))[::2] == answer
