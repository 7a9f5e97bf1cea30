"""SCEP requests that wait for a person (RFC 8894 section 3.3.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bramley.model.enrollments import EnrollmentKey, Purpose
from bramley.model.lineages import VersionID


class ApprovalState(StrEnum):
    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request that was entitled and waits for a person.

    `transaction_id` is the client's. `spki_sha256` names the requested key and `signer_sha256` the key that signed the request,
    each by the SHA-256 (lower hexadecimal) of its SubjectPublicKeyInfo: only the signer may poll for it. `request` is the CSR
    (DER), sealed since its challenge is in it. `version_id` is what was issued, once it was.
    """

    id: str
    transaction_id: str
    signer_sha256: str
    spki_sha256: str
    request: bytes
    enrollment_key: EnrollmentKey
    purpose: Purpose
    state: ApprovalState
    created_at: datetime
    changed_at: datetime
    decided_by: str = ""
    version_id: VersionID | None = None
