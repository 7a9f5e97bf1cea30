"""Why a command failed, in the words of its device."""

from __future__ import annotations

import plistlib
from dataclasses import replace

import pytest

from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.operations.identity_standing import errors_of, in_words
from tests.conftest import NOW

CHAIN = [{"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": 12021, "USEnglishDescription": "No."}]
REPORT = {"UDID": "u", "Status": "Error", "CommandUUID": "c", "ErrorChain": CHAIN}


@pytest.fixture
def failed() -> Command:
    made = Command(CommandUUID("c"), EnrollmentKey("k"), "InstallProfile", b"", CommandState.ERROR, NOW, "admin:jo")
    return replace(made, answer=plistlib.dumps(REPORT))


def test_its_error_chain(failed: Command) -> None:
    assert in_words(errors_of(failed)) == "; MCMDMErrorDomain 12021: No."


def test_nothing_where_it_did_not_answer_or_nobody_can_read_it(failed: Command) -> None:
    deep: object = "core"
    for _ in range(100):
        deep = [deep]
    for answer in (None, b"", plistlib.dumps({**REPORT, "Extra": deep})):
        assert errors_of(replace(failed, answer=answer)) == ()
