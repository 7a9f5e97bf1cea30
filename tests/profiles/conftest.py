"""Apple's schema as the judge of what we build, and a small hierarchy to sign with."""

from __future__ import annotations

import importlib.util
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bramley.pki import keys, names
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import PROFILE_SIGNER, ROOT_CA, SIGNER_CA
from bramley.pki.keys import KeyAlgorithm

from .kit import NOW, Signing


@pytest.fixture(scope="session")
def schema(vectors: Path) -> Any:
    """Apple's own schema of profiles."""
    path = vectors.parent / "tools" / "apple_schema.py"
    if not path.is_file():
        pytest.skip(f"no schema checker at {path}")
    spec = importlib.util.spec_from_file_location("apple_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    checker = module.Checker(vectors / "apple-schema", None, False)
    read = checker.documents
    checker.documents = cache(lambda folder: tuple(read(folder)))  # it would read every file again for every payload
    return checker


@pytest.fixture(scope="session")
def signing() -> Signing:
    moment: datetime = NOW
    root_key, ca_key, key = (keys.generate(KeyAlgorithm.P_256) for _ in range(3))
    root = Authority(self_signed(ROOT_CA, root_key, names.make("Orchard Root", organization="Orchard"), now=moment), root_key)
    ca = Authority(issue(root, SIGNER_CA, ca_key.public_key(), subject=names.make("Orchard Signer CA"), now=moment), ca_key)
    signer = issue(ca, PROFILE_SIGNER, key.public_key(), subject=names.make("Orchard Profiles"), now=moment)
    return Signing(root.certificate, ca.certificate, signer, key)
