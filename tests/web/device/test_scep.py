"""SCEP as clients in the wild spell it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from bramley.model.events import EventKind
from bramley.pki import certificates, csr, keys, names
from bramley.pki.scep import enrollment
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.errors import Refused
from bramley.web.device.scep import query_parameters
from tests.scep_http import SCEPOverHTTP
from tests.web.world import LIMITS, Device, World


async def test_capabilities_and_the_ca_certificate_are_told(world: World) -> None:
    client = SCEPClient(SCEPOverHTTP(world.http))

    assert {"AES", "SHA-256", "POSTPKIOperation", "Renewal"} <= await client.capabilities()
    assert await client.ca_certificates() == (world.live.current().authorities.identity.authority.certificate,)


async def test_a_wrong_challenge_gets_a_failure_and_an_event(world: World, device_key: keys.PrivateKey) -> None:
    client = SCEPClient(SCEPOverHTTP(world.http))
    (ca,) = await client.ca_certificates()
    request = csr.build(device_key, names.make("device"), challenge_password="guessed")

    with pytest.raises(Refused):
        await client.enroll(device_key, request, ca=ca, now=world.clock.now())

    assert (await world.events(EventKind.SCEP_REFUSED))[0].detail["reason"] == "challenge-unknown"


async def test_a_get_with_unescaped_plus_and_slash_is_read(world: World, device_key: keys.PrivateKey) -> None:
    ca = world.live.current().authorities.identity.authority.certificate
    now = world.clock.now()
    request = csr.build(device_key, names.make("device"), challenge_password="guessed")
    asked = csr.load(request)
    who = enrollment.signer_for(device_key, asked.subject, None, renewal=False, now=now)
    sent = enrollment.request(request, signer=who, ca=ca, ra=None, renewal=False, now=now, digest="sha256", cipher="aes-128-cbc")
    encoded = base64.b64encode(sent.message)
    assert b"+" in encoded
    assert b"/" in encoded

    for message in (encoded.replace(b"=", b"%3D").decode(), quote(encoded, safe="")):
        answer = await world.http.get("/scep?operation=PKIOperation&message=" + message)

        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-pki-message"


def test_the_query_stays_as_it_came() -> None:
    assert query_parameters(b"operation=PKIOperation&message=a+b/c%3D=") == {
        b"operation": b"PKIOperation",
        b"message": b"a+b/c%3D=",
    }


@pytest.mark.parametrize(
    "query",
    [
        "",
        "operation=GetNextCACert",
        "operation=getcacaps",
        "operation=PKIOperation",
        "operation=PKIOperation&message=%00",
        "operation=GetCACaps&operation=GetCACert",
    ],
)
async def test_what_is_no_scep_request_is_400(world: World, query: str) -> None:
    assert (await world.http.get(f"/scep?{query}")).status_code == 400


async def test_a_body_that_is_no_pki_message_is_400_and_says_nothing(world: World) -> None:
    answer = await world.http.post("/scep?operation=PKIOperation", content=b"\x30\x03\x02\x01\x00")

    assert (answer.status_code, answer.content) == (400, b"")


async def test_a_body_beyond_the_limit_is_413(world: World) -> None:
    answer = await world.http.post("/scep?operation=PKIOperation", content=b"0" * (LIMITS.scep_bytes + 1))

    assert answer.status_code == 413


@pytest.mark.parametrize("method", ["PUT", "HEAD", "DELETE"])
async def test_other_methods_are_405(world: World, method: str) -> None:
    assert (await world.http.request(method, "/scep?operation=GetCACaps")).status_code == 405


async def test_the_identity_is_ours_to_name(world: World, device: Device) -> None:
    await device.get_identity()

    assert device.certificate is not None
    assert b"CN=device" not in certificates.der(device.certificate)
    assert "CN=device" not in names.text(device.certificate.subject)
