"""What can be wrong around an installation: each a clear error with the right exit code, and nothing changed."""

from __future__ import annotations

import resource
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.kit import Run


def test_no_installation(run: Run, tmp_path: Path) -> None:
    shown = run("device", "list", "--data", tmp_path / "nowhere")
    assert shown.code == 2
    assert f"error: There is no Bramley installation in {tmp_path / 'nowhere'}." in shown.err
    assert "`bramley serve` makes one" in shown.err
    assert not (tmp_path / "nowhere").exists()


def test_a_file_where_the_data_folder_should_be(process: Run, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I was here first")
    shown = process("serve", "--data", tmp_path / "data", "--url", "https://mdm.example")
    assert shown.code == 2
    assert "a file is in the way" in shown.err
    assert (tmp_path / "data").read_text() == "I was here first"


def test_a_folder_above_that_is_a_file(process: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown = process("serve", "--data", tmp_path / "file" / "data", "--url", "https://mdm.example")
    assert shown.code == 2
    assert "a file is in the way" in shown.err


def test_a_place_where_nobody_can_write(process: Run) -> None:
    shown = process("serve", "--data", "/proc/bramley", "--url", "https://mdm.example")
    assert shown.code == 3
    assert "The data folder /proc/bramley cannot be made" in shown.err
    assert "--data or BRAMLEY_DATA names another folder" in shown.err


def test_a_port_in_use(process: Run, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = process("serve", "--data", data, "--listen", f"127.0.0.1:{port}")
    assert shown.code == 3
    assert str(port) in shown.err
    assert "Traceback" not in shown.err


def test_a_first_start_that_cannot_listen_has_shown_what_must_be_kept(process: Run, run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        shown = process("serve", "--data", data, "--listen", where, "--url", "https://mdm.example")
    assert shown.code == 3
    assert f"Recovery copy of the sealing key: {data / 'sealing-key.recovery'}" in shown.err
    assert "API token, shown this once: bramley_" in shown.err
    (root,) = run("certs", "list", "--kind", "root-ca", "--data", data, "--json").json
    assert root["sha256"] in shown.err


def test_a_full_disk_at_the_first_start_leaves_nothing_half_made(process: Run, tmp_path: Path) -> None:
    """The limit on file sizes stands in for the disk: the same writes fail, at any place we choose."""

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40 * 1024, 40 * 1024))

    data = tmp_path / "data"
    shown = process("serve", "--data", data, "--url", "https://mdm.example", preexec_fn=small_disk)
    assert shown.code == 3
    assert "error: " in shown.err
    assert "Traceback" not in shown.err
    assert "API token" not in shown.err
    listed = process("certs", "list", "--data", data)
    assert listed.code == 2
    assert "never finished" in listed.err


def test_a_disk_that_fills_up_changes_nothing(process: Run, run: Run, data: Path) -> None:
    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (34 * 1024, 34 * 1024))

    before = run("events", "--data", data, "--json").json
    shown = process("identity", "renew", "11111111-2222-3333-4444-555555555555", "--data", data, preexec_fn=small_disk)
    assert shown.code == 3
    assert "Traceback" not in shown.err
    assert run("events", "--data", data, "--json").json == before


def test_output_to_a_full_disk(data: Path) -> None:
    for options in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            command = [sys.executable, "-m", "bramley", "certs", "list", "--data", str(data), *options]
            ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (ended.returncode, "cannot be written: No space left" in ended.stderr) == (3, True)
        assert "Traceback" not in ended.stderr
        assert "Exception ignored" not in ended.stderr


def test_a_file_that_is_no_database(run: Run, data: Path) -> None:
    (data / "bramley.sqlite3").write_bytes(b"This is not a database. " * 400)
    shown = run("device", "list", "--data", data)
    assert shown.code == 2
    assert "expected a database, got something else" in shown.err


def test_a_damaged_database(run: Run, data: Path) -> None:
    database = data / "bramley.sqlite3"
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    database.write_bytes(content)
    shown = run("device", "list", "--data", data)
    assert shown.code == 3
    assert "the database is damaged" in shown.err
    assert "restore the latest backup" in shown.err
    assert "Traceback" not in shown.err


def test_a_database_of_something_else(run: Run, data: Path) -> None:
    database = data / "bramley.sqlite3"
    database.unlink()
    with sqlite3.connect(database) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    shown = run("device", "list", "--data", data)
    assert shown.code == 2
    assert "not one of Bramley's" in shown.err


def test_the_wrong_sealing_key(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMLEY_SEALING_KEY", "A" * 43 + "=")
    shown = run("device", "list", "--data", data)
    assert shown.code == 2
    assert "Put the right sealing.key back" in shown.err
    assert "AAAA" not in shown.err


def test_a_sealing_key_that_is_gone(run: Run, data: Path) -> None:
    (data / "sealing.key").unlink()
    shown = run("device", "list", "--data", data)
    assert shown.code == 2
    assert "recovery copy" in shown.err


def test_a_sealing_key_open_to_others(run: Run, data: Path) -> None:
    (data / "sealing.key").chmod(0o644)
    shown = run("device", "list", "--data", data)
    assert shown.code == 2
    assert "chmod 600" in shown.err


def test_another_url_than_at_the_first_start(process: Run, data: Path) -> None:
    shown = process("serve", "--data", data, "--url", "https://other.example", "--listen", "127.0.0.1:0")
    assert shown.code == 2
    assert "Enrolled devices can never follow to another URL" in shown.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("organization = ", "is not TOML"),
        ("organisation = 'X'", "There is no setting organisation. Did you mean organization?"),
        ("[limits]\nscep_byte = 1", "There is no setting limits.scep_byte. Did you mean limits.scep_bytes?"),
        ("listen = 5", "listen is a section"),
        ("[push]\nport = 'x'", "push.port must be of type int"),
    ],
)
def test_settings_that_cannot_be_meant(run: Run, tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "bramley.toml"
    file.write_text(content)
    shown = run("settings", "--config", file)
    assert shown.code == 2
    assert complaint in " ".join(shown.err.split())


def test_a_settings_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    shown = run("settings", "--config", tmp_path / "none.toml")
    assert shown.code == 2
    assert "cannot be read: No such file or directory" in shown.err


def test_a_misspelt_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMLEY_LISTEN_PROT", "1")
    shown = run("settings")
    assert shown.code == 2
    assert "BRAMLEY_LISTEN_PROT in the environment names no setting." in shown.err
    assert "Did you mean BRAMLEY_LISTEN_PORT?" in shown.err
