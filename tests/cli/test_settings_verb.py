"""`bramley settings`."""

from __future__ import annotations

from pathlib import Path

import pytest

from bramley.settings import explain
from tests.cli.kit import Run


def test_every_setting_is_shown_with_value_default_and_explanation(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bramley.toml"
    file.write_text("[listen]\nport = 9443\n")
    shown = {item["name"]: item for item in run("settings", "--config", file, "--json").json}
    assert list(shown) == [item.name for item in explain()]
    assert shown["listen.port"] == {
        "name": "listen.port",
        "value": 9443,
        "default": 8443,
        "environment": "BRAMLEY_LISTEN_PORT",
        "explanation": "TCP port; 0 takes a free one",
    }


def test_the_file_may_be_named_by_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bramley.toml"
    file.write_text("organization = 'Orchard'")
    monkeypatch.setenv("BRAMLEY_CONFIG", str(file))
    assert "Orchard" in run("settings").out


def test_a_password_in_a_proxy_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMLEY_PUSH_PROXY", "http://me:hunter2@proxy.example:3128")
    shown = run("settings")
    assert "http://me:…@proxy.example:3128" in shown.out
    assert "hunter2" not in shown.out


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_nor_is_one_of_a_database(run: Run, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]) -> None:
    monkeypatch.setenv(
        "BRAMLEY_DATABASE", "postgresql://me:hunter2@db.example/b?sslmode=require&sslpassword=hunter2&PASSWORD=hunter2"
    )
    shown = run("settings", *extra)
    masked = "postgresql://me:…@db.example/b?sslmode=require&sslpassword=…&PASSWORD=…"
    assert masked in (str(shown.json) if extra else shown.out)
    assert "hunter2" not in shown.out
