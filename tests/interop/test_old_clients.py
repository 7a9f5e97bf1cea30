"""A POST that repeats its message in the query, up to request lines of 8 kB: what clients older than RFC 8894 send."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import AttributeOID

from bramley.clock import SystemClock
from bramley.pki import certificates, names
from bramley.pki.scep import enrollment
from tests.interop.kit import Challenge, Server

PATH = "/scep?operation=PKIOperation"


def http(server: Server) -> httpx2.AsyncClient:
    context = ssl.create_default_context(cafile=server.root)
    return httpx2.AsyncClient(base_url=f"https://localhost:{server.port}", verify=context, trust_env=False)


def message(server: Server, key_file: Path, challenge: Challenge, names_in_csr: int = 1) -> enrollment.Enrollment:
    """SHA-1 and triple DES; more names make it longer."""
    key = load_pem_private_key(key_file.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    sans = x509.SubjectAlternativeName([x509.DNSName(f"name-{number}.example.test") for number in range(names_in_csr)])
    request = (
        x509.CertificateSigningRequestBuilder(names.make("old device"))
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.secret.encode())
        .add_extension(sans, critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    now = SystemClock().now()
    ca = server.service.live.current().authorities.identity.authority.certificate
    signer = enrollment.temporary_signer(key, names.make("old device"), now=now)
    return enrollment.request(request, signer=signer, ca=ca, now=now, digest="sha1", cipher="des-ede3-cbc")


def in_query(octets: bytes) -> str:
    return f"{PATH}&message={quote(base64.b64encode(octets), safe='')}"


async def test_a_post_may_repeat_its_message_in_a_query_of_8_kb(lenient: Server, tmp_path: Path, device_key: Path) -> None:
    challenge = await lenient.challenge()
    sent = message(lenient, device_key, challenge, names_in_csr=142)
    target = in_query(sent.message)
    assert 7_500 < len(target) < 8_192

    async with http(lenient) as client:
        answer = await client.post(target, content=sent.message)

    issued = enrollment.accept(answer.content, sent, now=SystemClock().now())
    (tmp_path / "cert.pem").write_bytes(certificates.pem(issued[0]))
    await lenient.judge(tmp_path / "cert.pem", device_key, challenge)


async def test_without_leave_it_is_refused_and_the_challenge_stays_good(server: Server, device_key: Path) -> None:
    challenge = await server.challenge()
    sent = message(server, device_key, challenge)

    async with http(server) as client:
        refused = await client.post(in_query(sent.message), content=sent.message)
        assert (refused.status_code, refused.content) == (400, b"")
        assert await server.spent_on(challenge) is None

        assert enrollment.accept((await client.post(PATH, content=sent.message)).content, sent, now=SystemClock().now())


@pytest.mark.parametrize("other", [b"another message", b""], ids=["another", "none that can be read"])
async def test_two_messages_in_one_request_are_refused(lenient: Server, device_key: Path, other: bytes) -> None:
    challenge = await lenient.challenge()
    sent = message(lenient, device_key, challenge)
    target = in_query(other) if other else f"{PATH}&message=%00"

    async with http(lenient) as client:
        assert (await client.post(target, content=sent.message)).status_code == 400

    assert await lenient.spent_on(challenge) is None


async def test_a_message_beyond_the_request_line_has_to_be_posted(server: Server, device_key: Path) -> None:
    challenge = await server.challenge()
    sent = message(server, device_key, challenge, names_in_csr=160)

    async with http(server) as client:
        assert (await client.get(in_query(sent.message))).status_code == 414
        assert (await client.post(PATH, content=sent.message)).status_code == 200

    assert await server.spent_on(challenge) is not None
