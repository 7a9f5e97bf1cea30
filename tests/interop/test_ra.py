"""An RA in front of an identity CA on P-256, whose key could open nothing: what clients make of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bramley.pki import certificates
from bramley.settings import Settings
from tests.interop.conftest import serving
from tests.interop.kit import Relay, Server, require, run
from tests.interop.test_certmonger import getcert
from tests.interop.test_scepclient import scepclient
from tests.operations.scep_kit import give_elliptic_ca


@pytest.fixture
async def elliptic(template: Settings, tmp_path: Path) -> AsyncGenerator[Server]:
    async with serving(template, tmp_path, give_elliptic_ca, legacy_algorithms=True) as opened:
        snapshot = opened.service.live.current()
        assert isinstance(snapshot.authorities.identity.authority.key, ec.EllipticCurvePrivateKey)
        (tmp_path / "ra.pem").write_bytes(certificates.pem(snapshot.responder.certificate))
        yield opened


@pytest.fixture
async def elliptic_relay(elliptic: Server) -> AsyncGenerator[Relay]:
    async with Relay.open(elliptic) as opened:
        yield opened


async def test_strongswan_tells_the_two_apart_and_enrolls(
    elliptic: Server, elliptic_relay: Relay, tmp_path: Path, device_key: Path
) -> None:
    require("pki")
    challenge = await elliptic.challenge()
    fetch = ("--url", elliptic_relay.url, "--outform", "pem", "--caout", "ca-got.pem", "--raout", "ra-got.pem")
    (await run("pki", "--scepca", *fetch, folder=tmp_path)).succeeded()
    assert (tmp_path / "ra-got.pem").read_text().split() == (tmp_path / "ra.pem").read_text().split()
    who = ("--url", elliptic_relay.url, "--in", device_key, "--dn", "CN=router", "--password", challenge.secret)
    trust = ("--cacert-enc", "ra-got.pem", "--cacert-sig", "ra-got.pem", "--cacert", elliptic.ca, "--cacert", elliptic.root)

    ended = await run("pki", "--scep", *who, *trust, "--outform", "pem", "--maxpolltime", "5", folder=tmp_path)

    (tmp_path / "device.pem").write_bytes(ended.succeeded().output)
    await elliptic.judge(tmp_path / "device.pem", device_key, challenge)
    assert "Issued certificate is trusted" in ended.said


async def test_certmonger_enrolls_and_renews(elliptic: Server, elliptic_relay: Relay, tmp_path: Path) -> None:
    require("certmonger", "getcert", "dbus-run-session")
    challenge = await elliptic.challenge()

    (await getcert(elliptic, elliptic_relay, tmp_path, challenge.secret, "rekey")).succeeded()

    await elliptic.judge(tmp_path / "before-rekey.pem", tmp_path / "before-rekey.key", challenge)
    await elliptic.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)


async def test_scepclient_enrolls_and_renews(elliptic: Server, elliptic_relay: Relay, tmp_path: Path) -> None:
    require("scepclient")
    challenge = await elliptic.challenge()

    # by default it encrypts to every certificate that GetCACert brings, the elliptic CA's too, and breaks down
    options = ("-ca-fingerprint", certificates.sha256(elliptic.service.live.current().responder.certificate))
    (await scepclient(elliptic_relay.url, tmp_path, *options, "-challenge", challenge.secret)).succeeded()
    first = await elliptic.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
    (await scepclient(elliptic_relay.url, tmp_path, *options)).succeeded()

    assert await elliptic.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge) != first
