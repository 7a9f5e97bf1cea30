"""The Mdm-Signature check, beside the bare RSA operation that it cannot do without, and beside asn1crypto doing the same.

    python tests/bench/signature_check.py [ROUNDS]

One check is base64, CMS and signature of one request, with the signer's public key already cached. The bare operation is one
RSA-2048 verification and one digest of the body. Bodies of 0.4 and 5 kB; headers in both shapes that devices send: BER with a
SHA-1 signature straight over the body, as recorded from a Mac, and DER with SHA-256 and signed attributes. All are measured in
turns by the CPU time of this process, so that a busy neighbour slows all alike. Exits 1 when an aim is missed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from time import process_time

from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from bramley.pki.cms import DEVICE, ber, parse_signed_data, sign, verify

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
PKCS1 = padding.PKCS1v15()
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}
AT_MOST_BARE = 3.0
AT_LEAST_ASN1CRYPTO = 3.0
SLICE = 0.02
"""Seconds of CPU for one measurement: long enough for the clock, short enough to take many in turns."""

Check = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One request: its name, and the three ways to check it."""

    name: str
    ours: Check
    bare: Check
    asn1crypto: Check


def as_a_mac_sends_it(message: bytes) -> bytes:
    """The outer levels of a DER message under indefinite lengths."""
    kind, explicit = ber.parse(message).children
    (signed_data,) = explicit.children
    return b"\x30\x80" + kind.raw + b"\xa0\x80\x30\x80" + signed_data.content + bytes(6)


def case(name: str, size: int, digest: str, attributes: bool, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> Case:
    body = b"x" * size
    message = sign(
        body,
        key=key,
        certificate=certificate,
        digest=digest,
        detached=True,
        signed_attributes=attributes,
        signing_time=NOW if attributes else None,
        allow_sha1=True,
    )
    header = base64.b64encode(message if attributes else as_a_mac_sends_it(message))
    (signer,) = parse_signed_data(message).signers
    covered, signature = signer.signed_attributes_raw or body, signer.signature
    public_key = key.public_key()
    cached = {parse_signed_data(message).certificates[0]: public_key}

    def ours() -> object:
        signed = parse_signed_data(binascii.a2b_base64(header))
        return verify(signed, content=body, policy=DEVICE, public_key_of=cached.__getitem__)

    def bare() -> None:
        if attributes:
            hashlib.new(digest, body).digest()
        public_key.verify(signature, covered, PKCS1, HASHES[digest])

    def with_asn1crypto() -> None:
        signed = asn1.ContentInfo.load(binascii.a2b_base64(header))["content"]
        (one,) = signed["signer_infos"]
        sid = one["sid"].chosen
        enclosed = [
            choice.chosen
            for choice in signed["certificates"]
            if choice.chosen["tbs_certificate"]["serial_number"].native == sid["serial_number"].native
            and choice.chosen["tbs_certificate"]["issuer"].dump() == sid["issuer"].dump()
        ]
        name = one["digest_algorithm"]["algorithm"].native
        message = body
        if attributes:
            found = {attribute["type"].native: attribute["values"] for attribute in one["signed_attrs"]}
            if found["message_digest"][0].native != hashlib.new(name, body).digest():
                raise ValueError("digest")
            if found["content_type"][0].native != signed["encap_content_info"]["content_type"].native:
                raise ValueError("content type")
            message = one["signed_attrs"].untag().dump()
        cached[enclosed[0].dump()].verify(one["signature"].native, message, PKCS1, HASHES[name])

    return Case(name, ours, bare, with_asn1crypto)


def cost(check: Check) -> float:
    """Microseconds of this process's CPU for one check."""
    count, begun = 0, process_time()
    while (spent := process_time() - begun) < SLICE:
        for _ in range(20):
            check()
        count += 20
    return spent / count * 1e6


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Identity CA")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A device")]))
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    cases = [
        case(f"{label}, {size / 1000:g} kB", size, digest, attributes, key, certificate)
        for label, digest, attributes in (("as recorded (BER, SHA-1)", "sha1", False), ("signed attributes", "sha256", True))
        for size in (400, 5000)
    ]
    times: dict[str, list[tuple[float, float, float]]] = {one.name: [] for one in cases}
    for _ in range(rounds):
        for one in cases:
            times[one.name].append((cost(one.ours), cost(one.bare), cost(one.asn1crypto)))

    print(
        f"{'µs of CPU a check, medians':34} {'ours':>7} {'bare':>7} {'asn1crypto':>11} {'ours/bare':>10} {'asn1crypto/ours':>16}"
    )
    missed = False
    for label, rows in times.items():
        ours, bare, other = (median(column) for column in zip(*rows, strict=True))
        over_bare = median(a / b for a, b, _ in rows)
        under_other = median(c / a for a, _, c in rows)
        missed |= over_bare > AT_MOST_BARE or under_other < AT_LEAST_ASN1CRYPTO
        print(f"{label:34} {ours:7.1f} {bare:7.1f} {other:11.1f} {over_bare:9.2f}x {under_other:15.2f}x")
    print(f"aims: at most {AT_MOST_BARE:g} x bare, at least {AT_LEAST_ASN1CRYPTO:g} x faster than asn1crypto")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
