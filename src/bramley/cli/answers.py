"""What a device answered to a command: waiting for it and showing it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from bramley.cli.output import Output
from bramley.mdm.commands import SettingAnswer, Told, read_answer, settings_answers
from bramley.mdm.report import ErrorItem
from bramley.model.commands import Command, CommandState
from bramley.operations import commands
from bramley.operations.identity_standing import errors_of
from bramley.operations.installation import Installation

_PENDING = frozenset({CommandState.QUEUED, CommandState.NOT_NOW})
_FAILED = frozenset({CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR, CommandState.CANCELLED})


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
    """Whether it ended other than by Acknowledged, or an item of Settings did."""
    return command.state in _FAILED or any(each.status != "Acknowledged" for each in _settings(command, _told(command)))


def show(output: Output, command: Command, *, pin: str | None = None) -> None:
    """The command, and its answer where there is one; what is odd about that is a remark. Machines are told the PIN here."""
    told, errors = _told(command), errors_of(command)
    if output.as_json:
        chain = [{"domain": item.domain, "code": item.code, "description": item.description} for item in errors]
        made = {} if pin is None else {"pin": pin}
        output.json(command_as_json(command) | {"answer": told.content, "error_chain": chain} | made)
        return
    output.line(f"{command.uuid} {command.request_type}: {command.state}")
    _tell(output, errors, "  ")
    for at, setting in enumerate(_settings(command, told), 1):
        output.line(f"  item {at}: {setting.status}")
        _tell(output, setting.errors, "    ")
    for finding in told.findings:
        output.remark(f"{finding.path}: {finding.words}")
    if command.request_type == "Settings":
        return
    for key, value in told.content.items():
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


def _told(command: Command) -> Told:
    return Told({}) if command.answer is None else read_answer(command.request_type, command.answer)


def _settings(command: Command, told: Told) -> Sequence[SettingAnswer]:
    return settings_answers(told.content) if command.request_type == "Settings" else ()


def _tell(output: Output, errors: Sequence[ErrorItem], indent: str) -> None:
    for item in errors:
        output.line(f"{indent}{item.domain} {item.code}: {item.description}")
