"""The command on a PostgreSQL database: every verb works on the one that is named, and says clearly what is wrong with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.operations.installation import initialize
from bramley.settings import load
from tests.cli.kit import URL, Run
from tests.postgres import Cluster

PASSWORD = "hunter2"


@pytest.fixture
def data(tmp_path: Path, postgres_url: str) -> Path:
    """The data folder of an installation whose database is elsewhere."""

    async def make() -> None:
        settings = load(environment={}, data=tmp_path / "data", database=postgres_url, url=URL)
        installation, _first = await initialize(settings, SystemClock(), {})
        await installation.store.close()

    asyncio.run(make())
    return tmp_path / "data"


def test_verbs_honour_option_variable_and_file(
    run: Run, data: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sorted(file.name for file in data.iterdir()) == ["sealing-key.recovery", "sealing.key"]
    by_option = run("certs", "list", "--data", data, "--database", postgres_url, "--json")
    assert {row["kind"] for row in by_option.json} >= {"root-ca", "https"}
    (tmp_path / "bramley.toml").write_text(f'data = "{data}"\ndatabase = "{postgres_url}"\n')
    assert run("certs", "list", "--config", tmp_path / "bramley.toml", "--json").out == by_option.out
    monkeypatch.setenv("BRAMLEY_DATABASE", postgres_url)
    assert run("certs", "list", "--data", data, "--json").out == by_option.out
    made = run("admin", "token", "ann", "--data", data)
    assert made.out.startswith("bramley_")
    (newest, *_rest) = run("events", "--data", data, "--json").json
    assert newest["kind"] == "admin:token:created"


def test_a_dry_run_leaves_nothing(run: Run, data: Path, postgres_url: str) -> None:
    before = run("events", "--data", data, "--database", postgres_url, "--json").out
    assert run("admin", "token", "ann", "--dry-run", "--data", data, "--database", postgres_url).code == 0
    assert run("events", "--data", data, "--database", postgres_url, "--json").out == before


def test_no_server(run: Run, tmp_path: Path) -> None:
    shown = run("device", "list", "--data", tmp_path, "--database", f"postgresql://me:{PASSWORD}@127.0.0.1:1/bramley")
    assert shown.code == 3
    assert "error: expected a PostgreSQL server at 127.0.0.1:1" in shown.err
    assert PASSWORD not in shown.err
    assert "Traceback" not in shown.err


def test_a_url_that_is_none_is_not_repeated(run: Run, tmp_path: Path) -> None:
    shown = run("device", "list", "--data", tmp_path, "--database", f"postgresql://me:{PASSWORD}/x@127.0.0.1/bramley")
    assert shown.code == 2
    assert "Percent-encode" in shown.err
    assert PASSWORD not in shown.err


def test_no_installation_and_none_made_by_asking(run: Run, postgres: Cluster, tmp_path: Path) -> None:
    name = postgres.fresh("template0")
    shown = run("device", "list", "--data", tmp_path / "data", "--database", postgres.url(name))
    assert shown.code == 2
    assert "There is no Bramley installation in the database." in shown.err
    assert not (tmp_path / "data").exists()
    assert postgres.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == [(0,)]
    postgres.drop(name)


def test_another_machine_needs_the_sealing_key(run: Run, data: Path, postgres_url: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for verb in (("device", "list"), ("serve", "--listen", "127.0.0.1:0", "--url", URL)):
        shown = run(*verb, "--data", elsewhere, "--database", postgres_url)
        assert shown.code in {2, 3}
        assert "sealing.key" in shown.err
    assert not (elsewhere / "sealing.key").exists(), "a new one could open nothing"
    elsewhere.mkdir(mode=0o700, exist_ok=True)
    (elsewhere / "sealing.key").write_bytes((data / "sealing-key.recovery").read_bytes())
    (elsewhere / "sealing.key").chmod(0o600)
    assert run("certs", "list", "--data", elsewhere, "--database", postgres_url).code == 0
