"""What the tests of profiles share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from bramley.pki.keys import PrivateKey

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signing:
    """Root, CA, signer, and the signer's key."""

    root: x509.Certificate
    ca: x509.Certificate
    signer: x509.Certificate
    key: PrivateKey
