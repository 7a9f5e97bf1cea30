"""`bramley inspect`: any file is told for what it is, by exit code too, and none ends in a traceback."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.cli.bad_files import PASSWORD, ROWS, TOPIC, make
from tests.cli.kit import Run

UNKNOWN = {
    "cut.pem", "cut-end.pem", "cut-begin.pem", "headless.pem", "cut.key", "cut.der", "cut.key.der", "cut-10.p12", "cut-half.p12",
    "cut-last.p12", "garbage.der", "garbage.p12", "broken.pem", "other-end.pem", "nul.pem", "nul-inside.pem", "utf-16.pem",
    "empty.pem", "archive.zip",
}  # fmt: skip
"""Files that nothing can be told of, or of which only a part is there: exit code 1."""
UNREADABLE = {"folder.pem", "nowhere.pem", "loop.pem"}
BROKEN = {"request.plist"}
"""Recognized, with a signature that does not hold: exit code 1 as well."""

TOLD: dict[str, str] = {
    "good.pem": "MDM push certificate",
    "good.key": "private key",
    "good.p12": "PKCS#12 archive",
    "locked.key": "private key",
    "vendor.pem": "MDM vendor certificate",
    "app.pem": "certificate",
    "request.pem": "certificate signing request",
    "crl.pem": "certificate revocation list",
    "public.pem": "public key",
    "ssh.key": "SSH key",
    "token.json": "JSON",
    "profile.mobileconfig": "configuration profile",
    "signed.mobileconfig": "configuration profile",
    "request.plist": "push certificate request",
    "reply.p7": "mdmcert.download reply",
    "token.p7m": "ADE server token, encrypted",
    "enveloped.p7m": "encrypted CMS message",
    "chain.p7b": "PKCS#7 certificate bundle",
    "page.pem": "web page",
    "binary.plist": "property list",
    "two.key": "several things in PEM",
}
FILES = sorted({file for row in ROWS.values() for file in row.files} | set(TOLD))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make(folder)
    (folder / "password").write_text(PASSWORD)
    (folder / "wrong").write_text("Correct horse\n")
    return folder


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_told_or_called_unknown(name: str, folder: Path, run: Run) -> None:
    expected = 2 if name in UNREADABLE else 1 if name in UNKNOWN | BROKEN else 0
    for options in ([], ["--password-file", folder / "password"], ["--password-file", folder / "wrong", "--json"]):
        ended = run("inspect", folder / name, *options)
        assert ended.code == expected, ended
        assert "Traceback" not in ended.err
        assert "a bug in Bramley" not in ended.err
        assert PASSWORD not in ended.out + ended.err
        assert bool(ended.err) == (expected == 2)
    if name in TOLD:
        assert TOLD[name] in run("inspect", folder / name).out


def test_it_says_what_for_whose_until_when_and_which_command(folder: Path, run: Run) -> None:
    shown = run("inspect", folder / "good.p12", "--password-file", folder / "password").out
    for words in ("PKCS#12 archive", "wake its devices", TOPIC, "days left", "bramley push import", "inside", "private key"):
        assert words in shown
    told = run("inspect", folder / "good.pem", "--json").json
    assert (told["what"], told["owner"], told["command"], told["broken"]) == ("certificate", TOPIC, "bramley push import", False)
    assert told["days_left"] in (363, 364)
    assert told["details"]["topic"] == TOPIC
    assert told["details"]["kind"] == "push"
    assert (
        "over for 2 days" in run("inspect", folder / "expired.pem").out
        or "over for" in run("inspect", folder / "expired.pem").out
    )


def test_a_locked_archive_is_known_and_says_so(folder: Path, run: Run) -> None:
    assert run("inspect", folder / "good.p12", "--json").json["details"] == {"locked": True}
    wrong = run("inspect", folder / "good.p12", "--password-file", folder / "wrong")
    assert wrong.code == 0
    assert "The password does not open this PKCS#12 archive." in wrong.out


def test_stdin_is_read_where_the_file_is_a_dash(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((folder / "good.pem").read_bytes())))
    assert run("inspect", "-", "--json").json["owner"] == TOPIC


@pytest.mark.parametrize("dash", [False, True])
def test_a_file_over_50_mb_is_not_read(dash: bool, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    large = folder / "larger"
    with large.open("wb") as file:
        file.truncate(50 * 1024 * 1024 + 1)
    with large.open("rb") as stream:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        ended = run("inspect", "-" if dash else large)
    assert (ended.code, ended.out) == (2, "")
    assert "larger than 52428800 bytes" in ended.err


def test_no_installation_is_needed_nor_made(folder: Path, run: Run, tmp_path: Path) -> None:
    assert run("inspect", folder / "good.pem", "--data", tmp_path / "none").code == 0
    assert not (tmp_path / "none").exists()
