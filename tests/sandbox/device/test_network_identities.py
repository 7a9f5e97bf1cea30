"""Identities that come with other profiles than the enrollment profile: fetched, listed, replaced, and gone with the profile."""

from __future__ import annotations

from typing import Any

import pytest

from bramley.pki import certificates
from bramley.sandbox.device import SimulatedDevice
from tests.sandbox.tiny_server import TinyServer

WIFI = "o.network.wifi"


def profile(server: TinyServer, challenge: str, uuid: str = "N", url: str = "") -> bytes:
    content = {"URL": url or f"{server.url}/scep", "Challenge": challenge, "Keysize": 2048, "Subject": [[["2.5.4.5", "C02"]]]}
    common = {"PayloadType": "com.apple.security.scep", "PayloadIdentifier": f"{WIFI}.scep", "PayloadVersion": 1}
    return server.profile(WIFI, [{**common, "PayloadUUID": uuid, "PayloadContent": content}])


async def answered(device: SimulatedDevice, server: TinyServer, request_type: str, **values: Any) -> dict[str, Any]:
    server.send(request_type, **values)
    await device.connect()
    said: dict[str, Any] = server.seen[-1].plist
    return said


async def listed(device: SimulatedDevice, server: TinyServer) -> list[bytes]:
    told = await answered(device, server, "CertificateList")
    return [item["Data"] for item in told["CertificateList"] if item["IsIdentity"]]


async def test_it_is_fetched_listed_replaced_and_gone_with_its_profile(device: SimulatedDevice, server: TinyServer) -> None:
    assert device.identity is not None
    own = certificates.der(device.identity.certificate)
    server.challenges |= {"first", "second"}
    for challenge in ("first", "second"):
        said = await answered(device, server, "InstallProfile", Payload=profile(server, challenge, uuid=challenge))
        assert said["Status"] == "Acknowledged"
        here = certificates.der(device.holdings.network[WIFI].certificate)
        assert await listed(device, server) == [own, here]
    assert server.messages.count("Authenticate") == 1  # it is no renewal of the enrollment
    assert (await answered(device, server, "RemoveProfile", Identifier=WIFI))["Status"] == "Acknowledged"
    assert await listed(device, server) == [own]


async def test_a_refused_one_leaves_what_was_there(device: SimulatedDevice, server: TinyServer) -> None:
    server.challenges.add("first")
    await answered(device, server, "InstallProfile", Payload=profile(server, "first"))
    before, held = device.holdings.profiles[WIFI], await listed(device, server)
    said = await answered(device, server, "InstallProfile", Payload=profile(server, "never given out", uuid="other"))
    assert (said["Status"], said["ErrorChain"][0]["ErrorDomain"]) == ("Error", "MDM-SCEP")
    assert device.holdings.profiles[WIFI] is before
    assert await listed(device, server) == held
    await device.check_out()
    assert device.holdings.network == {}


@pytest.mark.parametrize("status", [None, 400, 401, 503])
async def test_a_ca_that_does_not_answer_or_refuses_is_told_as_the_answer(
    device: SimulatedDevice, server: TinyServer, status: int | None
) -> None:
    server.refuse = lambda request: status if request.path == "/ca" else None
    url = "http://127.0.0.1:1/scep" if status is None else f"{server.url}/ca"
    for identity in (profile(server, "x", url=url), _renewal(server, url)):
        said = await answered(device, server, "InstallProfile", Payload=identity)
        assert (said["Status"], said["ErrorChain"][0]["ErrorDomain"]) == ("Error", "MDM-SCEP")
    assert device.enrolled
    assert device.holdings.network == {}


def _renewal(server: TinyServer, url: str) -> bytes:
    server.signed = False
    return server.enrollment_profile("renewal").replace(f"{server.url}/scep".encode(), url.encode())
