"""Certificates for listeners, made once for the test run."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.tls.live import ServerPair

from .kit import Start


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
