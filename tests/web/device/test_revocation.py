"""CRLs and OCSP over HTTP: what is answered, and what may be kept of it."""

from __future__ import annotations

import base64
from datetime import timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from bramley.model.events import EventKind
from bramley.model.lineages import RevocationReason, VersionState
from bramley.operations import records
from bramley.pki import certificates
from bramley.storage.protocols import Tx
from bramley.web.app import Application
from tests.web.world import URL, Device, World

CRL = "/pki/identity-ca.crl"
OCSP = "/pki/ocsp"
REQUEST, RESPONSE = "application/ocsp-request", "application/ocsp-response"


def issuer(world: World) -> x509.Certificate:
    return world.live.current().authorities.identity.authority.certificate


def ask(world: World, device: Device, nonce: bytes | None = None) -> bytes:
    assert device.certificate is not None
    builder = ocsp.OCSPRequestBuilder().add_certificate(device.certificate, issuer(world), hashes.SHA1())
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


async def revoke(world: World, device: Device) -> None:
    assert device.certificate is not None
    sha256, now = certificates.sha256(device.certificate), world.clock.now()

    def act(tx: Tx) -> None:
        version = tx.lineages.by_sha256(sha256)
        assert version is not None
        why = RevocationReason.KEY_COMPROMISE
        records.move(tx, version, VersionState.REVOKED, now=now, actor="test", reason="stolen", revoked_for=why)

    await world.installation.store.run(act)


async def test_an_identity_says_where_its_status_is_told_and_there_it_is(world: World, device: Device) -> None:
    await device.get_identity()
    assert device.certificate is not None
    points = device.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    access = device.certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    (crl,) = [name.value for point in points for name in point.full_name or ()]
    told = {each.access_method.dotted_string: each.access_location.value for each in access}

    assert (crl, *told.values()) == (f"{URL}{CRL}", f"{URL}{OCSP}", f"{URL}/pki/identity-ca.cer")
    assert x509.load_der_x509_crl((await world.http.get(crl)).content).issuer == device.certificate.issuer
    answer = await world.http.post(f"{URL}{OCSP}", content=ask(world, device), headers={"content-type": REQUEST})
    assert ocsp.load_der_ocsp_response(answer.content).certificate_status is ocsp.OCSPCertStatus.GOOD
    device.certificate.verify_directly_issued_by(
        x509.load_der_x509_certificate((await world.http.get(f"{URL}/pki/identity-ca.cer")).content)
    )


async def test_a_crl_may_be_kept_until_its_end(world: World) -> None:
    answer = await world.http.get(CRL)
    crl = x509.load_der_x509_crl(answer.content)

    assert answer.headers["content-type"] == "application/pkix-crl"
    assert answer.headers["cache-control"] == f"public, max-age={24 * 3600}"
    assert answer.headers["last-modified"] == f"{crl.last_update_utc:%a, %d %b %Y %H:%M:%S GMT}"
    world.clock.moment += timedelta(hours=1)
    assert (await world.http.get(CRL)).headers["cache-control"] == f"public, max-age={23 * 3600}"


async def test_a_crl_is_made_once_for_all_who_ask(world: World, device: Device) -> None:
    await device.get_identity()
    bodies = {(await world.http.get(CRL)).content for _ in range(5)}
    again = Application(world.live)  # another process: what is published is taken from the database
    world.http._transport.app = again.main  # type: ignore[attr-defined]
    bodies |= {(await world.http.get(CRL)).content for _ in range(5)}

    assert len(bodies) == 1
    assert len(await world.events(EventKind.CRL_PUBLISHED)) == 1
    await revoke(world, device)
    bodies |= {(await world.http.get(CRL)).content for _ in range(5)}
    assert len(bodies) == 2
    assert len(await world.events(EventKind.CRL_PUBLISHED)) == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-none-match": "{etag}"}, 304),
        ({"if-none-match": 'W/{etag}, "other"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"other"'}, 200),
        ({"if-none-match": '"other"', "if-modified-since": "{date}"}, 200),
        ({"if-modified-since": "{date}"}, 304),
        ({"if-modified-since": "Wed, 25 Nov 2026 12:00:00 GMT"}, 200),
        ({"if-modified-since": "Mon, 23 Nov 2026 12:00:00 GMT"}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({}, 200),
    ],
)
async def test_a_crl_that_is_known_is_not_sent_again(world: World, device: Device, headers: dict[str, str], status: int) -> None:
    await device.get_identity()
    first = await world.http.get(CRL)
    known = {"etag": first.headers["etag"], "date": first.headers["last-modified"]}
    sent = {name: value.format(**known) for name, value in headers.items()}

    answer = await world.http.get(CRL, headers=sent)
    assert answer.status_code == status
    assert answer.headers["etag"] == first.headers["etag"]
    assert (answer.content, "content-length" in answer.headers) == ((b"", False) if status == 304 else (first.content, True))

    await revoke(world, device)
    if "*" not in sent.values():
        assert (await world.http.get(CRL, headers=sent)).status_code == 200


@pytest.mark.parametrize("name", ["root", "identity-ca", "https-ca", "signer-ca"])
async def test_every_ca_has_a_crl(world: World, name: str) -> None:
    found = x509.load_der_x509_crl((await world.http.get(f"/pki/{name}.crl")).content)
    ca = x509.load_der_x509_certificate((await world.http.get(f"/pki/{name}.cer")).content)

    assert found.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    assert (await world.http.head(f"/pki/{name}.crl")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/pki/other.crl", "/pki/.crl", "/pki/identity-ca.crl.pem", "/pki/identity-ca/x.crl", "/pki/ocsp.cer"]
)
async def test_nobody_else_has_one(world: World, path: str) -> None:
    assert (await world.http.get(path)).status_code == 404


async def test_ocsp_without_a_nonce_may_be_kept_for_a_while(world: World, device: Device) -> None:
    await device.get_identity()
    encoded = quote(base64.b64encode(ask(world, device)).decode(), safe="")
    answer = await world.http.get(f"{OCSP}/{encoded}")
    response = ocsp.load_der_ocsp_response(answer.content)

    assert answer.headers["content-type"] == RESPONSE
    assert answer.headers["cache-control"] == "public, max-age=600, no-transform, must-revalidate"
    assert answer.headers["expires"] == f"{response.next_update_utc:%a, %d %b %Y %H:%M:%S GMT}"
    assert answer.headers["last-modified"] == f"{response.this_update_utc:%a, %d %b %Y %H:%M:%S GMT}"
    assert answer.headers["etag"]
    assert (await world.http.head(f"{OCSP}/{encoded}")).status_code == 200


async def test_ocsp_by_post_or_with_a_nonce_is_kept_by_nobody(world: World, device: Device) -> None:
    await device.get_identity()
    with_nonce = ask(world, device, b"n" * 32)
    answers = [
        await world.http.post(OCSP, content=ask(world, device), headers={"content-type": REQUEST}),
        await world.http.post(OCSP, content=with_nonce, headers={"content-type": f"{REQUEST.upper()}; x=y"}),
        await world.http.get(f"{OCSP}/{quote(base64.b64encode(with_nonce).decode(), safe='')}"),
    ]

    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert ocsp.load_der_ocsp_response(answer.content).certificate_status is ocsp.OCSPCertStatus.GOOD


async def test_a_path_is_read_with_its_slashes_bare_or_escaped(world: World, device: Device) -> None:
    await device.get_identity()
    tried = 0
    for last in range(256):
        encoded = base64.b64encode(ask(world, device, bytes([255, 255, last]) * 4)).decode()
        if "/" not in encoded or "+" not in encoded:
            continue
        for written in (encoded, quote(encoded, safe=""), encoded.replace("/", "%2f")):
            answer = await world.http.get(f"{OCSP}/{written}")
            assert ocsp.load_der_ocsp_response(answer.content).certificate_status is ocsp.OCSPCertStatus.GOOD
        tried += 1
        if tried == 3:
            return
    pytest.fail("no request with a slash in its base64")


async def test_the_next_answer_after_a_revocation_says_so(world: World, device: Device) -> None:
    await device.get_identity()
    encoded = base64.b64encode(ask(world, device)).decode()
    statuses = []
    for change in (False, True):
        if change:
            await revoke(world, device)
        answer = await world.http.get(f"{OCSP}/{quote(encoded, safe='')}")
        statuses.append(ocsp.load_der_ocsp_response(answer.content).certificate_status.name)

    assert statuses == ["GOOD", "REVOKED"]


@pytest.mark.parametrize(
    ("method", "path", "content", "content_type", "status"),
    [
        ("POST", OCSP, b"\x30\x00", REQUEST, "MALFORMED_REQUEST"),
        ("POST", OCSP, b"", REQUEST, "MALFORMED_REQUEST"),
        ("GET", f"{OCSP}/", b"", None, "MALFORMED_REQUEST"),
        ("GET", f"{OCSP}/not-base64!", b"", None, "MALFORMED_REQUEST"),
        ("GET", f"{OCSP}/%ff%fe", b"", None, "MALFORMED_REQUEST"),
        ("POST", OCSP, b"\x30\x00", "text/plain", 415),
        ("POST", OCSP, b"\x30\x00", None, 415),
        ("POST", OCSP, b"\x30" * 20_000, REQUEST, 413),
        ("GET", OCSP, b"", None, 405),
        ("POST", f"{OCSP}/MAA=", b"\x30\x00", REQUEST, 405),
        ("PUT", CRL, b"", None, 405),
    ],
)
async def test_what_is_no_request_is_told_so(
    world: World, method: str, path: str, content: bytes, content_type: str | None, status: str | int
) -> None:
    headers = {"content-type": content_type} if content_type else {}

    answer = await world.http.request(method, path, content=content, headers=headers)

    if isinstance(status, int):
        assert answer.status_code == status
    else:
        assert answer.status_code == 200
        assert ocsp.load_der_ocsp_response(answer.content).response_status.name == status


async def test_the_api_counts_what_our_cas_have_issued(world: World, device: Device) -> None:
    await device.get_identity()
    await revoke(world, device)
    await world.http.get(CRL)
    assert (await world.http.get("/api/v1/authorities")).status_code == 401

    found = (await world.http.get("/api/v1/authorities", headers=world.as_admin)).json()["items"]

    assert [each["name"] for each in found] == ["root", "identity-ca", "https-ca", "signer-ca"]
    counts = {name: found[1][name] for name in ("issued", "active", "expiring", "suspended", "revoked")}
    assert counts == {"issued": 1, "active": 0, "expiring": 0, "suspended": 0, "revoked": 1}
    assert found[1]["crl"]["number"] == x509.load_der_x509_crl((await world.http.get(CRL)).content).extensions[1].value.crl_number
