"""What the tests of profiles share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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


def payload(kind: str, uuid: str, **rest: Any) -> dict[str, Any]:
    """A payload as a property list has it."""
    common = {"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"example.{uuid}", "PayloadUUID": uuid}
    return {**common, **rest}


def profile(*payloads: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A profile of these payloads."""
    common = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "example", "PayloadUUID": "P"}
    return {**common, "PayloadContent": list(payloads), **rest}
