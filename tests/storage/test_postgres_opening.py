"""Opening a PostgreSQL database: whatever is wrong with it, the operator learns what to do, and no password is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bramley.errors import BadInput, OutsideTrouble
from bramley.settings import load
from bramley.storage import schema
from bramley.storage.errors import NeverUsed, NewerSchema, NoPlace, NotAdmitted, StorageError, TooOld, Unreachable, WrongFormat
from bramley.storage.migrations import HEAD
from bramley.storage.postgres import hotpath, open_store, opening
from bramley.storage.postgres.connection import Address, discard, raw_of
from bramley.storage.postgres.opening import sort_as_bytes
from bramley.storage.protocols import Tx
from tests.postgres import KEPT_OUT, WITH_PASSWORD, Cluster

PASSWORD = "hunter2"


@pytest.fixture
def empty(postgres: Cluster) -> Iterator[str]:
    """The name of a database with nothing in it."""
    name = postgres.fresh("template0")
    yield name
    postgres.drop(name)


async def trouble_with(url: str, *, create: bool = True) -> StorageError:
    """The error of opening it, which must give advice and tell no password."""
    with pytest.raises(StorageError) as caught:
        await open_store(url, create=create)
    assert caught.value.advice
    assert PASSWORD not in str(caught.value)
    return caught.value


async def test_no_server_is_there() -> None:
    trouble = await trouble_with(f"postgresql://bramley:{PASSWORD}@127.0.0.1:1/bramley")
    assert isinstance(trouble, Unreachable)
    assert isinstance(trouble, OutsideTrouble)
    assert "127.0.0.1:1" in trouble.message


async def test_the_password_is_wrong(postgres: Cluster) -> None:
    postgres.execute(f"CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'right'")
    for given in ({"password": PASSWORD}, {}):
        trouble = await trouble_with(postgres.url(user=WITH_PASSWORD, **given))
        assert isinstance(trouble, NotAdmitted)
        assert "password" in trouble.message


@pytest.mark.parametrize("user", [KEPT_OUT, "nobody_made_this_one"])
async def test_the_account_is_not_let_in(postgres: Cluster, user: str) -> None:
    assert isinstance(await trouble_with(postgres.url(user=user)), NotAdmitted)


async def test_there_is_no_such_database(postgres: Cluster) -> None:
    trouble = await trouble_with(postgres.url("nowhere"))
    assert isinstance(trouble, NoPlace)
    assert "CREATE DATABASE" in trouble.advice


async def test_the_server_is_too_old(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OLDEST", 99)
    trouble = await trouble_with(postgres_url)
    assert isinstance(trouble, TooOld)
    assert "expected PostgreSQL 99 or newer" in trouble.message


async def test_a_newer_bramley_has_written_it(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    trouble = await trouble_with(postgres_url)
    assert isinstance(trouble, NewerSchema)
    assert "9999" in trouble.message
    assert HEAD in trouble.message


async def test_it_is_the_database_of_another_program(postgres: Cluster, empty: str) -> None:
    postgres.execute("CREATE TABLE bookmarks (url text)", empty)
    assert isinstance(await trouble_with(postgres.url(empty)), WrongFormat)


async def test_it_cannot_hold_every_character(postgres: Cluster) -> None:
    postgres.execute("CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    trouble = await trouble_with(postgres.url("ascii"))
    assert isinstance(trouble, WrongFormat)
    assert "SQL_ASCII" in trouble.message
    postgres.drop("ascii")


async def test_an_account_that_may_make_no_tables(postgres: Cluster, empty: str) -> None:
    postgres.execute("CREATE ROLE guest LOGIN")
    trouble = await trouble_with(postgres.url(empty, user="guest"))
    assert isinstance(trouble, NotAdmitted)
    assert "owner" in trouble.advice
    assert tables(postgres, empty) == 0


async def test_looking_whether_one_is_there_makes_nothing(postgres: Cluster, empty: str) -> None:
    assert isinstance(await trouble_with(postgres.url(empty), create=False), NeverUsed)
    assert tables(postgres, empty) == 0


def tables(postgres: Cluster, name: str) -> int:
    ((count,),) = postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name)
    assert isinstance(count, int)
    return count


async def test_an_empty_database_can_be_opened_by_several_at_once(postgres: Cluster, empty: str) -> None:
    stores = await asyncio.gather(*(open_store(postgres.url(empty)) for _ in range(3)))
    for number, store in enumerate(stores):
        await store.run(partial(note, f"{number}"))
    assert await stores[0].read(lambda tx: [tx.notes.get(f"{number}") for number in range(3)]) == ["x"] * 3
    for store in stores:
        await store.close()


def note(name: str, tx: Tx) -> None:
    tx.notes.set(name, "x")


async def test_a_migration_that_fails_leaves_the_database_as_it_was(
    postgres: Cluster, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(connection: sa.Connection) -> None:
        sort_as_bytes(connection)
        raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(opening, "sort_as_bytes", fail)
        with pytest.raises(OSError, match="power"):
            await open_store(postgres.url(empty))
    assert tables(postgres, empty) == 0
    await (await open_store(postgres.url(empty))).close()


async def test_a_commit_waits_for_the_disk_whatever_the_server_is_set_to(postgres: Cluster, postgres_url: str) -> None:
    name = postgres_url.partition("///")[2].partition("?")[0]
    for level, expected in (("off", "on"), ("remote_apply", "remote_apply")):
        postgres.execute(f"ALTER DATABASE {name} SET synchronous_commit = {level}")
        with Address(postgres_url).connect() as raw:
            assert raw.execute("SHOW synchronous_commit").fetchone() == (expected,)


class TestTheSchema:
    @pytest.fixture
    def migrated(self, postgres_url: str) -> Iterator[sa.Connection]:
        engine = Address(postgres_url).engine()
        connection = engine.connect()
        yield connection
        discard(connection)
        engine.dispose()

    def test_alembic_finds_no_difference_to_the_metadata(self, migrated: sa.Connection) -> None:
        assert compare_metadata(MigrationContext.configure(migrated), schema.metadata) == []

    def test_nor_is_there_one_in_what_alembic_does_not_compare(self, migrated: sa.Connection) -> None:
        """Checks, partial indexes and collations."""
        found = definitions(migrated)
        raw_of(migrated).execute("CREATE SCHEMA direct; SET search_path = direct")
        schema.metadata.create_all(migrated)
        sort_as_bytes(migrated)
        assert definitions(migrated) == found

    def test_every_text_sorts_by_its_bytes(self, migrated: sa.Connection) -> None:
        columns = "information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'"
        assert raw_of(migrated).execute(f"SELECT DISTINCT collation_name FROM {columns}").fetchall() == [("C",)]

    @pytest.mark.parametrize(("statement", "parameters"), [(hotpath.DEVICE, ("ab",)), (hotpath.USER, ("ann", "ab"))])
    def test_the_hot_path_searches_by_indexes(self, migrated: sa.Connection, statement: str, parameters: tuple[str, ...]) -> None:
        raw = raw_of(migrated)
        raw.execute("SET enable_seqscan = off")  # for a table of no rows it would otherwise be right
        plan = "\n".join(step for (step,) in raw.execute(f"EXPLAIN {statement}", parameters).fetchall())
        assert "Seq Scan" not in plan
        assert "commands_queued" in plan
        assert "commands_deferred" in plan


def definitions(connection: sa.Connection) -> set[str]:
    """Of every column, constraint and index in the current schema but Alembic's own."""
    query = """
        SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = to_regnamespace(current_schema()::text)
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()
         UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, collation_name)
                     FROM information_schema.columns WHERE table_schema = current_schema()
    """
    found = {row[0] for row in raw_of(connection).execute(query).fetchall()}
    here = {text.replace("public.", "").replace("direct.", "") for text in found}
    return {text for text in here if "alembic_version" not in text and "version_num" not in text}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{PASSWORD}/x@db.example/bramley",
        f"postgresql://me:{PASSWORD}@x@db.example/bramley",
        f"postgresql://me:{PASSWORD}#x@db.example/bramley",
        f"postgresql://me:{PASSWORD}?x@db.example/bramley",
        f"postgresql://me:{PASSWORD}:x@db.example:port/bramley",
        f"postgresql://me:{PASSWORD}@db.example",
        f"postgresql://me:{PASSWORD}@db.example/a b",
        f"mysql://me:{PASSWORD}@db.example/bramley",
        f"host=db.example password={PASSWORD} dbname=bramley",
    ],
)
def test_a_url_that_cannot_be_taken_apart_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        load(environment={"BRAMLEY_DATABASE": url})
    assert "percent-encode" in caught.value.advice.lower()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("url", [f"postgresql://me:{PASSWORD}%zz@db.example/b", f"postgresql://db.example/b?passwort={PASSWORD}"])
async def test_nor_is_one_that_only_libpq_refuses(url: str) -> None:
    assert load(environment={"BRAMLEY_DATABASE": url}).database == url
    assert isinstance(await trouble_with(url), NoPlace)


def test_settings_do_not_show_it_by_accident() -> None:
    assert PASSWORD not in repr(load(environment={"BRAMLEY_DATABASE": f"postgresql://me:{PASSWORD}@db.example/bramley"}))
