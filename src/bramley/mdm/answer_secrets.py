"""What devices tell in answers and nobody is to find at rest: an unlock token, and the code that lifts Activation Lock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bramley.mdm import plist
from bramley.mdm.records import secret_place
from bramley.mdm.report import BYPASS_CODE, MAX_REPORT_BYTES, UNLOCK_TOKEN, Report
from bramley.model.commands import Command, CommandUUID
from bramley.pki.keystore import Place, Sealer
from bramley.storage.protocols import Tx


def kept(report: Report, uuid: CommandUUID, sealer: Sealer) -> bytes:
    """What is stored of a final report: all but its secrets. A code comes back in, as data that is sealed for this command."""
    code = report.secrets.get(BYPASS_CODE)
    if code is None:
        return report.raw
    content = _content(report.raw)
    content[BYPASS_CODE] = sealer.seal(code, _place(uuid))
    return plist.dumps(content)


def keep_unlock_token(tx: Tx, report: Report, command: Command, sealer: Sealer) -> None:
    """The answer to RequestUnlockToken is kept where a TokenUpdate's token is: ClearPasscode takes it from there."""
    token = report.secrets.get(UNLOCK_TOKEN)
    if token is None or command.request_type != "RequestUnlockToken":
        return
    enrollment = tx.enrollments.get(command.enrollment_key)
    if enrollment is None:
        raise AssertionError("a command has an enrollment")
    sealed = sealer.seal(token, secret_place(enrollment.key, "unlock-token"))
    tx.enrollments.update(replace(enrollment, unlock_token=sealed))


def opened(command: Command, sealer: Sealer) -> Command:
    """A command as whoever asked for its answer may see it: a code in clear.

    Raises SealError where what was sealed is another command's, or was changed.
    """
    if command.answer is None or command.request_type != BYPASS_CODE:
        return command
    content = _content(command.answer)
    code = content.get(BYPASS_CODE)
    if not isinstance(code, bytes):
        return command
    content[BYPASS_CODE] = sealer.open(code, _place(command.uuid)).decode()
    return replace(command, answer=plist.dumps(content))


def _content(report: bytes) -> dict[str, Any]:
    content = plist.loads(report, max_bytes=MAX_REPORT_BYTES)
    if not isinstance(content, dict):
        raise AssertionError("a report is a dictionary")
    return content


def _place(uuid: CommandUUID) -> Place:
    return Place("command", uuid, "answer")
