"""What a device answered to a command: waiting for it and showing it."""

from __future__ import annotations

import asyncio

from bramley.cli.output import Output
from bramley.mdm import plist
from bramley.mdm.plist import PlistValue
from bramley.mdm.report import MAX_REPORT_BYTES, parse_report
from bramley.model.commands import Command, CommandState
from bramley.operations import commands
from bramley.operations.installation import Installation

_PENDING = frozenset({CommandState.QUEUED, CommandState.NOT_NOW})
_FAILED = frozenset({CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR, CommandState.CANCELLED})
_ENVELOPE = frozenset({"Status", "CommandUUID", "UDID", "EnrollmentID", "UserID", "UserShortName", "UserLongName", "ErrorChain"})
"""Keys of every answer: who speaks and how it went."""


async def wait_for(installation: Installation, queued: Command, *, seconds: float) -> Command:
    """The command as it is once it has ended, or after so many seconds."""
    latest = queued
    watch = installation.store.watch()
    try:
        async with asyncio.timeout(seconds):
            while True:
                latest = await commands.show(installation, queued.enrollment_key, queued.uuid)
                if latest.state not in _PENDING:
                    break
                await watch.changed()
    except TimeoutError:
        pass
    return latest


def failed(command: Command) -> bool:
    """Whether it ended other than by Acknowledged."""
    return command.state in _FAILED


def show(output: Output, command: Command) -> None:
    """The command, and its answer where there is one."""
    if output.as_json:
        output.json(command_as_json(command) | {"answer": _content(command), "error_chain": _errors(command)})
        return
    output.line(f"{command.uuid} {command.request_type}: {command.state}")
    for item in _errors(command):
        output.line(f"  {item['domain']} {item['code']}: {item['description']}")
    for key, value in _content(command).items():
        if isinstance(value, dict):
            output.fields(key, list(value.items()))
        else:
            output.fields(key, [("", item) for item in value] if isinstance(value, list) else [("", value)])


def command_as_json(command: Command) -> dict[str, object]:
    """A command without its payload, which may hold secrets."""
    return {
        "uuid": command.uuid,
        "request_type": command.request_type,
        "state": command.state,
        "created_at": command.created_at,
        "created_by": command.created_by,
        "sent_at": command.sent_at,
        "answered_at": command.answered_at,
        "not_now_count": command.not_now_count,
    }


def _content(command: Command) -> dict[str, PlistValue]:
    if command.answer is None:
        return {}
    answer = plist.loads(command.answer, max_bytes=MAX_REPORT_BYTES)
    return {key: value for key, value in answer.items() if key not in _ENVELOPE} if isinstance(answer, dict) else {}


def _errors(command: Command) -> list[dict[str, object]]:
    chain = parse_report(command.answer).error_chain if command.answer is not None else ()
    return [{"domain": item.domain, "code": item.code, "description": item.description} for item in chain]
