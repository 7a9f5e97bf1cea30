"""What the server makes, before portals that share no code with it: each route to a push certificate, from key to topic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple import push_certificate as push
from bramley.pki import certificates, pkcs12
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals import AES_256, TRIPLE_DES, MdmcertServer, SandboxApple, UploadRefused
from tests.conftest import NOW, SetClock
from tests.sandbox.portals.kit import ACCOUNT, DEVELOPER

EMAIL = "mdm@orchard.example"


@pytest.fixture
def roots(apple: SandboxAppleCA) -> frozenset[str]:
    return frozenset({certificates.sha256(apple.root)})


@pytest.mark.parametrize("generation", ["G3", "G4"])
def test_the_vendors_own_way(
    generation: str,
    portals: SandboxApple,
    apple: SandboxAppleCA,
    roots: frozenset[str],
    vendor_key: rsa.RSAPrivateKey,
    customer_key: rsa.RSAPrivateKey,
    clock: SetClock,
) -> None:
    asked = push.customer_request(vendor_key, common_name="bramley-vendor", email=EMAIL)
    cer = portals.developer.issue_vendor(DEVELOPER, asked.public_bytes(Encoding.PEM), generation=generation)
    vendor = push.vendor_identity(certificates.load(cer), vendor_key, NOW)
    known = [apple.wwdr["G4"].certificate, apple.root, apple.wwdr["G3"].certificate]
    chain = push.build_chain(vendor.certificate, known, roots=roots, now=NOW)
    csr = push.customer_request(customer_key, common_name="mdm-push", email=EMAIL)
    file = push.sign_request(csr, vendor, chain, roots=roots, now=NOW).to_file()
    first = push.check(portals.identity.create(ACCOUNT, file), customer_key, NOW)
    clock.moment += timedelta(days=300)
    renewed = push.check(portals.identity.renew(ACCOUNT, first.topic, file), customer_key, clock.now())
    assert renewed.topic == first.topic


def test_profile_managers_way(portals: SandboxApple) -> None:
    mac = portals.server_app("mac")
    mac.turn_on(ACCOUNT)
    found = pkcs12.read(mac.export("secret"), "secret")
    assert push.check(found.certificate, found.key, NOW).topic == mac.topic


@pytest.mark.parametrize("cipher", [AES_256, TRIPLE_DES])
@pytest.mark.parametrize("line_breaks", [False, True])
async def test_mdmcert_downloads_way(
    cipher: str,
    line_breaks: bool,
    portals: SandboxApple,
    apple_ca: SandboxAppleCA,
    vendor_key: rsa.RSAPrivateKey,
    customer_key: rsa.RSAPrivateKey,
) -> None:
    portals.mdmcert.register(EMAIL)
    portals.mdmcert.cipher, portals.mdmcert.line_breaks = cipher, line_breaks
    encryption = push.encryption_certificate(vendor_key, NOW)
    csr = push.customer_request(customer_key, common_name="mdm-push", email=EMAIL)
    body = push.sign_request_body(csr, encryption, email=EMAIL, client_key=portals.mdmcert.client_key("bramley"))
    strange = push.sign_request_body(csr, encryption, email=EMAIL, client_key="0" * 64)
    server = MdmcertServer(apple_ca, portals.mdmcert.answer)
    await server.start(certificate_from=datetime.now(UTC))
    try:
        await push.submit(body, url=server.url, ca_pem=apple_ca.root_pem)
        with pytest.raises(push.MdmcertRefused, match="client key is unknown"):
            await push.submit(strange, url=server.url, ca_pem=apple_ca.root_pem)
    finally:
        await server.stop()
    (mail,) = portals.mdmcert.mail(EMAIL)
    file = push.decrypt(mail.body.encode(), [(encryption, vendor_key)])
    push.check(portals.identity.create(ACCOUNT, file), customer_key, NOW)


def test_both_refuse_the_vendor_certificate_that_nobody_renewed(
    portals: SandboxApple, roots: frozenset[str], vendor_key: rsa.RSAPrivateKey, customer_key: rsa.RSAPrivateKey
) -> None:
    """The portal's word, and ours before anybody goes there."""
    portals.mdmcert.register(EMAIL)
    portals.mdmcert.vendor.neglect()
    encryption = push.encryption_certificate(vendor_key, NOW)
    csr = push.customer_request(customer_key, common_name="mdm-push", email=EMAIL)
    portals.mdmcert.answer(push.sign_request_body(csr, encryption, email=EMAIL, client_key=portals.mdmcert.client_key("bramley")))
    file = push.decrypt(portals.mdmcert.mail(EMAIL)[0].body.encode(), [(encryption, vendor_key)])
    with pytest.raises(UploadRefused, match="signing certificate is expired"):
        portals.identity.create(ACCOUNT, file)
    with pytest.raises(push.PushCertificateError, match="expired"):
        push.verify_request(push.read_request(file), roots=roots, now=NOW)
