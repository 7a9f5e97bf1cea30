"""Recovery keys in what Macs answer: to SecurityInfo, or to RotateFileVaultKey."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Final

from bramley.mdm import plist
from bramley.mdm.commands import Request
from bramley.mdm.errors import BadMessage
from bramley.mdm.report import MAX_REPORT_BYTES
from bramley.model import ids
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment
from bramley.model.events import Event, EventKind
from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import escrow_standing
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx

ROTATE: Final = "RotateFileVaultKey"
"""The command by which a Mac makes a new recovery key, which its answer tells."""


def settle(tx: Tx, here: Installation, command: Command, *, now: datetime, actor: str) -> str:
    """Keeps the recovery key that an answer brings, unless this life of the Mac has told it before; "" or why there is none.

    A device's answer is its own word: what it encrypted to no escrow certificate of its own is not taken.
    """
    enrollment = tx.enrollments.get(command.enrollment_key)
    if enrollment is None or enrollment.id is None or command.state is not CommandState.ACKNOWLEDGED:
        return f"the device answered {command.request_type} with {command.state}"
    message = _message(command)
    if message is None:
        return "the answer brings no recovery key: is FileVault on, and was it switched on after the profile came?"
    version = escrow_standing.recipient(tx, enrollment, message)
    if version is None:
        return "the recovery key is encrypted to no escrow certificate of this Mac"
    fresh = RecoveryKey(ids.fresh(now), enrollment.id, version.id, message, now)
    try:
        text = escrow_standing.text(tx, here.sealer, fresh)
    except Conflict as error:
        return error.message
    if not text:
        return "the recovery key that the Mac told is empty"
    if _is_known(tx, here.sealer, enrollment, text):
        return ""
    detail = {"certificate": version.sha256, "replaces": bool(tx.recovery_keys.of(enrollment.id))}
    tx.recovery_keys.add(fresh)
    tx.events.append(Event(now, EventKind.RECOVERY_KEY_KEPT, actor, enrollment.key, version.id, detail))
    return ""


def require_kept(request: Request) -> None:
    """Conflict for a command by hand that changes a Mac's recovery key: nobody would keep the new one."""
    if request.request_type == ROTATE and request.to_plist().get("KeyType") == "personal":
        raise Conflict(
            "The new recovery key that a Mac tells on RotateFileVaultKey is kept only where `bramley escrow rotate` has sent it.",
            advice="Use that; what was asked for here was not sent.",
        )


def _is_known(tx: Tx, sealer: Sealer, enrollment: Enrollment, text: str) -> bool:
    known = escrow_standing.current(tx, enrollment)
    try:
        return known is not None and hmac.compare_digest(escrow_standing.text(tx, sealer, known).encode(), text.encode())
    except Conflict:
        return False  # one that does not open is no reason to drop one that does


def _message(command: Command) -> bytes | None:
    """The CMS message with the recovery key in an answer to SecurityInfo or RotateFileVaultKey."""
    try:
        answer = plist.loads(command.answer or b"", max_bytes=MAX_REPORT_BYTES)
    except BadMessage:
        return None
    rotated = command.request_type == ROTATE
    part = answer.get("RotateResult" if rotated else "SecurityInfo") if isinstance(answer, dict) else None
    found = part.get("EncryptedNewRecoveryKey" if rotated else "FDE_PersonalRecoveryKeyCMS") if isinstance(part, dict) else None
    return found if isinstance(found, bytes) else None
