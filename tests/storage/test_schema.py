"""The migrations lead to the schema that the code believes in, and the database itself refuses what breaks it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql

from bramley.storage import schema
from bramley.storage.migrations import HEAD, configuration, migrate
from bramley.storage.sqlite.opening import open_to_write


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[sa.Connection]:
    """An empty database that went through every migration."""
    path = tmp_path / "bramley.db"
    open_to_write(path).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_head_we_state_is_alembics() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_alembic_finds_no_difference_to_the_metadata(migrated: sa.Connection) -> None:
    assert compare_metadata(MigrationContext.configure(migrated), schema.metadata) == []


def test_nor_is_there_one_in_what_alembic_does_not_compare(migrated: sa.Connection) -> None:
    """Checks, partial indexes, AUTOINCREMENT: all that stands in the text of the statements."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as direct:
        schema.metadata.create_all(direct)
        expected = statements(direct)
    engine.dispose()
    found = statements(migrated)
    found.pop("alembic_version")
    assert found == expected


def statements(connection: sa.Connection) -> dict[str, str]:
    rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"))
    return {name: " ".join(statement.split()) for name, statement in rows}


def test_migrating_twice_changes_nothing(migrated: sa.Connection) -> None:
    before = statements(migrated)
    with migrated.begin_nested():
        migrate(migrated)
    assert statements(migrated) == before


def test_the_schema_is_one_that_postgresql_takes() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in schema.metadata.sorted_tables:
        assert str(sa.schema.CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(sa.schema.CreateIndex(index).compile(dialect=dialect))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO enrollments (key, state, created_at, changed_at) VALUES ('k', 'happy', 0, 0)",
        "INSERT INTO versions VALUES ('v', 'l', 1, 'expired', 0, 0, NULL, ''" + ", NULL" * 12 + ")",
        "INSERT INTO versions VALUES ('v', 'l', 1, 'awaiting', 0, 0, 'nobody', ''" + ", NULL" * 12 + ")",
        "INSERT INTO links VALUES ('l', 'h', 'label', 0, 0, 1, 2, NULL, NULL)",
        "INSERT INTO jobs VALUES (1, 'k', 0, 0, '{}', NULL, 'running', 1, '', NULL, NULL)",
        "INSERT INTO notes (name) VALUES ('without a value')",
    ],
)
def test_the_database_refuses_what_cannot_be(migrated: sa.Connection, statement: str) -> None:
    raw = migrated.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    with pytest.raises(sqlite3.IntegrityError, match=r"CHECK|NOT NULL"):
        raw.execute(statement)
