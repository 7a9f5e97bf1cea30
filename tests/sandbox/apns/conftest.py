"""A push certificate as a file for programs that read files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki.keys import PrivateKey
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.clock import ShiftedClock


@pytest.fixture
def identity(apple_ca: SandboxAppleCA, push_key: PrivateKey, clock: ShiftedClock, tmp_path: Path) -> Callable[[str], Path]:
    """A file with certificate, chain and key for a topic, and the root beside it."""

    def make(topic: str) -> Path:
        certificate = apple_ca.issue_push_certificate(push_key.public_key(), topic=topic, now=clock.now())
        path = tmp_path / "push.pem"
        key = push_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(apple_ca.chain_pem(certificate) + key)
        (tmp_path / "root.pem").write_bytes(apple_ca.root_pem)
        return path

    return make
