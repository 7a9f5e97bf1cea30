"""A signer's identity, made once: an installer certificate below a CA, with Apple's marks."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import keys, names, xar
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import PROFILE_SIGNER
from bramley.pki.keys import KeyAlgorithm
from tests.pki.conftest import NOW, Hierarchy

Sign = Callable[..., bytes]


@pytest.fixture(scope="session")
def identity(hierarchy: Hierarchy, key_of: Callable[..., keys.PrivateKey]) -> xar.Identity:
    key = key_of(KeyAlgorithm.RSA_2048, "installer")
    assert isinstance(key, rsa.RSAPrivateKey)
    ca = hierarchy.identity_ca
    leaf = issue(ca, PROFILE_SIGNER, key.public_key(), subject=names.make("Installer"), now=NOW)
    return xar.Identity(key, (leaf, ca.certificate, hierarchy.root.certificate))


@pytest.fixture(scope="session")
def sign(identity: xar.Identity) -> Sign:
    """`sign(archive, replace=False)`: the signed archive."""

    def sign(data: bytes, *, replace: bool = False, by: xar.Identity = identity) -> bytes:
        target = io.BytesIO()
        opened = xar.read(io.BytesIO(data))
        xar.sign(opened, target, by, now=NOW, replace=replace, progress=lambda _: None)
        return target.getvalue()

    return sign
