"""SCEP inside the service, beside the bare RSA work that it cannot do without. No HTTP, no database.

    python tests/bench/scep_inside.py [ROUNDS]

One enrolment is `open_request`, `authority.issue` and `success`, with an RSA-2048 CA, AES-256 and SHA-256. Its floor is what
the protocol obliges to: one PKCS#1 decryption, two verifications (message, CSR), two signatures (certificate, CertRep), one
encryption. The two are measured in turns, so that a busy neighbour slows both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from time import perf_counter

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bramley.pki import csr, names
from bramley.pki.ca import authority, profiles
from bramley.pki.ca.authority import Authority
from bramley.pki.scep import enrollment, server
from bramley.pki.scep.server import Responder

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
AIM = 0.65
PKCS1 = padding.PKCS1v15()
SHA256 = hashes.SHA256()


def enrolment(ca_key: rsa.RSAPrivateKey, device_key: rsa.RSAPrivateKey) -> Callable[[], object]:
    """What the service does with one PKCSReq."""
    ca = Authority(authority.self_signed(profiles.IDENTITY_CA, ca_key, names.make("Identity CA"), now=NOW), ca_key)
    responder = Responder(ca.certificate, ca_key)
    name = names.make("device 1")
    signer = enrollment.temporary_signer(device_key, name, now=NOW)
    sent = enrollment.request(
        csr.build(device_key, name, challenge_password="open sesame"), signer=signer, ca=ca.certificate, now=NOW
    )

    def run() -> bytes:
        request = server.open_request(sent.message, responder, now=NOW)
        issued = authority.issue(ca, profiles.DEVICE_IDENTITY, request.csr.public_key, subject=request.csr.subject, now=NOW)
        return server.success(request, responder, issued, now=NOW)

    enrollment.accept(run(), sent, now=NOW)
    return run


def floor(ca_key: rsa.RSAPrivateKey, device_key: rsa.RSAPrivateKey) -> Callable[[], object]:
    """The RSA operations alone."""
    device_public = device_key.public_key()
    text, content_key = bytes(200), bytes(32)
    encrypted = ca_key.public_key().encrypt(content_key, PKCS1)
    signature = device_key.sign(text, PKCS1, SHA256)

    def run() -> None:
        device_public.verify(signature, text, PKCS1, SHA256)
        ca_key.decrypt(encrypted, PKCS1)
        device_public.verify(signature, text, PKCS1, SHA256)
        ca_key.sign(text, PKCS1, SHA256)
        device_public.encrypt(content_key, PKCS1)
        ca_key.sign(text, PKCS1, SHA256)

    return run


def timed(run: Callable[[], object], times: int = 20) -> float:
    """Milliseconds for one."""
    begin = perf_counter()
    for _ in range(times):
        run()
    return (perf_counter() - begin) * 1000 / times


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    ca_key, device_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    whole, bare = enrolment(ca_key, device_key), floor(ca_key, device_key)
    pairs = [(timed(whole), timed(bare)) for _ in range(rounds)]
    service, least = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(bare_ms / whole_ms for whole_ms, bare_ms in pairs)
    print(f"one enrolment  {service:6.3f} ms  {1000 / service:6.0f}/s")
    print(f"bare RSA       {least:6.3f} ms  {1000 / least:6.0f}/s")
    print(f"ratio          {ratio:6.1%}  (aim: at least {AIM:.0%} of the floor)")
    return 0 if ratio >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
