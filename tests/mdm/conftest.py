"""CAs and keys made once a run, and a server on a store of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from bramley.pki import keys, names
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import IDENTITY_CA, ROOT_CA
from bramley.pki.keys import KeyAlgorithm
from bramley.storage.sqlite import open_store

from .kit import NOW, Orchard, Server


@pytest.fixture(scope="session")
def orchard() -> Orchard:
    root_key = keys.generate(KeyAlgorithm.P_256)
    root = Authority(self_signed(ROOT_CA, root_key, names.make("Orchard Root"), now=NOW), root_key)
    ca_name = names.make("Orchard Identity CA")
    ca_key = keys.generate(KeyAlgorithm.RSA_2048)
    ca = Authority(issue(root, IDENTITY_CA, ca_key.public_key(), subject=ca_name, now=NOW), ca_key, (root.certificate,))
    fake_key = keys.generate(KeyAlgorithm.RSA_2048)
    fake = Authority(self_signed(IDENTITY_CA, fake_key, ca_name, now=NOW), fake_key)
    return Orchard(root, ca, fake, keys.generate(KeyAlgorithm.RSA_2048))


@pytest.fixture
async def server(tmp_path: Path, orchard: Orchard, now: datetime) -> AsyncIterator[Server]:
    store = await open_store(tmp_path / "bramley.db")
    try:
        yield Server(store, orchard, now)
    finally:
        await store.close()
