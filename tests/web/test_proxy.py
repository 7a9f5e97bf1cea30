"""What a proxy says is believed from proxies, and from nobody else."""

from __future__ import annotations

import base64
import plistlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from bramley.mdm.errors import Refusal, Refused
from bramley.model.events import EventKind
from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.settings import Proxy
from bramley.web.app import Application
from bramley.web.metrics import Metrics
from bramley.web.proxy import PROXY_EXTENSION, Proxies, passed_certificate
from tests.web.test_observe import samples
from tests.web.world import CONNECT, Device, World

PROXY = "192.0.2.10"
SETTINGS = Proxy(addresses=(PROXY, "198.51.100.0/24", "2001:db8::/48"), client_certificate="Client-Cert")


def settled(peer: str, *headers: tuple[str, str], settings: Proxy = SETTINGS, **scope: Any) -> dict[str, Any]:
    whole = {"client": (peer, 4711), "headers": [(name.encode(), value.encode()) for name, value in headers], **scope}
    Proxies(settings, Metrics()).settle(whole)
    return whole


READERS = {name: Proxies(replace(SETTINGS, forwarded=name), Metrics()) for name in ("X-Forwarded-For", "Forwarded")}


class TestWhoCalled:
    @pytest.mark.parametrize(
        ("values", "caller"),
        [
            (["203.0.113.5"], "203.0.113.5"),
            (["1.1.1.1, 203.0.113.5"], "203.0.113.5"),  # what stands left of the last hop may be a lie
            (["1.1.1.1", "203.0.113.5"], "203.0.113.5"),
            (["203.0.113.5, 198.51.100.7"], "203.0.113.5"),  # a chain of two proxies
            (["1.1.1.1, 203.0.113.5, 198.51.100.7"], "203.0.113.5"),
            (["198.51.100.7"], "198.51.100.7"),
            (["203.0.113.5:49152"], "203.0.113.5"),
            (["[2001:db9::1]:49152"], "2001:db9::1"),
            (["::ffff:203.0.113.5"], "203.0.113.5"),
            (["203.0.113.5, unknown"], PROXY),
            (["203.0.113.5, nonsense, 198.51.100.7"], "198.51.100.7"),
            ([""], PROXY),
            ([" , "], PROXY),
        ],
    )
    def test_is_the_rightmost_hop_that_is_no_proxy(self, values: list[str], caller: str) -> None:
        scope = settled(PROXY, *(("x-forwarded-for", value) for value in values))

        assert scope["client"] == (caller, 0)
        assert scope["headers"] == []

    @pytest.mark.parametrize(
        ("value", "caller"),
        [
            ("for=203.0.113.5", "203.0.113.5"),
            ('for="[2001:db9::1]:4711";proto=https, for=198.51.100.7', "2001:db9::1"),
            ('For="203.0.113.5:80";by=192.0.2.10', "203.0.113.5"),
            ('for=1.1.1.1;host="a,b";proto=https, for=203.0.113.5', "203.0.113.5"),
            ("for=203.0.113.5, by=198.51.100.7", PROXY),
            ("for=_hidden", PROXY),
            ("for=unknown", PROXY),
            ('for="', PROXY),
        ],
    )
    def test_may_be_told_as_rfc_7239_has_it(self, value: str, caller: str) -> None:
        settings = replace(SETTINGS, forwarded="Forwarded")

        scope = settled(PROXY, ("forwarded", value), ("x-forwarded-for", "1.1.1.1"), settings=settings)

        assert scope["client"] == (caller, 0)

    def test_is_read_from_the_one_header_that_the_proxy_sets(self) -> None:
        assert settled(PROXY, ("forwarded", "for=1.1.1.1"))["client"] == (PROXY, 0)

    @pytest.mark.parametrize("peer", ["203.0.113.5", "192.0.2.11", "2001:db9::1", "::ffff:203.0.113.5", "no address"])
    def test_is_the_peer_itself_where_that_is_no_proxy(self, peer: str) -> None:
        scope = settled(peer, ("x-forwarded-for", "127.0.0.1"), ("host", "a"))

        assert scope["client"] == (peer, 4711)
        assert scope["headers"] == [(b"host", b"a")]

    @pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}", "198.51.100.255", "2001:db8:0:1::7"])
    def test_proxies_are_known_in_every_spelling(self, peer: str) -> None:
        assert settled(peer, ("x-forwarded-for", "203.0.113.5"))["client"] == ("203.0.113.5", 0)

    @given(st.lists(st.text(st.characters(codec="latin-1")), max_size=4), st.sampled_from(sorted(READERS)))
    def test_no_header_is_too_odd(self, values: list[str], name: str) -> None:
        scope = {"client": (PROXY, 1), "headers": [(name.lower().encode(), value.encode("latin-1")) for value in values]}
        READERS[name].settle(scope)

        assert scope["headers"] == []


def rfc_9440(der: bytes) -> str:
    return f":{base64.b64encode(der).decode()}:"


def escaped(der: bytes) -> str:
    """As nginx writes `$ssl_client_escaped_cert`."""
    return quote(certificates.pem(certificates.load(der)).decode(), safe="")


@pytest.fixture(scope="session")
def shown(test_ca: authority.Authority) -> bytes:
    return certificates.der(test_ca.certificate)


class TestAPassedCertificate:
    @pytest.mark.parametrize("write", [rfc_9440, escaped])
    def test_is_read_in_either_form(self, shown: bytes, write: Any) -> None:
        assert passed_certificate(settled(PROXY, ("client-cert", write(shown)))) == shown

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda der: base64.b64encode(der).decode(),
            lambda der: rfc_9440(der)[:-1],
            lambda der: rfc_9440(der).replace(":", "::", 1),
            lambda der: rfc_9440(der[:-1]),
            lambda der: rfc_9440(der + b"\0"),
            lambda der: escaped(der)[:-40],
            lambda der: escaped(der) * 2,
            lambda der: escaped(der).replace("%2B", "+").replace("%0A", "+"),
            lambda _der: "::",
            lambda _der: "",
            lambda _der: "FAILED:self-signed",
        ],
    )
    def test_that_cannot_be_read_is_refused_and_not_taken_for_none(self, shown: bytes, spoil: Any) -> None:
        with pytest.raises(Refused) as caught:
            passed_certificate(settled(PROXY, ("client-cert", spoil(shown))))

        assert caught.value.reason is Refusal.BAD_CERTIFICATE_HEADER

    def test_must_be_one(self, shown: bytes) -> None:
        with pytest.raises(Refused, match="2 headers"):
            passed_certificate(settled(PROXY, *[("client-cert", rfc_9440(shown))] * 2))

    @pytest.mark.parametrize(
        ("peer", "settings", "scope"),
        [
            ("203.0.113.5", SETTINGS, {}),
            (PROXY, Proxy(addresses=(PROXY,)), {}),  # the proxy is not said to send any
            (PROXY, replace(SETTINGS, client_certificate="X-Client"), {}),
            (PROXY, SETTINGS, {"extensions": {"tls": {"client_cert_der": None}}}),  # a listener that asks for them itself
        ],
        ids=["no proxy", "no such setting", "another header", "the device listener"],
    )
    def test_is_not_heard_from_elsewhere(self, shown: bytes, peer: str, settings: Proxy, scope: dict[str, Any]) -> None:
        whole = settled(peer, ("client-cert", rfc_9440(shown)), settings=settings, **scope)

        assert passed_certificate(whole) is None
        assert PROXY_EXTENSION not in whole.get("extensions", {})


@asynccontextmanager
async def behind(world: World, peer: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Clients of the world's server, with proxies set up, whose connections come from `peer`."""
    world.live.installation = replace(world.installation, settings=replace(world.installation.settings, proxy=SETTINGS))
    world.app = Application(world.live)
    transport = httpx2.ASGITransport(world.app.main, client=(peer, 50000))
    async with httpx2.AsyncClient(transport=transport, base_url=str(world.http.base_url)) as client:
        world.http = client
        yield client


async def idle(client: httpx2.AsyncClient, device: Device, headers: dict[str, str], *, sign: bool = False) -> int:
    body = plistlib.dumps({"Status": "Idle", "UDID": device.udid})
    signature = {"Mdm-Signature": device.sign(body)} if sign else {}
    answer = await client.put("/mdm/connect", content=body, headers={"Content-Type": CONNECT, **signature, **headers})
    return answer.status_code


async def reason(world: World) -> object:
    return (await world.events(EventKind.DEVICE_REFUSED))[0].detail["reason"]


async def test_a_device_is_known_by_the_certificate_that_a_proxy_passes_on(world: World, device: Device) -> None:
    await device.enroll()
    assert device.certificate is not None
    der = certificates.der(device.certificate)

    async with behind(world, PROXY) as client:
        for write in (rfc_9440, escaped):
            assert await idle(client, device, {"Client-Cert": write(der)}) == 200
        assert await idle(client, device, {"Client-Cert": rfc_9440(der)}, sign=True) == 200
        assert await idle(client, device, {}, sign=True) == 200


async def test_the_same_header_from_anybody_else_is_refused_and_counted(world: World, device: Device) -> None:
    await device.enroll()
    assert device.certificate is not None
    forged = {"Client-Cert": rfc_9440(certificates.der(device.certificate)), "X-Forwarded-For": PROXY}

    async with behind(world, "203.0.113.5") as client:
        assert await idle(client, device, forged) == 400
        assert await reason(world) == "no-signature"
        counted = await samples(world)
        assert await idle(client, device, forged, sign=True) == 200  # it is not heard, so it does no harm

    assert counted["bramley_ignored_headers_total", "client-certificate"] == 1
    assert counted["bramley_ignored_headers_total", "forwarded"] == 1


async def test_signature_and_passed_certificate_must_be_of_one_identity(
    world: World, device: Device, device_key: keys.PrivateKey
) -> None:
    await device.enroll()
    other = Device(world, device_key, "00008030-000000000000002F")
    await other.enroll()
    assert other.certificate is not None

    async with behind(world, PROXY) as client:
        assert await idle(client, device, {"Client-Cert": rfc_9440(certificates.der(other.certificate))}, sign=True) == 400

    assert await reason(world) == "bad-signature"


@pytest.mark.parametrize(
    ("issuer", "expected"), [("test CA", "unknown-issuer"), ("HTTPS CA", "wrong-usage"), ("nobody", "bad-certificate-header")]
)
async def test_what_a_proxy_lets_pass_is_judged_here(
    world: World, device: Device, test_ca: authority.Authority, issuer: str, expected: str
) -> None:
    await device.enroll()
    passed = {
        "test CA": rfc_9440(certificates.der(_issued(test_ca, device.key, world))),
        "HTTPS CA": rfc_9440(certificates.der(world.live.current().https.certificate)),
        "nobody": ":AAAA:",
    }[issuer]

    async with behind(world, PROXY) as client:
        assert await idle(client, device, {"Client-Cert": passed}) == 400

    assert await reason(world) == expected


def _issued(ca: authority.Authority, key: keys.PrivateKey, world: World) -> x509.Certificate:
    return authority.issue(ca, profiles.DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=world.clock.now())
