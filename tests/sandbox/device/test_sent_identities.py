"""A device that is sent its identity: takes what Apple's systems read, and nothing else."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from typing import Any

import pytest

from bramley.pki import certificates, cms, keys, names, pkcs12
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.pki.pkcs12 import Style
from bramley.sandbox.device import SimulatedDevice
from bramley.sandbox.device.holdings import require_scep
from bramley.sandbox.errors import BadProfile
from tests.sandbox.tiny_server import TinyServer

PASSWORD = "a password of this archive"


def archive(server: TinyServer, key: PrivateKey, style: Style = Style.APPLE) -> bytes:
    certificate = issue(server.identity_ca, DEVICE_IDENTITY, key.public_key(), subject=names.make("device"), now=server.now())
    return pkcs12.write(pkcs12.Bundle(key, certificate), PASSWORD, style=style, iterations=100)


def profile(server: TinyServer, content: object, **changes: Any) -> bytes:
    """The server's enrollment profile with an identity in the place of the SCEP payload."""
    signed = cms.parse_signed_data(server.enrollment_profile("not used"))
    assert signed.content is not None
    payloads = plistlib.loads(signed.content)["PayloadContent"]
    scep = next(each for each in payloads if each["PayloadType"] == "com.apple.security.scep")
    scep |= {"PayloadType": "com.apple.security.pkcs12", "PayloadContent": content, "Password": PASSWORD, **changes}
    return server.profile("o.enrollment", payloads)


async def test_it_enrolls_and_is_renewed_with_what_it_is_sent(
    device_for: Callable[..., SimulatedDevice], server: TinyServer, keyring: list[PrivateKey]
) -> None:
    device = device_for()
    first = profile(server, archive(server, keyring[1]))
    await device.holdings.install(device._open(first))
    assert (await device.obtain_identity()).key.public_key() == keyring[1].public_key()
    await device.authenticate()
    await device.token_update()
    server.send("InstallProfile", Payload=profile(server, archive(server, keyring[3])))
    await device.connect()
    assert server.messages == ["Authenticate", "TokenUpdate", "Idle", "Authenticate", "TokenUpdate", "Acknowledged"]
    assert device.identity is not None
    assert device.identity.key.public_key() == keyring[3].public_key()
    *_, last = (request for request in server.seen if request.method == "PUT")
    assert last.signer == certificates.der(device.identity.certificate)


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (lambda server, key: archive(server, key, Style.MODERN), {}, "does not read"),
        (archive, {"Password": "another"}, "does not open"),
        (archive, {"Password": 7}, "a password as text"),
        (lambda server, key: archive(server, key)[:-20], {}, "does not open"),
        (lambda *_given: "text", {}, "an archive as data"),
        (archive, {"PayloadUUID": "another"}, "IdentityCertificateUUID"),
        (lambda server, _key: archive(server, keys.generate(KeyAlgorithm.P_256)), {}, "an RSA key"),
    ],
    ids=["AES", "wrong password", "no text", "cut short", "no data", "not named", "EC"],
)
async def test_what_it_cannot_read_it_says_and_stays_as_it_was(
    content: Callable[[TinyServer, PrivateKey], object],
    changes: dict[str, Any],
    said: str,
    device: SimulatedDevice,
    server: TinyServer,
    keyring: list[PrivateKey],
) -> None:
    before = device.identity
    server.send("InstallProfile", Payload=profile(server, content(server, keyring[3]), **changes))
    await device.connect()
    report = server.seen[-1].plist
    assert (report["Status"], report["ErrorChain"][0]["ErrorDomain"]) == ("Error", "MCInstallationErrorDomain")
    assert said in report["ErrorChain"][0]["LocalizedDescription"]
    assert PASSWORD not in str(report)
    assert device.identity is before


def test_a_profile_that_brings_the_identity_has_no_scep(
    device_for: Callable[..., SimulatedDevice], server: TinyServer, keyring: list[PrivateKey]
) -> None:
    opened = device_for()._open(profile(server, archive(server, keyring[1])))
    assert PASSWORD not in repr(opened)
    assert PASSWORD not in repr(opened.pkcs12)
    with pytest.raises(BadProfile, match="brings the identity along"):
        require_scep(opened)
