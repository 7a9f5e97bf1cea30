"""The statements that run at every request find their rows by an index, whatever the table has grown to."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bramley.model.commands import CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentID, EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.storage.sqlite import hotpath
from bramley.storage.sqlite.connection import core_over
from bramley.storage.sqlite.opening import open_to_write
from bramley.storage.transaction import SQLTransaction
from tests.conftest import NOW


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_to_write(tmp_path / "bramley.db")) as raw:
        yield raw


def plan(raw: sqlite3.Connection, statement: str, parameters: tuple[object, ...]) -> str:
    return "\n".join(step[-1] for step in raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))


@pytest.mark.parametrize(("statement", "parameters"), [(hotpath.DEVICE, ("ab",)), (hotpath.USER, ("ab", "ann"))])
def test_the_hot_path_searches_and_never_scans(raw: sqlite3.Connection, statement: str, parameters: tuple[str, ...]) -> None:
    steps = plan(raw, statement, parameters)
    assert "SCAN" not in steps
    assert "TEMP B-TREE" not in steps
    assert "commands_queued" in steps
    assert "commands_deferred" in steps


def test_the_frequent_statements_search_too(raw: sqlite3.Connection) -> None:
    seen: list[tuple[str, tuple[object, ...]]] = []
    key, uuid = EnrollmentKey("k"), CommandUUID("u")
    with core_over(raw) as connection:
        tx = SQLTransaction(connection)
        sa.event.listen(connection, "before_cursor_execute", lambda *event: seen.append((event[2], event[3])))
        tx.commands.next(key)
        tx.commands.pending(key)
        tx.commands.answer(key, uuid, CommandState.ACKNOWLEDGED, b"", NOW)
        tx.commands.resume(key)
        tx.commands.history(key)
        tx.enrollments.by_id(EnrollmentID("i"))
        tx.enrollments.latest_by_id(EnrollmentID("i"))
        tx.enrollments.channels(key)
        tx.enrollments.bindings(key)
        tx.jobs.claim("one", NOW, timedelta(minutes=1), 1)
        tx.jobs.next_run_at()
        tx.jobs.of_kind("push")
        tx.jobs.sweep(NOW)
        tx.challenges.sweep(NOW)
        tx.lineages.by_serial("0a")
        tx.lineages.ending_before(Kind.DEVICE_IDENTITY, NOW, 1)
        tx.lineages.changed_before(Kind.DEVICE_IDENTITY, VersionState.SUPERSEDED, NOW, 1)
        tx.events.find(enrollment_key=key)
    assert len(seen) >= 18
    for statement, parameters in seen:
        steps = [step for step in plan(raw, statement, parameters).splitlines() if step.startswith("SCAN")]
        assert steps == [], statement
