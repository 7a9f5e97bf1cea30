"""Certificates for listeners, made once for the test run."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.tls.live import ServerPair
from tests.web.kit import Start
from tests.web.world import Device, Template, World


@pytest.fixture(scope="session")
def test_ca() -> authority.Authority:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    begin = datetime.fromisoformat("2020-01-01T00:00:00+00:00")
    certificate = authority.self_signed(
        profiles.ROOT_CA, key, names.make("Test root"), now=begin, lifetime=timedelta(days=30 * 365)
    )
    return authority.Authority(certificate, key)


def _pair(ca: authority.Authority, key: keys.PrivateKey) -> ServerPair:
    sans = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    now = SystemClock().now()
    leaf = authority.issue(ca, profiles.HTTPS_SERVER, key.public_key(), subject=names.make("localhost"), sans=sans, now=now)
    return ServerPair(certificates.pem(leaf), key)


@pytest.fixture(scope="session")
def rsa_pair(test_ca: authority.Authority) -> ServerPair:
    return _pair(test_ca, keys.generate(keys.KeyAlgorithm.RSA_2048))


@pytest.fixture(scope="session")
def ec_pair(test_ca: authority.Authority) -> ServerPair:
    return _pair(test_ca, keys.generate(keys.KeyAlgorithm.P_256))


@pytest.fixture(scope="session")
def client_tls(test_ca: authority.Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates.der(test_ca.certificate))
    return context


@pytest.fixture
def start(ec_pair: ServerPair, client_tls: ssl.SSLContext) -> Start:
    return Start(ec_pair, client_tls)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    begun = datetime.fromisoformat("2026-11-01T00:00:00+00:00")
    return Template.make(tmp_path_factory.mktemp("template") / "data", begun)


@pytest.fixture
async def world(template: Template, tmp_path: Path, now: datetime) -> AsyncIterator[World]:
    async with World.open(template, tmp_path, now) as opened:
        yield opened


@pytest.fixture(scope="session")
def device_key() -> keys.PrivateKey:
    return keys.generate(keys.KeyAlgorithm.RSA_2048)


@pytest.fixture
def device(world: World, device_key: keys.PrivateKey) -> Device:
    return Device(world, device_key)
