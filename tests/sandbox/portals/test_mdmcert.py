"""mdmcert.download over real HTTPS: what it mails, who may open it, and its words for everything else."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push.topic import topic_of
from bramley.pki import certificates, cms, csr
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.kept_files import key_pem
from bramley.sandbox.portals import AES_256, TRIPLE_DES, MdmcertServer, SandboxApple, UploadRefused
from bramley.sandbox.portals.vendors import new_csr
from tests.conftest import NOW, SetClock
from tests.sandbox.portals.kit import ACCOUNT, openssl

ADDRESS = "mdm@orchard.example"


def self_signed(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "encryption")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, NOW + timedelta(days=365))
    return builder.sign(key, hashes.SHA256())


@pytest.fixture(scope="session")
def recipient(vendor_key: rsa.RSAPrivateKey) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """Whom the service encrypts to. Any key will do."""
    return self_signed(vendor_key), vendor_key


@pytest.fixture
def body(
    portals: SandboxApple, customer_key: rsa.RSAPrivateKey, recipient: tuple[x509.Certificate, rsa.RSAPrivateKey]
) -> dict[str, Any]:
    """A request as the service wants it, from a registered organization."""
    portals.mdmcert.register(ADDRESS)
    pem = x509.load_der_x509_csr(new_csr(customer_key, "push")).public_bytes(Encoding.PEM)
    return {
        "csr": base64.b64encode(pem).decode(),
        "email": ADDRESS,
        "key": portals.mdmcert.client_key("bramley"),
        "encrypt": base64.b64encode(certificates.pem(recipient[0])).decode(),
    }


@pytest.fixture
async def server(portals: SandboxApple, apple_ca: SandboxAppleCA) -> AsyncIterator[MdmcertServer]:
    """The service's web server, with a certificate that is valid by the machine's clock."""
    made = MdmcertServer(apple_ca, portals.mdmcert.answer)
    await made.start(certificate_from=datetime.now(UTC))
    yield made
    await made.stop()


@pytest.fixture
async def http(apple_ca: SandboxAppleCA) -> AsyncIterator[httpx2.AsyncClient]:
    context = ssl.create_default_context(cadata=apple_ca.root_pem.decode())
    async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
        yield client


async def test_a_round_trip(
    portals: SandboxApple,
    server: MdmcertServer,
    http: httpx2.AsyncClient,
    body: dict[str, Any],
    recipient: tuple[x509.Certificate, rsa.RSAPrivateKey],
    customer_key: rsa.RSAPrivateKey,
) -> None:
    answer = await http.post(server.url, json=body)
    assert (answer.status_code, answer.json()) == (200, {"result": "success"})
    (mail,) = portals.mdmcert.mail(ADDRESS)
    assert mail.filename == "mdm_signed_request.20261124_120000_1.plist.b64.p7"
    certificate, key = recipient
    opened = cms.decrypt(bytes.fromhex(mail.body), key=key, certificate=certificate)
    assert opened.cipher == AES_256
    issued = portals.identity.create(ACCOUNT, opened.content)
    assert topic_of(issued).startswith("com.apple.mgmt.External.")
    assert certificates.matches(issued, customer_key.public_key())
    await http.post(server.url, json=body)
    assert portals.mdmcert.mail(ADDRESS)[1].filename.endswith("_2.plist.b64.p7")


async def test_other_paths_methods_and_sizes(server: MdmcertServer, http: httpx2.AsyncClient) -> None:
    assert (await http.get(server.url)).status_code == 405
    assert (await http.post(server.url + "s", json={})).status_code == 404
    assert (await http.post(server.url, content=b"x" * 300_000)).status_code == 413


async def test_a_stranger_does_not_trust_the_server(server: MdmcertServer) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
            await client.post(server.url, json={})


@pytest.mark.parametrize("cipher", [AES_256, TRIPLE_DES])
@pytest.mark.parametrize("line_breaks", [False, True])
def test_openssl_opens_a_mail(
    cipher: str,
    line_breaks: bool,
    portals: SandboxApple,
    body: dict[str, Any],
    recipient: tuple[x509.Certificate, rsa.RSAPrivateKey],
    tmp_path: Path,
) -> None:
    portals.mdmcert.cipher, portals.mdmcert.line_breaks = cipher, line_breaks
    assert portals.mdmcert.answer(json.dumps(body).encode()) == {"result": "success"}
    (mail,) = portals.mdmcert.mail(ADDRESS)
    lines = mail.body.split("\n")
    assert (len(lines) > 10, max(map(len, lines)) == 76) == (line_breaks, line_breaks)
    (tmp_path / "key.pem").write_bytes(key_pem(recipient[1]))
    (tmp_path / "certificate.pem").write_bytes(certificates.pem(recipient[0]))
    der = bytes.fromhex(mail.body)
    assert cipher in openssl("cms", "-cmsout", "-print", "-inform", "DER", stdin=der)
    who = ("-recip", tmp_path / "certificate.pem", "-inkey", tmp_path / "key.pem", "-out", tmp_path / "out", "-binary")
    openssl("cms", "-decrypt", "-inform", "DER", *who, stdin=der)
    portals.identity.create(ACCOUNT, (tmp_path / "out").read_bytes())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


EC_KEY = ec.generate_private_key(ec.SECP256R1())
EC_CSR = x509.load_der_x509_csr(csr.build(EC_KEY, x509.Name([]))).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *[({name: value}, f"lacks {name}") for name in ("csr", "email", "key", "encrypt") for value in (None, 7)],
        ({"key": "0" * 64}, "client key is unknown"),
        ({"email": "other@orchard.example"}, "not registered"),
        ({"csr": "%"}, "csr is not the base64 of a PEM text"),
        ({"csr": b64(csr.build(EC_KEY, x509.Name([])))}, "csr is not the base64 of a PEM text"),
        ({"csr": b64(EC_CSR)}, "RSA key of 2048"),
        ({"csr": b64(b"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n")}, "not a valid"),
        ({"encrypt": b64(b"nothing")}, "encrypt is not the base64 of a PEM text"),
        ({"encrypt": b64(b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")}, "certificates"),
        ({"encrypt": b64(certificates.pem(self_signed(EC_KEY)))}, "not RSA"),
    ],
)
def test_a_failure_says_why_and_mails_nothing(
    change: dict[str, Any], reason: str, portals: SandboxApple, body: dict[str, Any]
) -> None:
    said = portals.mdmcert.answer(json.dumps({**body, **change}).encode())
    assert said["result"] == "failure"
    assert reason in said["reason"]
    assert portals.mdmcert.every_mail() == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(raw: bytes, portals: SandboxApple) -> None:
    assert portals.mdmcert.answer(raw) == {"result": "failure", "reason": "The request is not a JSON object."}


def test_a_neglected_vendor_certificate(
    portals: SandboxApple, body: dict[str, Any], recipient: tuple[x509.Certificate, rsa.RSAPrivateKey], clock: SetClock
) -> None:
    def ask() -> bytes:
        assert portals.mdmcert.answer(json.dumps(body).encode()) == {"result": "success"}
        mail = bytes.fromhex(portals.mdmcert.mail(ADDRESS)[-1].body)
        return cms.decrypt(mail, key=recipient[1], certificate=recipient[0]).content

    portals.mdmcert.vendor.neglect()
    with pytest.raises(UploadRefused, match="signing certificate is expired"):
        portals.identity.create(ACCOUNT, ask())
    portals.mdmcert.vendor.attend()
    portals.identity.create(ACCOUNT, ask())
    clock.moment += timedelta(days=366)
    portals.identity.create(ACCOUNT, ask())


def test_each_program_has_a_key_of_its_own(portals: SandboxApple) -> None:
    keys = [portals.mdmcert.client_key(product) for product in ("bramley", "other", "bramley")]
    assert keys[0] == keys[2] != keys[1]
    assert len(bytes.fromhex(keys[0])) == 32
