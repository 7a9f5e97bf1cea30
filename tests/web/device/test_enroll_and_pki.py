"""What people fetch with a browser: the profile behind a link, and the certificates of our authorities."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from bramley.pki import certificates
from tests.web.world import Device, World


async def test_a_link_gives_a_signed_profile_that_nobody_keeps(world: World) -> None:
    answer = await world.http.get(await world.link())

    assert answer.headers["content-type"] == "application/x-apple-aspen-config"
    assert answer.headers["content-disposition"] == 'attachment; filename="enroll.mobileconfig"'
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("token", ["", "unknown", "a/b", "%2e%2e%2fx", "\u00e4"])
async def test_an_unknown_link_is_404_in_words(world: World, token: str) -> None:
    answer = await world.http.get(f"/enroll/{token}")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "no such enrollment link" in answer.text


async def test_an_expired_link_is_410(world: World) -> None:
    link = await world.link()
    world.clock.moment += timedelta(hours=2)

    answer = await world.http.get(link)

    assert answer.status_code == 410
    assert "expired" in answer.text


async def test_a_link_is_used_up_by_an_identity_not_by_a_look(world: World, device: Device) -> None:
    link = await world.link()
    await world.http.get(link)
    await device.enroll(link)

    answer = await world.http.get(link)

    assert answer.status_code == 410
    assert "used up" in answer.text


async def test_a_head_request_begins_no_enrollment(world: World) -> None:
    answer = await world.http.head(await world.link())

    assert answer.status_code == 405


async def test_the_authorities_certificates_are_there_in_both_forms(world: World) -> None:
    held = world.live.current().authorities
    for name, certificate in {
        "root": held.root.certificate,
        "identity-ca": held.identity.authority.certificate,
        "https-ca": held.https.authority.certificate,
        "signer-ca": held.signer.authority.certificate,
    }.items():
        der = await world.http.get(f"/pki/{name}.cer")
        pem = await world.http.get(f"/pki/{name}.pem")

        assert der.headers["content-type"] == "application/x-x509-ca-cert"
        assert x509.load_der_x509_certificate(der.content) == certificate
        assert certificates.load(pem.content) == certificate


@pytest.mark.parametrize("path", ["/pki/", "/pki/root", "/pki/root.key", "/pki/other.pem", "/pki/../enroll/x"])
async def test_nothing_else_is_under_pki(world: World, path: str) -> None:
    assert (await world.http.get(path)).status_code == 404
