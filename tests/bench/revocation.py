"""CRLs and OCSP beside bare `cryptography`: `python -m tests.bench.revocation [ENTRIES]`.

Prints what a CRL of 100,000 entries costs when it is put together here, and when `CertificateRevocationListBuilder` makes it
of the same entries; then one OCSP answer from request to response, beside `OCSPResponseBuilder` alone. Each result is checked.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as builders

from bramley.clock import SystemClock
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, RevocationReason, Version, VersionID, VersionState
from bramley.operations import issuers, records, revocation
from bramley.operations.installation import Installation, initialize
from bramley.operations.ocsp import OCSP
from bramley.pki import keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue
from bramley.pki.revocation import crl, ocsp_requests, ocsp_responses
from bramley.pki.revocation.entries import CRLReason, Revocation
from bramley.pki.revocation.ocsp_responses import Answer, Responder, Standing
from bramley.settings import Settings
from bramley.storage.protocols import Tx

T = TypeVar("T")
NOW = SystemClock().now().replace(microsecond=0)
DAY = timedelta(days=1)
FLAGS = {
    CRLReason.keyCompromise: x509.ReasonFlags.key_compromise,
    CRLReason.certificateHold: x509.ReasonFlags.certificate_hold,
    CRLReason.superseded: x509.ReasonFlags.superseded,
}


def entries(count: int) -> list[Revocation]:
    """Sixteen octets of serial number, a moment of its own for each, one of three reasons."""
    reasons = tuple(FLAGS)
    return [
        Revocation((1 << 126) + number * 0x9E3779B97F4A7C15, NOW - timedelta(seconds=number), reasons[number % 3])
        for number in range(count)
    ]


def median(what: Callable[[], T], runs: int) -> tuple[float, T]:
    """Seconds, and the last result."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        result = what()
        times.append(time.perf_counter() - started)
    return statistics.median(times), result


def with_builder(ca: Authority, revoked: list[Revocation]) -> bytes:
    found = [
        x509.RevokedCertificateBuilder()
        .serial_number(each.serial)
        .revocation_date(each.since)
        .add_extension(x509.CRLReason(FLAGS[each.reason]), critical=False)
        .build()
        for each in revoked
    ]
    builder = x509.CertificateRevocationListBuilder(ca.certificate.subject, NOW, NOW + DAY, [], found)
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = builder.add_extension(key, critical=False).add_extension(x509.CRLNumber(1), critical=False)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


def bench_crl(ca: Authority, count: int) -> None:
    revoked = entries(count)
    ours, encoded = median(lambda: crl.build(ca, revoked, number=1, this_update=NOW, next_update=NOW + DAY), 5)
    theirs, other = median(lambda: with_builder(ca, revoked), 3)
    if encoded != other:  # RSASSA-PKCS1-v1_5 has no chance in it, so the two may be compared whole
        raise RuntimeError("the two CRLs differ")
    print(f"CRL of {count:,} entries, {len(encoded) / 1e6:.1f} MB: {ours:.3f} s; cryptography's builder {theirs:.3f} s", end="")
    print(f"; ratio {ours / theirs:.2f}; the same octets")


def fill(tx: Tx, first: int, last: int, issuer: VersionID) -> None:
    """Revoked identities, of which nothing is read but serial number, moment and reason."""
    lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, "bench", Policy(), now=NOW)
    for number in range(first, last):
        version = Version(VersionID(f"bench-{number:09}"), lineage.id, number, VersionState.REVOKED, NOW, NOW)
        serial, why = f"{(1 << 126) + number:x}", RevocationReason.KEY_COMPROMISE
        changed = replace(version, serial=serial, issuer_version=issuer, not_after=NOW + DAY, revoked_for=why)
        tx.lineages.add_version(changed)


async def bench_publishing(installation: Installation, count: int) -> None:
    issuer = next(each for each in await installation.store.read(issuers.read) if each.kind is Kind.IDENTITY_CA)
    for first in range(0, count, 5000):
        await installation.store.run(
            lambda tx, first=first: fill(tx, first, min(first + 5000, count), issuer.id)  # type: ignore[misc]
        )
    started = time.perf_counter()
    published = await revocation.current(installation, issuer, actor="bench")
    seconds = time.perf_counter() - started
    if len(x509.load_der_x509_crl(published.der)) != count:
        raise RuntimeError("the CRL has not all that is revoked")
    print(f"the same out of the database and into it again: {seconds:.3f} s")


async def bench_ocsp(installation: Installation, ca: Authority, device: x509.Certificate, responder: Responder) -> None:
    asked = builders.OCSPRequestBuilder().add_certificate(device, ca.certificate, hashes.SHA1()).build()
    message = asked.public_bytes(Encoding.DER)

    def ours() -> bytes:
        request = ocsp_requests.read(message, most=20)
        answers = [Answer(each, Standing.GOOD) for each in request.certificates]
        return ocsp_responses.build(
            answers, responder, produced_at=NOW, this_update=NOW, next_update=NOW + DAY, nonce=request.nonce
        )

    def theirs() -> bytes:
        request, good = builders.load_der_ocsp_request(message), builders.OCSPCertStatus.GOOD
        hashed = (request.issuer_name_hash, request.issuer_key_hash, request.serial_number, hashes.SHA1())
        builder = builders.OCSPResponseBuilder().add_response_by_hash(*hashed, good, NOW, NOW + DAY, None, None)
        builder = builder.responder_id(builders.OCSPResponderEncoding.HASH, responder.certificate)
        builder = builder.certificates([responder.certificate])
        return builder.sign(responder.key, hashes.SHA256()).public_bytes(Encoding.DER)

    (here, made), (there, _other) = median(ours, 2000), median(theirs, 2000)
    if builders.load_der_ocsp_response(made).serial_number != device.serial_number:
        raise RuntimeError("the answer is about another certificate")
    print(f"OCSP, read and signed with P-256: {here * 1e6:.0f} µs; cryptography {there * 1e6:.0f} µs; ratio {here / there:.2f}")
    service, times = OCSP(installation), []
    for _ in range(2000):
        started = time.perf_counter()
        reply = await service.answer(message)
        times.append(time.perf_counter() - started)
    if builders.load_der_ocsp_response(reply.message).certificate_status is not builders.OCSPCertStatus.GOOD:
        raise RuntimeError("the certificate is good")
    print(f"OCSP, with its read of the database: {statistics.median(times) * 1e6:.0f} µs")


async def measure(folder: Path, count: int) -> None:
    installation, _first = await initialize(Settings(data=folder / "data", url="https://bench.example"), SystemClock(), {})
    try:

        def prepare(tx: Tx) -> tuple[Authority, x509.Certificate]:
            issuer = next(each for each in issuers.read(tx) if each.kind is Kind.IDENTITY_CA)
            ca = issuer.authority(tx, installation.sealer)
            public = keys.generate(keys.KeyAlgorithm.P_256).public_key()
            device = issue(ca, profiles.DEVICE_IDENTITY, public, subject=names.make("device"), now=NOW)
            lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, "device", Policy(), now=NOW)
            records.record(tx, lineage, device, state=VersionState.ACTIVE, now=NOW, actor="bench", issuer=issuer.id)
            return ca, device

        ca, device = await installation.store.run(prepare)
        key = keys.generate(keys.KeyAlgorithm.P_256)
        certificate = issue(ca, profiles.OCSP_RESPONDER, key.public_key(), subject=names.make("responder"), now=NOW)
        bench_crl(ca, count)
        await bench_publishing(installation, count)
        await bench_ocsp(installation, ca, device, Responder(certificate, key))
    finally:
        await installation.store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(measure(Path(scratch), int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
