"""One-time challenge passwords."""

from __future__ import annotations

import base64
import hashlib

from bramley.pki.scep import challenge


def test_a_secret_has_256_bits_and_is_never_the_same() -> None:
    secrets = {challenge.new_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert all(len(base64.urlsafe_b64decode(secret + "=")) == 32 for secret in secrets)


def test_its_digest_is_sha256_of_the_text() -> None:
    assert challenge.digest("open sesame") == hashlib.sha256(b"open sesame").hexdigest()
    assert challenge.digest("sésame") == hashlib.sha256("sésame".encode()).hexdigest()
