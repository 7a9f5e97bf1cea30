"""The page on what is checked is true of the code."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest

from bramley.mdm.connect import IN_QUARANTINE
from bramley.mdm.errors import BadMessage, MDMError, NotOffered, Quarantined, Refusal, Refused
from bramley.mdm.identity import SKEW
from bramley.settings import Settings
from bramley.web import answers
from bramley.web.errors import TooLarge

from .pages import ROOT, read, rows

PAGE = read("reference/checks.md")
TABLE = rows(PAGE, "## The table")
OTHERS: dict[str, MDMError | TooLarge] = {
    "bad-message": BadMessage(""),
    "too-large": TooLarge(""),
    "quarantined": Quarantined(""),
}


def test_every_reason_to_refuse_has_its_line_and_no_line_is_made_up() -> None:
    reasons = [row[2] for row in TABLE if row[2] != "not-offered"]

    assert sorted(reasons) == sorted([*Refusal, *OTHERS])


@pytest.mark.parametrize("reason", [*Refusal, *OTHERS])
def test_the_answer_is_the_one_that_a_device_gets(reason: str) -> None:
    (told,) = [int(row[3]) for row in TABLE if row[2] == reason]

    error = OTHERS.get(reason) or Refused(Refusal(reason), "")
    assert answers.for_device(error).status == told
    assert answers.for_device(error).body == b""


def test_what_is_not_offered_has_the_answer_of_its_type() -> None:
    told = {row[1]: int(row[3]) for row in TABLE if row[2] == "not-offered"}

    for name in ("UserAuthenticate", "DeclarativeManagement", "GetToken"):
        assert [status for words, status in told.items() if name in words] == [answers.device_status(NotOffered(name))]


def test_no_line_answers_what_would_end_an_enrollment_and_each_says_why() -> None:
    assert not {int(row[3]) for row in TABLE} & {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    assert all(len(row) == 5 and row[4] for row in TABLE)


def test_numbers_are_those_of_the_settings() -> None:
    identity = Settings().identity

    assert f"`identity.clock_skew_minutes` ({identity.clock_skew_minutes})" in PAGE
    assert SKEW.total_seconds() == 60 * identity.clock_skew_minutes
    assert f"`identity.expired_days` ({identity.expired_days})" in PAGE
    assert f'`identity.expired = "{identity.expired}"`, the default' in PAGE


def test_what_goes_out_in_quarantine_is_named() -> None:
    (sentence,) = re.findall(r"is given (`DeviceLock`.*?) alone", PAGE, re.DOTALL)

    assert set(re.findall(r"`(\w+)`", sentence)) == IN_QUARANTINE


def test_tests_that_the_page_names_exist() -> None:
    files = [ROOT / name for name in re.findall(r"`(tests/[\w/.]+)`", PAGE)]
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))

    assert files
    assert all(file.is_file() for file in files)
    for name in re.findall(r"`(test_\w+|Test\w+)`", PAGE):
        assert re.search(rf"(def|class) {name}\b", sources), name
