"""Apple's schema as the judge of what we build, and a small hierarchy to sign with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from bramley.pki import keys, names
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import PROFILE_SIGNER, ROOT_CA, SIGNER_CA
from bramley.pki.keys import KeyAlgorithm

from .kit import NOW, Signing


@pytest.fixture(scope="session")
def schema(apple_schema: Callable[..., Any]) -> Any:
    """Apple's own schema of profiles."""
    return apple_schema()


@pytest.fixture(scope="session")
def signing() -> Signing:
    moment: datetime = NOW
    root_key, ca_key, key = (keys.generate(KeyAlgorithm.P_256) for _ in range(3))
    root = Authority(self_signed(ROOT_CA, root_key, names.make("Orchard Root", organization="Orchard"), now=moment), root_key)
    ca = Authority(issue(root, SIGNER_CA, ca_key.public_key(), subject=names.make("Orchard Signer CA"), now=moment), ca_key)
    signer = issue(ca, PROFILE_SIGNER, key.public_key(), subject=names.make("Orchard Profiles"), now=moment)
    return Signing(root.certificate, ca.certificate, signer, key)
