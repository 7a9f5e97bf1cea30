"""What devices answer, read by the table.

A device's answer is its own word about itself: what is missing or of another type in a list is refused where somebody acts on
it, so that nobody takes half a list for a whole one. People are shown all of it, with what is odd about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bramley.mdm.commands.checking import check_answer
from bramley.mdm.commands.finding import Finding, Severity
from bramley.mdm.commands.table import TABLE
from bramley.mdm.errors import BadMessage
from bramley.mdm.messages import read_dictionary
from bramley.mdm.plist import PlistValue
from bramley.mdm.report import MAX_REPORT_BYTES, ErrorItem, read_error_chain

ENVELOPE: Final = frozenset(
    {
        "Status",
        "CommandUUID",
        "UDID",
        "EnrollmentID",
        "EnrollmentUserID",
        "UserID",
        "UserShortName",
        "UserLongName",
        "NotOnConsole",
        "ErrorChain",
        "RequestType",
    }
)
"""Keys of every answer: who speaks and how it went."""

_SETTINGS: Final = "Settings"


@dataclass(frozen=True, slots=True)
class Told:
    """All that a report tells beside its envelope, with what is odd about it by the table."""

    content: Mapping[str, PlistValue] = field(repr=False)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingAnswer:
    """What became of one item of Settings, in the order in which they were sent."""

    status: str
    errors: tuple[ErrorItem, ...]


def read_answer(request_type: str, raw: bytes) -> Told:
    """What a report of any command tells, keys that nobody knows included. Raises BadMessage for what is no dictionary."""
    report = read_dictionary(raw, MAX_REPORT_BYTES)
    content = {key: value for key, value in report.items() if key not in ENVELOPE}
    known = TABLE.get(request_type)
    # one that failed owes nothing
    if known is None or report.get("Status") != "Acknowledged":
        return Told(content)
    return Told(content, check_answer(known, _listed(content) if request_type == _SETTINGS else content))


def required_answer(request_type: str, raw: bytes) -> Mapping[str, PlistValue]:
    """What an Acknowledged report tells, for whoever acts on it. Raises BadMessage where what must be there is not, or is odd."""
    report = read_dictionary(raw, MAX_REPORT_BYTES)
    found = check_answer(TABLE[request_type], report)
    wrong = next((each for each in found if each.severity is Severity.ERROR), None)
    if wrong is not None:
        raise BadMessage(f"An answer to {request_type}, {wrong.path}: {wrong.words}")
    return report


def settings_answers(content: Mapping[str, PlistValue]) -> tuple[SettingAnswer, ...]:
    """What became of each item of Settings: the command as a whole is Acknowledged where some of them failed."""
    items = _listed(content).get(_SETTINGS)
    return tuple(
        SettingAnswer(str(item.get("Status", "")), read_error_chain(item.get("ErrorChain")))
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict)
    )


def _listed(content: Mapping[str, PlistValue]) -> Mapping[str, PlistValue]:
    """Apple's schema has one dictionary where its documentation, and devices, have a list of them."""
    only = content.get(_SETTINGS)
    return {**content, _SETTINGS: [only]} if isinstance(only, dict) else content
