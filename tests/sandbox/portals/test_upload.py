"""What Apple's portal checks of an uploaded request: one part spoiled at a time, each refused with its own words."""

from __future__ import annotations

import base64
import plistlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push.topic import topic_of
from bramley.pki import certificates
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals import SandboxApple, UploadRefused
from bramley.sandbox.portals.errors import SIGNATURE_INVALID
from bramley.sandbox.portals.vendors import rsa_key
from tests.conftest import NOW, SetClock
from tests.sandbox.portals.kit import ACCOUNT, DEVELOPER, Request, openssl

Spoil = Callable[[Request], bytes]


def text(key: str, value: Callable[[Request], str] | str | bytes | None) -> Spoil:
    """The file with another text under a key."""

    def spoil(request: Request) -> bytes:
        request.texts[key] = value(request) if callable(value) else value
        return request.file

    return spoil


def chain(*order: int, more: Callable[[str], str] = lambda pem: pem) -> Spoil:
    """The file with these certificates of the chain, the text changed by `more`."""

    def spoil(request: Request) -> bytes:
        request.chain = [request.chain[index] for index in order]
        request.texts["PushCertCertificateChain"] = more(request.pem)
        return request.file

    return spoil


def csr(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None,
    change: Callable[[bytes], bytes] = lambda der: der,
) -> Spoil:
    """The file with a request for another key, changed, and the vendor's good signature over that."""

    def spoil(request: Request) -> bytes:
        if key is not None:
            builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
            request.csr = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        request.csr = change(request.csr)
        return request.file

    return spoil


def rewrapped(columns: int) -> Callable[[str], str]:
    def rewrap(pem: str) -> str:
        blocks = []
        for certificate in x509.load_pem_x509_certificates(pem.encode()):
            body = base64.b64encode(certificates.der(certificate)).decode()
            lines = [body[at : at + columns] for at in range(0, len(body), columns)]
            blocks.append("\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----\n"]))
        return "".join(blocks)

    return rewrap


def signed_by(key: rsa.RSAPrivateKey) -> Spoil:
    def spoil(request: Request) -> bytes:
        request.signing_key = key
        return request.file

    return spoil


def sha_1(request: Request) -> bytes:
    request.digest = hashes.SHA1()
    return request.file


def sha_1_csr(request: Request) -> bytes:
    """Self-signed with SHA-1, which only openssl still does."""
    pem = openssl("req", "-new", "-sha1", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=x")
    request.csr = x509.load_pem_x509_csr(pem.encode()).public_bytes(Encoding.DER)
    return request.file


def another_csr(request: Request) -> bytes:
    """The signature is good, and over the request of somebody else."""
    request.texts["PushCertSignature"] = base64.b64encode(request.signature).decode()
    request.csr = request.csr[:-1] + bytes([request.csr[-1] ^ 1])
    return request.file


def pss(request: Request) -> str:
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return base64.b64encode(request.signing_key.sign(request.csr, scheme, hashes.SHA256())).decode()


def over_pem(request: Request) -> str:
    pem = x509.load_der_x509_csr(request.csr).public_bytes(Encoding.PEM)
    return base64.b64encode(request.signing_key.sign(pem, padding.PKCS1v15(), hashes.SHA256())).decode()


def pem_csr(request: Request) -> str:
    return base64.b64encode(x509.load_der_x509_csr(request.csr).public_bytes(Encoding.PEM)).decode()


def entity(request: Request) -> bytes:
    return base64.b64encode(request.xml.replace(b"<plist", b'<!DOCTYPE x [<!ENTITY a "b">]><plist'))


WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
CHAIN, CSR, SIGNATURE = "PushCertCertificateChain", "PushCertRequestCSR", "PushCertSignature"
NO_PLIST, NO_CHAIN, NOT_LED = "not an XML property list in base64", "have 64 characters", "does not lead to Apple's root"

SPOILED: dict[str, tuple[Spoil, str]] = {
    "empty": (lambda _: b"", NO_PLIST),
    "xml": (lambda request: request.xml, "file is not in base64"),
    "html": (lambda _: base64.b64encode(b"<html>no</html>"), NO_PLIST),
    "binary-plist": (lambda r: base64.b64encode(plistlib.dumps(plistlib.loads(r.xml), fmt=plistlib.FMT_BINARY)), NO_PLIST),
    "truncated-base64": (lambda request: request.file[:-3], "file is not in base64"),
    "truncated-xml": (lambda request: base64.b64encode(request.xml[:-30]), NO_PLIST),
    "array": (lambda _: base64.b64encode(plistlib.dumps([])), NO_PLIST),
    "entity": (entity, NO_PLIST),
    "huge": (lambda request: request.file + b"\n" * 300_000, "too large"),
    "blanks": (lambda request: request.file[:64] + b" " + request.file[64:], "file is not in base64"),
    **{f"no-{key}": (text(key, None), f"lacks {key}") for key in (CHAIN, CSR, SIGNATURE)},
    **{f"data-{key}": (text(key, b"data"), f"lacks {key}") for key in (CHAIN, CSR, SIGNATURE)},
    "csr-no-base64": (text(CSR, "§"), "request is not in base64"),
    "csr-for-another-signature": (another_csr, "signature is invalid"),
    "csr-pem": (text(CSR, pem_csr), "signature is invalid"),
    "csr-pem-signed": (csr(None, lambda der: x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)), "not in DER"),
    "csr-truncated": (csr(None, lambda der: der[:-1]), "not a valid certificate signing request"),
    "csr-trailing": (csr(None, lambda der: der + b"\0"), "not a valid certificate signing request"),
    "csr-self-signature": (csr(None, lambda der: der[:-1] + bytes([der[-1] ^ 1])), "not signed by its own key"),
    "csr-1024": (csr(WEAK), "2048 bits"),
    "csr-sha-1": (sha_1_csr, "too weak"),
    "csr-ec": (csr(ec.generate_private_key(ec.SECP256R1())), "RSA key"),
    "signature-no-base64": (text(SIGNATURE, "="), "signature is not in base64"),
    "signature-empty": (text(SIGNATURE, ""), "signature is invalid"),
    "signature-sha-1": (sha_1, "signature is invalid"),
    "signature-pss": (text(SIGNATURE, pss), "signature is invalid"),
    "signature-over-pem": (text(SIGNATURE, over_pem), "signature is invalid"),
    "signature-by-another": (signed_by(WEAK), "signature is invalid"),
    "chain-empty": (text(CHAIN, ""), "not complete"),
    "chain-without-root": (chain(0, 1), "not complete"),
    "chain-without-intermediate": (chain(0, 2), "not complete"),
    "chain-twice-the-root": (chain(0, 1, 2, 2), "not complete"),
    "chain-root-first": (chain(2, 1, 0), NOT_LED),
    "chain-intermediate-twice": (chain(0, 1, 1), NOT_LED),
    "chain-no-leaf": (chain(2, 1, 2), "not issued by the intermediate"),
    "chain-one-line": (chain(0, 1, 2, more=rewrapped(100_000)), NO_CHAIN),
    "chain-76-columns": (chain(0, 1, 2, more=rewrapped(76)), NO_CHAIN),
    "chain-63-columns": (chain(0, 1, 2, more=rewrapped(63)), NO_CHAIN),
    "chain-blank-lines": (chain(0, 1, 2, more=lambda pem: pem.replace("-----END", "\n-----END")), NO_CHAIN),
    "chain-text-before": (chain(0, 1, 2, more=lambda pem: "subject=x\n" + pem), NO_CHAIN),
    "chain-text-after": (chain(0, 1, 2, more=lambda pem: pem + "x"), NO_CHAIN),
    "chain-no-certificate": (text(CHAIN, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), "no certificate"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_each_spoiled_part_has_its_words(name: str, portals: SandboxApple, request_for: Callable[..., Request]) -> None:
    spoil, words = SPOILED[name]
    topic = topic_of(portals.identity.create(ACCOUNT, request_for().file))
    file = spoil(request_for())
    uploads: tuple[Callable[[], object], ...] = (
        lambda: portals.identity.create(ACCOUNT, file),
        lambda: portals.identity.renew(ACCOUNT, topic, file),
    )
    for upload in uploads:
        with pytest.raises(UploadRefused, match=words) as refused:
            upload()
        assert refused.value.code == (SIGNATURE_INVALID if "signature is invalid" in words else None)
    (only,) = portals.identity.list(ACCOUNT)
    assert len(only.issued) == 1


@pytest.mark.parametrize(
    "wrap", [lambda file: file, lambda file: file + b"\n", base64.encodebytes, lambda file: b"\r\n".join((file[:76], file[76:]))]
)
def test_one_line_and_wrapped_base64_are_taken(
    wrap: Callable[[bytes], bytes], portals: SandboxApple, request_for: Callable[..., Request], customer_key: rsa.RSAPrivateKey
) -> None:
    request = request_for()
    file = base64.b64encode(request.xml) if wrap is not base64.encodebytes else request.xml
    issued = portals.identity.create(ACCOUNT, wrap(file))
    assert certificates.matches(issued, customer_key.public_key())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ({"organization": "x", "now": NOW - timedelta(days=366)}, "signing certificate is expired"),
        ({"organization": "x", "now": NOW + timedelta(days=2)}, "not valid yet"),
        ({"organization": "x", "now": NOW, "generation": "G4"}, "not issued by the intermediate"),
    ],
)
def test_a_vendor_certificate_out_of_date_or_of_the_other_generation(
    make: dict[str, object], words: str, portals: SandboxApple, apple: SandboxAppleCA, request_for: Callable[..., Request]
) -> None:
    request = request_for()
    request.chain[0] = apple.issue_vendor_certificate(request.signing_key.public_key(), **make)  # type: ignore[arg-type]
    with pytest.raises(UploadRefused, match=words):
        portals.identity.create(ACCOUNT, request.file)


def test_the_last_second_of_a_vendor_certificate(
    portals: SandboxApple, vendor: x509.Certificate, clock: SetClock, request_for: Callable[..., Request]
) -> None:
    request = request_for()
    clock.moment = vendor.not_valid_after_utc
    portals.identity.create(ACCOUNT, request.file)
    clock.moment += timedelta(seconds=1)
    with pytest.raises(UploadRefused, match="expired"):
        portals.identity.create(ACCOUNT, request.file)


def test_a_revoked_vendor_certificate(
    portals: SandboxApple, vendor: x509.Certificate, request_for: Callable[..., Request]
) -> None:
    portals.developer.revoke(DEVELOPER, vendor)
    with pytest.raises(UploadRefused, match="revoked"):
        portals.identity.create(ACCOUNT, request_for().file)


def test_certificates_of_another_apple_or_for_something_else(
    portals: SandboxApple, apple: SandboxAppleCA, clock: SetClock, request_for: Callable[..., Request]
) -> None:
    request, key = request_for(), rsa_key()
    stranger = SandboxAppleCA.make(clock.now())
    request.chain = [*stranger.vendor_chain(stranger.issue_vendor_certificate(key.public_key(), organization="x", now=NOW))]
    request.signing_key = key
    with pytest.raises(UploadRefused, match="does not lead to Apple's root"):
        portals.identity.create(ACCOUNT, request.file)
    request.chain[2] = apple.root
    with pytest.raises(UploadRefused, match="does not lead to Apple's root"):
        portals.identity.create(ACCOUNT, request.file)
    issuer = apple.wwdr["G3"]
    plain = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Apple Development: x")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .sign(issuer.key, hashes.SHA256())
    )
    request.chain = [plain, issuer.certificate, apple.root]
    with pytest.raises(UploadRefused, match="not an MDM vendor certificate"):
        portals.identity.create(ACCOUNT, request.file)
    for weak in (ec.generate_private_key(ec.SECP256R1()).public_key(), WEAK.public_key()):
        request.chain[0] = apple.issue_vendor_certificate(weak, organization="x", now=NOW)
        with pytest.raises(UploadRefused, match="not for an RSA key of 2048"):
            portals.identity.create(ACCOUNT, request.file)
