"""Transactions on PostgreSQL while others write, while connections break, and while the server is away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import psycopg
import pytest

from bramley.errors import OutsideTrouble
from bramley.model.jobs import Job, JobState
from bramley.storage.errors import Busy, Conflict, DiskTrouble, Refused, Unreachable
from bramley.storage.postgres import PostgresStore, hotpath, listening, open_store, session
from bramley.storage.protocols import Tx
from bramley.storage.transaction import SQLTransaction
from tests.conftest import NOW
from tests.contract.kit import enrollment, id_of, job, link, store_all, store_identity
from tests.postgres import Cluster, database

LEASE = timedelta(minutes=1)


@pytest.fixture
async def name(postgres: Cluster) -> AsyncIterator[str]:
    with database(postgres) as made:
        yield made


@pytest.fixture
async def store(postgres: Cluster, name: str) -> AsyncIterator[PostgresStore]:
    opened = await open_store(postgres.url(name))
    yield opened
    await opened.close()


def cut_off(postgres: Cluster, name: str) -> int:
    """Ends every connection to the database, as an administrator or a failover does; how many."""
    ended = postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    return len(ended)


class TestOvertaken:
    async def test_a_transaction_runs_again_on_what_others_have_written(
        self, postgres: Cluster, name: str, store: PostgresStore
    ) -> None:
        await store.run(lambda tx: tx.notes.set("count", "1"))
        seen: list[str | None] = []

        def add_one(tx: Tx) -> None:
            seen.append(tx.notes.get("count"))
            if len(seen) == 1:
                postgres.execute("UPDATE notes SET value = '10'", name)
            tx.notes.set("count", str(int(seen[-1] or 0) + 1))

        await store.run(add_one)
        assert seen == ["1", "10"]
        assert await store.read(lambda tx: tx.notes.get("count")) == "11"

    async def test_what_was_read_and_not_written_counts_too(self, store: PostgresStore) -> None:
        """Write skew: two who each see that the other's note is not there, and write their own."""
        met = threading.Barrier(2, timeout=5)
        turns = {"a": 0, "b": 0}

        def only_one(mine: str, other: str, tx: Tx) -> bool:
            turns[mine] += 1
            free = tx.notes.get(other) is None
            if turns[mine] == 1:
                met.wait()
            if free:
                tx.notes.set(mine, "x")
            return free

        await store.run(lambda tx: tx.notes.set("filler", "x"))
        outcomes = await asyncio.gather(
            store.run(lambda tx: only_one("a", "b", tx)), store.run(lambda tx: only_one("b", "a", tx))
        )
        assert sorted(outcomes) == [False, True]

    async def test_whoever_is_overtaken_again_and_again_comes_to_write_alone(
        self, postgres: Cluster, name: str, store: PostgresStore
    ) -> None:
        await store.run(lambda tx: tx.notes.set("count", "0"))
        other = await open_store(postgres.url(name))
        loop = asyncio.get_running_loop()
        turns = 0

        def set_slowly(tx: Tx) -> None:
            nonlocal turns
            turns += 1
            tx.notes.get("count")
            racing = asyncio.run_coroutine_threadsafe(other.run(lambda tx: tx.notes.set("count", "other")), loop)
            try:
                racing.result(0.3)
            except TimeoutError:
                assert turns == session.TURNS_TOGETHER + 1, "the other waits at the gate"
            tx.notes.set("count", "mine")

        await store.run(set_slowly)
        assert turns == session.TURNS_TOGETHER + 1
        await other.close()
        assert await store.read(lambda tx: tx.notes.get("count")) == "other", "it came in afterwards"

    async def test_a_retry_sees_the_same_work_that_is_added_at_that_moment(
        self, postgres: Cluster, name: str, store: PostgresStore
    ) -> None:
        await store_all(store, job(dedup_key="k"))
        (taken,) = await store.run(lambda tx: tx.jobs.claim("one", NOW, LEASE, 1))
        turns = 0

        def give_back(tx: Tx) -> bool:
            nonlocal turns
            turns += 1
            tx.notes.get("the snapshot begins here")
            if turns == 1:
                columns = "kind, run_at, created_at, args, dedup_key, state, attempts, last_error"
                postgres.execute(f"INSERT INTO jobs ({columns}) VALUES ('push', 0, 0, '{{}}', 'k', 'ready', 0, '')", name)
            return tx.jobs.retry(id_of(taken), "one", NOW, "failed")

        assert await store.run(give_back)
        newer, older = await store.read(lambda tx: tx.jobs.of_kind("push"))
        assert (older.id, older.state, newer.state) == (taken.id, JobState.DONE, JobState.READY)

    async def test_a_true_conflict_is_told_without_its_values(self, store: PostgresStore) -> None:
        await store_all(store, enrollment("of-a-secret-kind"))
        with pytest.raises(Conflict) as caught:
            await store_all(store, enrollment("of-a-secret-kind"))
        assert "enrollments_pkey" in str(caught.value)
        assert "secret" not in str(caught.value)

    async def test_runners_do_not_wait_for_each_others_claims(self, store: PostgresStore) -> None:
        await store_all(store, job("a"), job("b"))
        claimed, go_on = threading.Event(), threading.Event()

        def claim_slowly(tx: Tx) -> list[Job]:
            taken = list(tx.jobs.claim("one", NOW, LEASE, 1))
            claimed.set()
            assert go_on.wait(5)
            return taken

        slow = asyncio.create_task(store.run(claim_slowly))
        await asyncio.to_thread(claimed.wait, 5)
        async with asyncio.timeout(2):
            quick = await store.run(lambda tx: tx.jobs.claim("two", NOW, LEASE, 5))
        go_on.set()
        assert [each.kind for each in [*await slow, *quick]] == ["a", "b"]

    async def test_a_wait_for_another_process_ends(self, postgres: Cluster, name: str, store: PostgresStore) -> None:
        await store.run(lambda tx: tx.notes.set("a", "b"))

        def wait(tx: Tx) -> None:
            assert isinstance(tx, SQLTransaction)
            tx.connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
            holder = asyncio.run_coroutine_threadsafe(asyncio.to_thread(hold), loop)
            assert held.wait(5)
            try:
                tx.notes.set("a", "c")
            finally:
                let_go.set()
                holder.result(5)

        def hold() -> None:
            with psycopg.connect(postgres.url(name)) as raw:
                raw.execute("UPDATE notes SET value = 'held'")
                held.set()
                assert let_go.wait(5)
                raw.rollback()

        loop, held, let_go = asyncio.get_running_loop(), threading.Event(), threading.Event()
        with pytest.raises(Busy):
            await store.run(wait)
        assert await store.read(lambda tx: tx.notes.get("a")) == "b"


async def test_a_standby_is_read_and_not_written(postgres: Cluster, name: str) -> None:
    postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    store = await open_store(postgres.url(name))
    with pytest.raises(DiskTrouble, match="may only read"):
        await store.run(lambda tx: tx.notes.set("a", "b"))
    assert await store.read(lambda tx: tx.notes.get("a")) is None
    await store.close()


async def test_a_character_that_postgresql_cannot_hold_is_refused(store: PostgresStore) -> None:
    with pytest.raises(Refused):
        await store.run(lambda tx: tx.notes.set("a", "nul \0"))
    with pytest.raises(Refused):
        await store.run(lambda tx: tx.links.add(link(uses_allowed=2**40)))


class TestBrokenConnections:
    async def test_idle_ones_are_replaced_and_nobody_notices(self, postgres: Cluster, name: str, store: PostgresStore) -> None:
        identity = await store_identity(store, enrollment())
        assert await store.presented(identity.sha256 or "", None)
        assert await store.read(lambda tx: tx.notes.get("a")) is None
        assert cut_off(postgres, name) >= 4
        await asyncio.sleep(0.1)
        assert await store.presented(identity.sha256 or "", None)
        await store.run(lambda tx: tx.notes.set("a", "b"))
        assert await store.read(lambda tx: tx.notes.get("a")) == "b"

    async def test_one_that_breaks_in_a_transaction_is_its_callers_trouble_alone(
        self, postgres: Cluster, name: str, store: PostgresStore
    ) -> None:
        def write(tx: Tx) -> None:
            tx.notes.set("a", "b")
            cut_off(postgres, name)
            tx.notes.set("c", "d")

        with pytest.raises(Unreachable) as caught:
            await store.run(write)
        assert isinstance(caught.value, OutsideTrouble)
        assert await store.read(lambda tx: (tx.notes.get("a"), tx.notes.get("c"))) == (None, None)
        with pytest.raises(Unreachable):
            await store.read(lambda tx: (cut_off(postgres, name), tx.notes.get("a")))
        await store.run(lambda tx: tx.notes.set("a", "again"))

    async def test_one_that_breaks_at_the_commit_leaves_it_open_what_is_there(
        self, postgres: Cluster, name: str, store: PostgresStore
    ) -> None:
        def write(tx: Tx) -> None:
            tx.notes.set("a", "b")
            cut_off(postgres, name)

        with pytest.raises(Unreachable, match="may be there or not"):
            await store.run(write)
        await store.run(lambda tx: tx.notes.set("a", "again"))

    async def test_the_listener_comes_back_and_says_so(self, postgres: Cluster, name: str, store: PostgresStore) -> None:
        watch = store.watch()
        cut_off(postgres, name)
        async with asyncio.timeout(2):
            await watch.changed()
        other = await open_store(postgres.url(name))
        await asyncio.sleep(0.2)
        fresh = store.watch()
        await other.run(lambda tx: tx.notes.set("a", "b"))
        async with asyncio.timeout(1):
            await fresh.changed()
        await other.close()

    async def test_while_the_server_is_away_all_hear_of_it_and_afterwards_all_goes_on(
        self, postgres: Cluster, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hotpath, "PATIENCE_SECONDS", 0.5)
        monkeypatch.setattr(listening, "POLL_SECONDS", 0.2)
        store = await open_store(postgres.url(name))
        device = enrollment()
        identity = await store_identity(store, device)
        assert await store.presented(identity.sha256 or "", None)
        store.saw(device.key, NOW)
        watch = store.watch()
        postgres.stop()
        try:
            began = time.monotonic()
            with pytest.raises(Unreachable):
                await store.run(lambda tx: tx.notes.set("a", "b"))
            with pytest.raises(Unreachable):
                await store.read(lambda tx: tx.notes.get("a"))
            with pytest.raises(Unreachable):
                await store.presented(identity.sha256 or "", None)
            assert time.monotonic() - began < 4
            async with asyncio.timeout(2):
                await watch.changed()
                await watch.changed()
            await asyncio.sleep(max(0, 1.2 - time.monotonic() + began))  # the notes are tried, and kept
        finally:
            postgres.start()
        async with asyncio.timeout(10):
            while await store.read(lambda tx: [each.last_seen_at for each in tx.enrollments.find()]) != [NOW]:
                await asyncio.sleep(0.1)
            while True:
                try:
                    assert await store.presented(identity.sha256 or "", None)
                    break
                except Unreachable:
                    await asyncio.sleep(0.1)
        await store.close()
