"""Every wrong file given to `bramley push import` gets one clear error and exit code 2, and changes nothing."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.bad_files import PASSWORD, ROWS, TOPIC, Bad, make
from tests.cli.kit import Run

Dump = Callable[[], list[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    make(folder)
    for password in {row.password for row in ROWS.values() if row.password} | {PASSWORD}:
        (folder / f"{password}.txt").write_text(f"{password}\r\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def untouched(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for all rows: none of them may change it."""
    data = tmp_path_factory.mktemp("untouched") / "data"
    shutil.copytree(made_once, data)
    return data


@pytest.fixture(scope="module")
def before(untouched: Path) -> list[str]:
    return dump(untouched)


def dump(data: Path) -> list[str]:
    """Every row of every table: lineages, versions, keys, events, jobs and all the rest."""
    with sqlite3.connect(data / "bramley.sqlite3") as database:
        rows = list(database.iterdump())
    database.close()
    assert any("INSERT INTO" in row for row in rows)
    return rows


def arguments(row: Bad, folder: Path) -> list[object]:
    given: list[object] = [folder / name for name in row.files]
    return [*given, "--password-file", folder / f"{row.password}.txt"] if row.password else given


@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_file_gets_one_clear_error_and_changes_nothing(
    name: str, folder: Path, untouched: Path, before: list[str], run: Run
) -> None:
    row = ROWS[name]
    ended = run("push", "import", *arguments(row, folder), "--data", untouched)
    assert (ended.code, ended.out) == (2, "")
    error, *advice = ended.err.splitlines()
    assert error.startswith("error: ")
    assert row.says in error
    assert len(advice) <= 1
    assert not any(secret in ended.err for secret in (PASSWORD, "Correct horse", "secret", "BEGIN PRIVATE"))
    assert dump(untouched) == before


def test_there_are_rows_enough() -> None:
    assert len(ROWS) >= 40


@pytest.mark.parametrize(
    "row",
    [Bad(("good.pem", "good.key"), ""), Bad(("good.p12",), "", PASSWORD), Bad(("locked.key", "good.pem"), "", PASSWORD)],
    ids=lambda row: row.files[0],
)
def test_the_same_without_the_fault_could_be_imported(
    row: Bad, folder: Path, untouched: Path, before: list[str], run: Run
) -> None:
    ended = run("push", "import", *arguments(row, folder), "--data", untouched, "--dry-run", "--json")
    assert (ended.code, ended.json["topic"]) == (0, TOPIC), ended.err
    assert dump(untouched) == before


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), (b"\xff\xfep\0", "not in UTF-8"), (b"x" * 100_000, "larger than 65536 bytes")]
)
def test_a_wrong_password_file_is_told_as_such(
    content: bytes | None, says: str, folder: Path, untouched: Path, before: list[str], run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    ended = run("push", "import", folder / "good.p12", "--password-file", file, "--data", untouched)
    assert ended.code == 2
    assert says in ended.err.splitlines()[0]
    assert dump(untouched) == before
