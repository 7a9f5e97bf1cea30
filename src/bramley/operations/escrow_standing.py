"""How a Mac's escrow stands: which certificate it has in its present life, and what its recovery keys say.

A Mac that enrolls anew has lost its profiles, and after an erasure its disk too: only what it got and told since then counts for
what it is asked. What it told before stays readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import vault
from bramley.operations.errors import Conflict
from bramley.pki import certificates, cms
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

_STANDING: Final = frozenset({VersionState.ISSUED, VersionState.ACTIVE})


def versions(tx: Tx, enrollment: Enrollment) -> Sequence[Version]:
    """Every escrow certificate that was made for the Mac, oldest first."""
    lineage = tx.lineages.find(Kind.FILEVAULT_ESCROW, enrollment.id or "")
    return [] if lineage is None else tx.lineages.versions(lineage.id)


def require_begun(tx: Tx, enrollment: Enrollment) -> None:
    """Conflict for a Mac that has yet to finish enrolling: what it was sent before would be taken for an earlier life's."""
    if _began(tx, enrollment) is None:
        raise Conflict(f"{enrollment.id} has not finished enrolling.", advice="`bramley device show` tells when it is active.")


def on_its_way(tx: Tx, enrollment: Enrollment) -> Version | None:
    """The certificate that the Mac is being sent."""
    return _in_this_life(tx, enrollment, VersionState.ISSUED)


def require_in_force(tx: Tx, enrollment: Enrollment) -> Version:
    """The certificate that the Mac encrypts its recovery key to. Conflict where it has none."""
    found = _in_this_life(tx, enrollment, VersionState.ACTIVE)
    if found is not None:
        return found
    if any(each.state is VersionState.ACTIVE for each in versions(tx, enrollment)):
        raise Conflict(
            f"{enrollment.id} has enrolled anew, and has no escrow certificate since.",
            advice="One is sent by itself; wait for its answer, or send it with `bramley escrow enable`.",
        )
    raise Conflict(
        f"{enrollment.id} has no escrow certificate yet.", advice="`bramley escrow enable` sends one; wait for its answer."
    )


def is_outlived(tx: Tx, enrollment: Enrollment) -> bool:
    """Whether an enrolled Mac had an escrow certificate, or was sent one, in an earlier life, and has not been sent one since."""
    began = _began(tx, enrollment)
    standing = [each for each in versions(tx, enrollment) if each.state in _STANDING]
    return (
        enrollment.state is EnrollmentState.ACTIVE
        and began is not None
        and bool(standing)
        and all(each.changed_at < began for each in standing)
    )


def current(tx: Tx, enrollment: Enrollment) -> RecoveryKey | None:
    """The recovery key that the Mac told last, in its present life."""
    began, known = _began(tx, enrollment), tx.recovery_keys.of(EnrollmentID(enrollment.id or ""))
    return known[0] if known and began is not None and known[0].received_at >= began else None


def recipient(tx: Tx, enrollment: Enrollment, message: bytes) -> Version | None:
    """The escrow certificate of the Mac, in force or former, that a message is encrypted to."""
    return next((each for each in reversed(versions(tx, enrollment)) if _is_to(message, each)), None)


def text(tx: Tx, sealer: Sealer, key: RecoveryKey) -> str:
    """A recovery key in clear. Conflict for a message that does not open, or holds no text."""
    found = tx.lineages.version(key.version_id)
    if found is None or found.key_id is None or found.certificate is None:
        raise Conflict(f"The escrow key {key.version_id} is missing.", advice="Restore a backup that has it.")
    private = vault.take(tx, sealer, found.key_id)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise AssertionError("escrow keys are RSA")
    try:
        content = cms.decrypt(key.message, key=private, certificate=certificates.load(found.certificate)).content
        return content.decode("utf-8").strip("\0\r\n ")
    except (cms.CMSError, UnicodeDecodeError):
        raise Conflict("The recovery key that the Mac told does not open with its escrow key.") from None


def _in_this_life(tx: Tx, enrollment: Enrollment, state: VersionState) -> Version | None:
    began = _began(tx, enrollment)
    if began is None:
        return None
    return next((each for each in versions(tx, enrollment) if each.state is state and each.changed_at >= began), None)


def _began(tx: Tx, enrollment: Enrollment) -> datetime | None:
    """When the present life of an enrollment began; None before its first TokenUpdate.

    One that goes on from another MDM did not begin here: its next TokenUpdate is no beginning.
    """
    if enrollment.enrolled_at is None and enrollment.state is not EnrollmentState.ACTIVE:
        return None
    activated = tx.events.find(kind=EventKind.ENROLLMENT_ACTIVATED, enrollment_key=enrollment.key, limit=1)
    return enrollment.enrolled_at if activated and enrollment.enrolled_at else enrollment.created_at


def _is_to(message: bytes, version: Version) -> bool:
    return version.certificate is not None and cms.is_for(message, certificates.load(version.certificate))
