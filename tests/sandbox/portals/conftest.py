"""What tests of the portals share: an Apple that nobody knows yet, on a clock that stands, and keys made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals import SandboxApple
from bramley.sandbox.portals.vendors import new_csr, rsa_key
from tests.conftest import SetClock
from tests.sandbox.portals.kit import ACCOUNT, DEVELOPER, OTHER_ACCOUNT, Request


@pytest.fixture(scope="session")
def vendor_key() -> rsa.RSAPrivateKey:
    return rsa_key()


@pytest.fixture(scope="session")
def customer_key() -> rsa.RSAPrivateKey:
    return rsa_key()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def portals(apple: SandboxAppleCA, clock: SetClock) -> SandboxApple:
    """Two Apple Accounts, and a developer with an Enterprise membership."""
    made = SandboxApple(apple, clock)
    made.identity.sign_up(ACCOUNT)
    made.identity.sign_up(OTHER_ACCOUNT)
    made.developer.sign_up(DEVELOPER, organization="Orchard", enterprise=True)
    return made


@pytest.fixture
def vendor(portals: SandboxApple, vendor_key: rsa.RSAPrivateKey) -> x509.Certificate:
    """The developer's vendor certificate."""
    return certificates.load(portals.developer.issue_vendor(DEVELOPER, new_csr(vendor_key, "vendor")))


@pytest.fixture
def request_for(
    apple: SandboxAppleCA, vendor: x509.Certificate, vendor_key: rsa.RSAPrivateKey, customer_key: rsa.RSAPrivateKey
) -> Callable[..., Request]:
    """A push certificate request as it should be; a test changes what it likes."""

    def make(key: rsa.RSAPrivateKey = customer_key) -> Request:
        return Request(new_csr(key, "push"), vendor_key, [*apple.vendor_chain(vendor)])

    return make
