"""The customer's request, the vendor's signature, and everything for which Apple would refuse it."""

from __future__ import annotations

import base64
import plistlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import csr as asn1_csr
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push_certificate import (
    BadApplicant,
    BadChain,
    MissingIssuer,
    NotAVendorCertificate,
    PushCertificateError,
    RequestRefused,
    SignedRequest,
    VendorExpired,
    VendorKeyNotRSA,
    VendorNotYetValid,
    customer_request,
    sign_request,
    vendor_identity,
    verify_request,
)
from bramley.errors import BadInput
from bramley.pki import certificates
from tests.apple.push_certificate.conftest import KeyOf, OpenSSL
from tests.apple.push_certificate.making import (
    DAY,
    LEAF,
    MARK,
    YEAR,
    AppleLike,
    Issued,
    authority,
    certify,
    name,
    signed_with_sha1,
)
from tests.conftest import NOW


def der(csr: x509.CertificateSigningRequest) -> bytes:
    return csr.public_bytes(Encoding.DER)


def test_the_request_has_the_customary_form(csr: x509.CertificateSigningRequest, rsa_key: KeyOf) -> None:
    read = asn1_csr.CertificationRequest.load(der(csr), strict=True)
    info = read["certification_request_info"]
    attributes = [(each[0]["type"].dotted, each[0]["value"]) for each in info["subject"].chosen]
    assert [(oid, value.chosen.native if hasattr(value, "chosen") else value.native) for oid, value in attributes] == [
        ("2.5.4.6", "DE"),
        ("2.5.4.3", "Orchard School"),
        ("1.2.840.113549.1.9.1", "mdm@orchard.example"),
    ]
    assert der(csr).count(b"\x16\x13mdm@orchard.example") == 1  # IA5String
    assert info["version"].native == "v1"
    assert not info["attributes"].native
    assert read["signature_algorithm"]["algorithm"].native == "sha256_rsa"
    assert csr.public_key() == rsa_key("customer").public_key()
    assert csr.is_signature_valid


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *[({"email": email}, "one mail address") for email in ("", "orchard", "a@b", "a@b.example,c@d.example", "a b@c.example")],
        *[({"email": email}, "one mail address") for email in ("a@@b.example", "a.@b.example", "a..b@c.example", "ä@b.example")],
        *[
            ({"email": email}, "one mail address")
            for email in ("a@-b.example", "a@b.example\n", "<a@b.example>", "\u212a@b.example")
        ],
        ({"email": f"{'a' * 65}@b.example"}, "one mail address"),
        ({"email": ".a@b.example"}, "one mail address"),
        ({"email": f"{'a' * 64}@{'b.' * 91}examples"}, "one mail address"),  # 255 octets
        *[({"country": country}, "two letters") for country in ("", "D", "DEU", "1A", "ﬁ", "DE\n")],
        *[({"common_name": text}, "1 to 64 printable") for text in ("", "  ", "a" * 65, "ü" * 33, "a\nb", "a\0", "\ud800")],
    ],
)
def test_what_no_request_is_made_with(rsa_key: KeyOf, changes: dict[str, str], said: str) -> None:
    given: dict[str, Any] = {"common_name": "Orchard", "email": "mdm@orchard.example", **changes}
    with pytest.raises(BadApplicant, match=said):
        customer_request(rsa_key("customer"), **given)


def test_the_longest_address_and_name_that_fit(rsa_key: KeyOf) -> None:
    email = f"{'a' * 64}@{'b.' * 91}example"
    made = customer_request(rsa_key("customer"), common_name="ü" * 32, email=email)
    assert len(email) == 254
    assert [each.value for each in made.subject] == ["US", "ü" * 32, email]


def test_only_strong_rsa_keys_make_requests(rsa_key: KeyOf) -> None:
    for key, said in ((ec.generate_private_key(ec.SECP256R1()), "elliptic curve"), (rsa_key("weak", 1024), "1024 bits")):
        with pytest.raises(BadApplicant, match=said):
            customer_request(key, common_name="Orchard", email="mdm@orchard.example")


def test_openssl_alone_accepts_the_file(signed: SignedRequest, apple_like: AppleLike, openssl: OpenSSL, tmp_path: Path) -> None:
    """What Apple does, with none of our code and none of the library beneath it."""
    (tmp_path / "upload").write_bytes(signed.to_file())
    openssl("base64", "-d", "-A", "-in", tmp_path / "upload", "-out", tmp_path / "plist")
    strings = re.findall(r"<key>(\w+)</key>\s*<string>([^<]*)</string>", (tmp_path / "plist").read_text("ascii"))
    parts = dict(strings)
    assert len(strings) == len(parts) == 3
    (tmp_path / "csr.der").write_bytes(base64.b64decode(parts["PushCertRequestCSR"]))
    (tmp_path / "signature").write_bytes(base64.b64decode(parts["PushCertSignature"]))
    blocks = re.findall(
        r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", parts["PushCertCertificateChain"], re.DOTALL
    )
    for block, file in zip(blocks, ("vendor.pem", "wwdr.pem", "root.pem"), strict=True):
        (tmp_path / file).write_text(block)

    assert "OK" in openssl("req", "-verify", "-noout", "-inform", "DER", "-in", tmp_path / "csr.der")
    shown = openssl("req", "-text", "-noout", "-inform", "DER", "-in", tmp_path / "csr.der", "-nameopt", "RFC2253")
    assert "Public-Key: (2048 bit)" in shown
    assert "sha256WithRSAEncryption" in shown
    openssl("x509", "-pubkey", "-noout", "-in", tmp_path / "vendor.pem", "-out", tmp_path / "vendor.pub")
    verify = ("-sha256", "-verify", tmp_path / "vendor.pub", "-signature", tmp_path / "signature", tmp_path / "csr.der")
    assert "Verified OK" in openssl("dgst", *verify)
    chain = ("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "wwdr.pem", tmp_path / "vendor.pem")
    at = ("-attime", int(NOW.timestamp()), "-x509_strict", "-no-CApath", "-no-CAstore")
    assert "OK" in openssl("verify", *at, *chain)
    root = openssl("x509", "-fingerprint", "-sha256", "-noout", "-in", tmp_path / "root.pem")
    assert root.strip().rpartition("=")[2].replace(":", "").lower() in apple_like.roots


def test_a_request_made_by_openssl_can_be_signed(apple_like: AppleLike, rsa_key: KeyOf, openssl: OpenSSL, tmp_path: Path) -> None:
    """Being the vendor for others: their request need not come from us."""
    new = ("-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "csr")
    openssl("req", "-new", *new, "-subj", "/CN=Elsewhere")
    theirs = x509.load_pem_x509_csr((tmp_path / "csr").read_bytes())
    vendor = vendor_identity(apple_like.vendor.certificate, rsa_key("vendor"), NOW)
    made = sign_request(theirs, vendor, apple_like.chain, roots=apple_like.roots, now=NOW)
    assert plistlib.loads(base64.b64decode(made.to_file()))["PushCertRequestCSR"] == base64.b64encode(der(theirs)).decode()


def test_the_chain_must_be_the_vendors_own(apple_like: AppleLike, csr: x509.CertificateSigningRequest, rsa_key: KeyOf) -> None:
    vendor = vendor_identity(apple_like.vendor.certificate, rsa_key("vendor"), NOW)
    for chain in ((), apple_like.chain[1:]):
        with pytest.raises(BadChain, match="does not begin with the vendor certificate"):
            sign_request(csr, vendor, chain, roots=apple_like.roots, now=NOW)
    with pytest.raises(MissingIssuer, match="Orchard Root CA"):
        sign_request(csr, vendor, apple_like.chain[:2], roots=apple_like.roots, now=NOW)


class Cast:
    """What the rows below are made of."""

    def __init__(self, apple_like: AppleLike, signed: SignedRequest, rsa_key: KeyOf) -> None:
        self.apple, self.signed, self.key = apple_like, signed, rsa_key

    def resigned(self, digest: hashes.HashAlgorithm, *, whose: str = "vendor", of: bytes | None = None) -> SignedRequest:
        content = of if of is not None else der(self.signed.csr)
        return replace(self.signed, signature=self.key(whose).sign(content, padding.PKCS1v15(), digest))

    def over(self, csr: x509.CertificateSigningRequest) -> SignedRequest:
        return replace(self.resigned(hashes.SHA256(), of=der(csr)), csr=csr)

    def with_chain(self, *chain: x509.Certificate) -> SignedRequest:
        return replace(self.signed, chain=chain)

    def with_vendor(self, *extensions: x509.ExtensionType, key: Any = None, **dates: Any) -> SignedRequest:
        made = certify(name("MDM Vendor: Other"), key or self.key("vendor"), self.apple.g3, *extensions, **dates)
        return self.with_chain(made.certificate, *self.apple.chain[1:])

    def foreign_root(self) -> SignedRequest:
        root = authority(name("Orchard Root CA"), self.key("other"))
        g3 = authority(self.apple.g3.certificate.subject, self.key("g3"), root)
        return self.with_chain(self.apple.chain[0], g3.certificate, root.certificate)

    def with_g3(self, made: Issued) -> SignedRequest:
        return self.with_chain(self.apple.chain[0], made.certificate, self.apple.chain[2])

    def not_a_ca(self) -> SignedRequest:
        return self.with_g3(certify(self.apple.g3.certificate.subject, self.key("g3"), self.apple.root, LEAF))

    def silent_ca(self) -> SignedRequest:
        """An intermediate that does not say whether it is a CA."""
        return self.with_g3(certify(self.apple.g3.certificate.subject, self.key("g3"), self.apple.root))

    def impostor(self) -> SignedRequest:
        """An intermediate with the name and the key identifier of G3, under the root, and another key."""
        g3 = self.apple.g3.certificate
        builder = x509.CertificateBuilder(g3.issuer, g3.subject, self.key("other").public_key(), 9, NOW - DAY, NOW + DAY)
        for extension in g3.extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        return self.with_g3(Issued(builder.sign(self.key("root"), hashes.SHA256()), self.key("other")))

    def weak_ca(self) -> SignedRequest:
        weak = authority(name("Weak CA"), self.key("weak", 1024), self.apple.root)
        vendor = certify(name("MDM Vendor: Weak"), self.key("vendor"), weak, LEAF, MARK)
        return self.with_chain(vendor.certificate, weak.certificate, self.apple.chain[2])

    def not_for_certificates(self) -> SignedRequest:
        subject = self.apple.g3.certificate.subject
        return self.with_g3(authority(subject, self.key("g3"), self.apple.root, signs_certificates=False))

    def expired_ca(self) -> SignedRequest:
        subject = self.apple.g3.certificate.subject
        return self.with_g3(authority(subject, self.key("g3"), self.apple.root, begin=NOW - YEAR, end=NOW - DAY))

    def sha1_vendor(self) -> SignedRequest:
        made = signed_with_sha1(self.apple.vendor, self.key("g3"))
        return self.with_chain(made.certificate, *self.apple.chain[1:])

    def too_deep(self) -> SignedRequest:
        """A CA below one that allows none."""
        lower = authority(name("Lower CA"), self.key("other"), self.apple.g3)
        vendor = certify(name("MDM Vendor: Deep"), self.key("vendor"), lower, LEAF, MARK)
        return self.with_chain(vendor.certificate, lower.certificate, *self.apple.chain[1:])

    def other_csr(self) -> x509.CertificateSigningRequest:
        return customer_request(self.key("other"), common_name="Other", email="mdm@orchard.example")

    def broken_csr(self) -> x509.CertificateSigningRequest:
        changed = der(self.signed.csr).replace(b"Orchard School", b"Orchard Schoof")
        return x509.load_der_x509_csr(changed)

    def csr_for(self, key: Any) -> x509.CertificateSigningRequest:
        return x509.CertificateSigningRequestBuilder(name("Orchard")).sign(key, hashes.SHA256())


EC = ec.generate_private_key(ec.SECP256R1())

REFUSED: dict[str, tuple[Callable[[Cast], SignedRequest], type[PushCertificateError], str]] = {
    "signed with SHA-1": (lambda c: c.resigned(hashes.SHA1()), RequestRefused, "SHA-1"),
    "signed with SHA-512": (lambda c: c.resigned(hashes.SHA512()), RequestRefused, "does not fit"),
    "signed by another key": (lambda c: c.resigned(hashes.SHA256(), whose="other"), RequestRefused, "does not fit"),
    "PEM signed instead of DER": (
        lambda c: c.resigned(hashes.SHA256(), of=c.signed.csr.public_bytes(Encoding.PEM)),
        RequestRefused,
        "does not fit",
    ),
    "another CSR": (lambda c: replace(c.signed, csr=c.other_csr()), RequestRefused, "does not fit"),
    "no signature": (lambda c: replace(c.signed, signature=b""), RequestRefused, "does not fit"),
    "CSR not signed by its key": (lambda c: c.over(c.broken_csr()), RequestRefused, "not signed by its own key"),
    "CSR for an EC key": (lambda c: c.over(c.csr_for(EC)), RequestRefused, "RSA key.*elliptic"),
    "CSR for a weak key": (lambda c: c.over(c.csr_for(c.key("weak", 1024))), RequestRefused, "1024 bits"),
    "no chain": (lambda c: c.with_chain(), BadChain, "no certificate chain"),
    "vendor only": (lambda c: c.with_chain(c.apple.chain[0]), BadChain, "has 1"),
    "no root": (lambda c: c.with_chain(*c.apple.chain[:2]), MissingIssuer, "Orchard Root CA"),
    "no intermediate": (lambda c: c.with_chain(c.apple.chain[0], c.apple.chain[2]), BadChain, "not signed by"),
    "wrong order": (lambda c: c.with_chain(c.apple.chain[0], *c.apple.chain[:0:-1]), MissingIssuer, "Orchard Root CA"),
    "a stranger between": (
        lambda c: c.with_chain(*c.apple.chain[:2], c.apple.g4.certificate, c.apple.chain[2]),
        BadChain,
        "not signed by",
    ),
    "another generation": (
        lambda c: c.with_chain(c.apple.chain[0], c.apple.g4.certificate, c.apple.chain[2]),
        BadChain,
        "not signed by.*G4",
    ),
    "same name, another key": (
        lambda c: c.with_chain(c.apple.chain[0], c.apple.twin.certificate, c.apple.chain[2]),
        BadChain,
        "not signed by",
    ),
    "a root of the same name": (Cast.foreign_root, BadChain, "none of the roots"),
    "an intermediate that is no CA": (Cast.not_a_ca, BadChain, "not a CA"),
    "an intermediate that is silent": (Cast.silent_ca, BadChain, "not a CA"),
    "an impostor with the key identifier of G3": (Cast.impostor, BadChain, "not signed by"),
    "an intermediate with a weak key": (Cast.weak_ca, BadChain, "Weak CA cannot be an issuer.*1024 bits"),
    "an intermediate that may not sign certificates": (Cast.not_for_certificates, BadChain, "not a CA"),
    "an expired intermediate": (Cast.expired_ca, BadChain, "G3.*expired"),
    "a path too long": (Cast.too_deep, BadChain, "allows 0 CAs"),
    "more certificates than read": (lambda c: c.with_chain(c.apple.chain[0], *[c.apple.chain[1]] * 6), BadChain, "has 7"),
    "vendor without the mark": (lambda c: c.with_vendor(LEAF), NotAVendorCertificate, "100.4.12"),
    "vendor that is a CA": (
        lambda c: c.with_vendor(MARK, x509.BasicConstraints(ca=True, path_length=None)),
        NotAVendorCertificate,
        "is a CA",
    ),
    "vendor expired": (lambda c: c.with_vendor(MARK, begin=NOW - YEAR, end=NOW - DAY), VendorExpired, "expired"),
    "vendor not yet valid": (lambda c: c.with_vendor(MARK, begin=NOW + DAY), VendorNotYetValid, "valid from"),
    "vendor with an EC key": (lambda c: c.with_vendor(MARK, key=EC), VendorKeyNotRSA, "elliptic"),
    "vendor signed with SHA-1": (Cast.sha1_vendor, BadChain, "SHA-256 or stronger"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_apple_would_refuse(apple_like: AppleLike, signed: SignedRequest, rsa_key: KeyOf, row: str) -> None:
    make, error, said = REFUSED[row]
    verify_request(signed, roots=apple_like.roots, now=NOW)
    with pytest.raises(error, match=said) as caught:
        verify_request(make(Cast(apple_like, signed, rsa_key)), roots=apple_like.roots, now=NOW)
    assert isinstance(caught.value, BadInput)


def test_dates_are_those_of_the_moment(apple_like: AppleLike, signed: SignedRequest) -> None:
    ends = apple_like.vendor.certificate.not_valid_after_utc
    verify_request(signed, roots=apple_like.roots, now=ends)
    with pytest.raises(VendorExpired):
        verify_request(signed, roots=apple_like.roots, now=ends + DAY)


def test_a_vendor_marked_as_apple_may_mark_it(apple_like: AppleLike, csr: x509.CertificateSigningRequest, rsa_key: KeyOf) -> None:
    """The mark as a usage, and the mark made critical, are vendors all the same."""
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.2.840.113635.100.4.12")])
    for extension in (usage, MARK):
        made = certify(name("MDM Vendor: Orchard"), rsa_key("vendor"), apple_like.g3, LEAF, extension, critical=True)
        vendor = vendor_identity(made.certificate, rsa_key("vendor"), NOW)
        signed = sign_request(csr, vendor, (made.certificate, *apple_like.chain[1:]), roots=apple_like.roots, now=NOW)
        assert certificates.sha256(signed.chain[0]) == certificates.sha256(made.certificate)
