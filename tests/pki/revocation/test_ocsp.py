"""OCSP messages: requests as OpenSSL, cryptography and hostile senders make them, responses as those two read them."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import asn1crypto.ocsp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bramley.pki import certificates, names, oids
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import OCSP_RESPONDER
from bramley.pki.cms import der
from bramley.pki.cms.errors import Malformed
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.revocation import ocsp_requests, ocsp_responses
from bramley.pki.revocation.entries import CRLReason, Revocation
from bramley.pki.revocation.issuer import IssuerName
from bramley.pki.revocation.ocsp_requests import NONCE, CertID, OCSPRequest
from bramley.pki.revocation.ocsp_responses import Answer, Failure, Responder, Standing

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]
MOST = 3
MINUTES = timedelta(minutes=10)


def request(hierarchy: Any, *, digest: hashes.HashAlgorithm | None = None, nonce: bytes | None = None) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        hierarchy.device, hierarchy.identity_ca.certificate, digest or hashes.SHA1()
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def read(data: bytes) -> OCSPRequest:
    return ocsp_requests.read(data, most=MOST)


# Parts for requests that no library makes.


def cert_id(serial: int = 5, *, algorithm: bytes = der.sequence(der.oid(oids.SHA1), der.null())) -> bytes:
    return der.sequence(algorithm, der.octet_string(b"n" * 20), der.octet_string(b"k" * 20), der.integer(serial))


def single(*further: bytes) -> bytes:
    return der.sequence(cert_id(), *further)


def extension(oid: str, value: bytes, *, critical: bool | None = None) -> bytes:
    flag = b"" if critical is None else der.element(0x01, b"\xff" if critical else b"\x00")
    return der.sequence(der.oid(oid), flag, der.octet_string(value))


def nonce_of(size: int) -> bytes:
    return extension(NONCE, der.octet_string(b"N" * size))


def message(*fields: bytes) -> bytes:
    return der.sequence(der.sequence(*fields))


def asking(*further: bytes, extensions: tuple[bytes, ...] = ()) -> bytes:
    ending = (der.context(2, der.sequence(*extensions)),) if extensions else ()
    return message(der.sequence(single(), *further), *ending)


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()])
@pytest.mark.parametrize("nonce", [None, b"x", b"n" * 32, b"m" * 128])
def test_a_request_says_what_its_maker_said(hierarchy: Any, digest: hashes.HashAlgorithm, nonce: bytes | None) -> None:
    found = read(request(hierarchy, digest=digest, nonce=nonce))

    (asked,) = found.certificates
    assert found.nonce == nonce
    assert asked.serial == hierarchy.device.serial_number
    assert asked.issued_by(IssuerName.of(hierarchy.identity_ca.certificate))
    assert not asked.issued_by(IssuerName.of(hierarchy.root.certificate))
    assert asked.der in request(hierarchy, digest=digest)


def test_an_issuer_needs_name_and_key(hierarchy: Any) -> None:
    (asked,) = read(request(hierarchy)).certificates
    ours, other = IssuerName.of(hierarchy.identity_ca.certificate), IssuerName.of(hierarchy.root.certificate)

    assert asked.issued_by(ours)
    assert not asked.issued_by(IssuerName(ours.name, other.key))
    assert not asked.issued_by(IssuerName(other.name, ours.key))


def test_openssl_asks_about_several_at_once(hierarchy: Any, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "ca").write_bytes(certificates.pem(hierarchy.identity_ca.certificate))
    openssl("ocsp", "-issuer", tmp_path / "ca", "-serial", 7, "-sha256", "-serial", "0xabc", "-reqout", tmp_path / "request")

    found = read((tmp_path / "request").read_bytes())

    assert [(each.serial, each.digest) for each in found.certificates] == [(7, "sha1"), (0xABC, "sha256")]
    assert all(each.issued_by(IssuerName.of(hierarchy.identity_ca.certificate)) for each in found.certificates)
    assert found.nonce is not None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(asking(extensions=(extension("1.2.3", b"x"),)), id="an extension that nobody insists on"),
        pytest.param(asking(extensions=(extension("1.2.3", b"x", critical=False),)), id="and says so"),
        pytest.param(message(der.context(0, der.integer(0)), der.sequence(single())), id="the version spelt out"),
        pytest.param(message(der.context(1, der.context(4, b"")), der.sequence(single())), id="a requestor's name"),
        pytest.param(der.sequence(der.sequence(der.sequence(single())), der.context(0, der.sequence())), id="signed"),
        pytest.param(asking(single(der.context(0, der.sequence(extension("1.2.3", b"x"))))), id="a single extension"),
        pytest.param(asking(single(), single()), id="as many as may be"),
        pytest.param(asking(der.sequence(cert_id(algorithm=der.sequence(der.oid(oids.SHA512))))), id="a hash unknown here"),
        pytest.param(asking(der.sequence(cert_id(serial=-1))), id="a serial that is negative"),
    ],
)
def test_what_is_odd_and_allowed_is_read(data: bytes) -> None:
    assert read(data).certificates[0].serial == 5


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x30\x00", id="empty"),
        pytest.param(b"\x30\x80\x00\x00", id="empty, of indefinite length"),
        pytest.param(der.sequence(der.sequence()), id="no list"),
        pytest.param(message(der.sequence()), id="an empty list"),
        pytest.param(message(der.sequence(der.sequence())), id="an empty request"),
        pytest.param(asking(*[single()] * MOST), id="more than are answered"),
        pytest.param(asking() + b"\x00", id="something after it"),
        pytest.param(asking()[:-1], id="cut short"),
        pytest.param(message(der.sequence(single()), der.sequence(single())), id="two lists"),
        pytest.param(message(der.context(2, der.sequence(nonce_of(8))), der.sequence(single())), id="fields out of order"),
        pytest.param(message(der.sequence(single()), der.context(5, b"")), id="a field that is unknown"),
        pytest.param(message(der.context(0, der.integer(1)), der.sequence(single())), id="version 2"),
        pytest.param(der.sequence(der.sequence(der.sequence(single())), b"\x05\x00", b"\x05\x00"), id="three elements"),
        pytest.param(message(der.sequence(der.sequence(der.sequence(der.integer(5))))), id="a certID of one field"),
        pytest.param(asking(extensions=(nonce_of(0),)), id="a nonce of no octet"),
        pytest.param(asking(extensions=(nonce_of(129),)), id="a nonce of 129"),
        pytest.param(asking(extensions=(extension(NONCE, b"bare"),)), id="a nonce that is no OCTET STRING"),
        pytest.param(asking(extensions=(nonce_of(8), nonce_of(8))), id="two nonces"),
        pytest.param(asking(extensions=(extension("1.2.3", b"x", critical=True),)), id="a critical extension"),
        pytest.param(
            asking(single(der.context(0, der.sequence(extension("1.2.3", b"x", critical=True))))),
            id="a critical single extension",
        ),
        pytest.param(message(der.sequence(single()), der.context(2, b"")), id="extensions that are missing"),
        pytest.param(b"\x30\x80" * 5_000, id="very deep"),
        pytest.param(message(der.sequence(*[b"\x05\x00"] * 5_000)), id="very many"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


@pytest.mark.parametrize("size", [90, 91, 92])
def test_a_path_holds_base64_however_a_client_escapes_it(size: int) -> None:
    data = b"\xff\xef\xbe" * (size // 3) + b"\xfb" * (size % 3)
    plain = base64.b64encode(data).decode()
    assert "/" in plain
    assert "+" in plain

    ways = [plain, unquote(quote(plain, safe="")), plain.rstrip("="), base64.urlsafe_b64encode(data).decode()]
    assert [ocsp_requests.decode_path(way) for way in ways] == [data] * 4


@pytest.mark.parametrize("path", ["a", "ab cd", "MEU*", "M\u00e4", "====a"])
def test_a_path_that_is_no_base64_is_refused(path: str) -> None:
    with pytest.raises(Malformed):
        ocsp_requests.decode_path(path)


@pytest.fixture(scope="module")
def responder(hierarchy: Any, key_of: Any) -> Responder:
    key = key_of(KeyAlgorithm.P_256, "responder")
    now = hierarchy.device.not_valid_before_utc + timedelta(hours=1)
    ca = hierarchy.identity_ca
    return Responder(issue(ca, OCSP_RESPONDER, key.public_key(), subject=names.make("Orchard OCSP"), now=now), key)


def respond(answers: list[Answer], responder: Responder, now: datetime, nonce: bytes | None = None) -> bytes:
    return ocsp_responses.build(answers, responder, produced_at=now, this_update=now, next_update=now + MINUTES, nonce=nonce)


@pytest.mark.parametrize("reason", list(CRLReason))
def test_cryptography_reads_a_revocation(hierarchy: Any, responder: Responder, now: datetime, reason: CRLReason) -> None:
    (asked,) = read(request(hierarchy)).certificates
    since = now - timedelta(days=3)

    found = ocsp.load_der_ocsp_response(
        respond([Answer(asked, Revocation(asked.serial, since, reason))], responder, now, nonce=b"N" * 32)
    )

    assert found.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert found.revocation_time_utc == since
    told = found.revocation_reason
    assert (told.value if told else "unspecified") == reason.name
    assert found.serial_number == asked.serial
    assert (found.produced_at_utc, found.this_update_utc, found.next_update_utc) == (now, now, now + MINUTES)
    assert found.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"N" * 32
    assert found.certificates == [responder.certificate]


def test_each_certificate_gets_its_own_answer(hierarchy: Any, responder: Responder, now: datetime) -> None:
    (asked,) = read(request(hierarchy)).certificates
    others = [CertID("sha1", b"", b"", serial, cert_id(serial)) for serial in (6, 7)]
    statuses: list[Standing | Revocation] = [Standing.GOOD, Revocation(6, now, CRLReason.certificateHold), Standing.UNKNOWN]

    encoded = respond([Answer(*each) for each in zip([asked, *others], statuses, strict=True)], responder, now)

    parsed = asn1crypto.ocsp.OCSPResponse.load(encoded, strict=True)
    single_responses = parsed.response_data["responses"]
    assert [each["cert_status"].name for each in single_responses] == ["good", "revoked", "unknown"]
    assert [each["cert_id"].dump() for each in single_responses] == [asked.der, *(each.der for each in others)]
    assert parsed.nonce_value is None
    assert parsed.copy().dump(force=True) == encoded
    key_hash = parsed.response_data["responder_id"].chosen.native
    assert key_hash == x509.SubjectKeyIdentifier.from_public_key(responder.key.public_key()).digest


@pytest.mark.parametrize(("status", "shown"), [(Standing.GOOD, "good"), (Standing.UNKNOWN, "unknown")])
def test_openssl_takes_the_delegated_signature(
    hierarchy: Any, responder: Responder, openssl: OpenSSL, tmp_path: Path, now: datetime, status: Standing, shown: str
) -> None:
    chain = {"root": hierarchy.root.certificate, "ca": hierarchy.identity_ca.certificate, "device": hierarchy.device}
    for name, certificate in chain.items():
        (tmp_path / name).write_bytes(certificates.pem(certificate))
    asked = read(request(hierarchy, nonce=b"N" * 32))
    (tmp_path / "request").write_bytes(request(hierarchy, nonce=b"N" * 32))
    (tmp_path / "response").write_bytes(respond([Answer(asked.certificates[0], status)], responder, now, asked.nonce))

    done = openssl(
        *("ocsp", "-issuer", tmp_path / "ca", "-cert", tmp_path / "device", "-respin", tmp_path / "response"),
        *("-CAfile", tmp_path / "root", "-verify_other", tmp_path / "ca", "-attime", int(now.timestamp())),
        *("-validity_period", 10**9, "-no_nonce"),
    )

    assert "Response verify OK" in done.stderr
    assert f"device: {shown}" in done.stdout


@pytest.mark.parametrize(
    ("why", "name"),
    [
        (Failure.malformedRequest, "MALFORMED_REQUEST"),
        (Failure.internalError, "INTERNAL_ERROR"),
        (Failure.tryLater, "TRY_LATER"),
        (Failure.unauthorized, "UNAUTHORIZED"),
    ],
)
def test_a_failure_is_no_more_than_its_code(why: Failure, name: str) -> None:
    assert ocsp.load_der_ocsp_response(ocsp_responses.failure(why)).response_status.name == name
