"""A certificate authority and server certificates for listeners in tests; keys are made once."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

import pytest
from cryptography import x509

from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.tls.live import ServerPair

ISSUED = datetime.fromisoformat("2020-01-01T00:00:00+00:00")


@pytest.fixture(scope="session")
def ca() -> authority.Authority:
    """A CA valid from 2020 for thirty years: `ssl` reads the machine's own clock."""
    key = keys.generate(keys.KeyAlgorithm.P_256)
    lifetime = timedelta(days=30 * 365)
    return authority.Authority(
        authority.self_signed(profiles.ROOT_CA, key, names.make("Test root"), now=ISSUED, lifetime=lifetime), key
    )


@pytest.fixture(scope="session")
def rsa_key() -> keys.PrivateKey:
    return keys.generate(keys.KeyAlgorithm.RSA_2048)


@pytest.fixture(scope="session")
def ec_key() -> keys.PrivateKey:
    return keys.generate(keys.KeyAlgorithm.P_256)


def server_pair(ca: authority.Authority, key: keys.PrivateKey) -> ServerPair:
    sans = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    today = datetime.now(tz=ISSUED.tzinfo)
    leaf = authority.issue(ca, profiles.HTTPS_SERVER, key.public_key(), subject=names.make("localhost"), sans=sans, now=today)
    return ServerPair(certificates.pem(leaf), key)


@pytest.fixture(scope="session")
def rsa_pair(ca: authority.Authority, rsa_key: keys.PrivateKey) -> ServerPair:
    return server_pair(ca, rsa_key)


@pytest.fixture(scope="session")
def ec_pair(ca: authority.Authority, ec_key: keys.PrivateKey) -> ServerPair:
    return server_pair(ca, ec_key)
