"""ServerURLPinningCertificateUUIDs and CheckInURLPinningCertificateUUIDs: by what alone a pinned device trusts its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509

from bramley.pki import certificates, names
from bramley.pki.ca.authority import self_signed
from bramley.pki.ca.profiles import ROOT_CA
from bramley.pki.keys import PrivateKey
from bramley.sandbox.device import SimulatedDevice
from bramley.sandbox.errors import BadProfile, ServerUnreachable
from tests.sandbox.tiny_server import TinyServer

SERVER, CHECK_IN = "ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs"
OURS, THEIRS = "R", "OTHER"


@pytest.fixture
async def listener(server: TinyServer, keyring: list[PrivateKey]) -> TinyServer:
    """The server with TLS, and another root in its enrollment profile besides its own: devices trust both."""
    await server.stop()
    await server.start_tls(keyring[0])
    other: x509.Certificate = self_signed(ROOT_CA, keyring[2], names.make("Cider Root"), now=server.now())
    server.further = [
        {
            "PayloadType": "com.apple.security.root",
            "PayloadVersion": 1,
            "PayloadIdentifier": "o.other",
            "PayloadUUID": THEIRS,
            "PayloadContent": certificates.der(other),
        }
    ]
    return server


@pytest.mark.parametrize("pins", [{}, {SERVER: [OURS]}, {SERVER: [THEIRS, OURS], CHECK_IN: [OURS]}])
async def test_a_server_whose_chain_leads_to_a_pin_is_trusted(
    device_for: Callable[..., SimulatedDevice], listener: TinyServer, pins: dict[str, Any]
) -> None:
    listener.mdm = pins
    device = device_for()
    await device.enroll(f"{listener.url}/enroll")
    listener.send("SecurityInfo")
    assert await device.connect() == 1


async def test_one_of_another_root_is_not_though_the_device_trusts_that(
    device_for: Callable[..., SimulatedDevice], listener: TinyServer
) -> None:
    listener.mdm = {CHECK_IN: [THEIRS]}
    device = device_for()
    with pytest.raises(ServerUnreachable, match="certificate verify failed"):
        await device.enroll(f"{listener.url}/enroll")
    assert listener.messages == []


async def test_each_url_has_its_own(device_for: Callable[..., SimulatedDevice], listener: TinyServer) -> None:
    listener.mdm = {SERVER: [THEIRS]}
    device = device_for()
    await device.enroll(f"{listener.url}/enroll")  # by check-ins alone
    with pytest.raises(ServerUnreachable, match="certificate verify failed"):
        await device.connect()


@pytest.mark.parametrize(("pins", "words"), [(["ABSENT"], "ABSENT"), ("R", "list of strings"), ([7], "list of strings")])
async def test_a_pin_that_is_none_is_refused(
    device_for: Callable[..., SimulatedDevice], listener: TinyServer, pins: object, words: str
) -> None:
    listener.mdm = {SERVER: pins}
    with pytest.raises(BadProfile, match=words):
        await device_for().fetch_profile(f"{listener.url}/enroll")
