"""Exit codes, usage errors, and how quickly nothing is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bramley import __version__
from bramley.cli import entry, main
from bramley.cli.program import NOUNS, load
from docs.generate import verbs
from tests.cli.kit import Result, Run

HEAVY = ("litestar", "sqlalchemy", "alembic", "pycurl", "cryptography.x509", "rich", "structlog", "bramley.operations")


def test_help_imports_nothing_heavy() -> None:
    script = f"import sys; from bramley.cli import main; main(['--help']); print([m for m in {HEAVY!r} if m in sys.modules])"
    started = time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    print(f"`bramley --help` took {time.perf_counter() - started:.2f} s")
    assert ended.stdout.splitlines()[-1] == "[]"


def test_help_lists_every_noun(run: Run) -> None:
    shown = run("--help")
    assert shown.code == 0
    assert all(f"  {noun} " in shown.out for noun in NOUNS)


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if noun != "demo"])
def test_every_option_and_argument_is_explained(noun: str) -> None:
    for _words, verb in verbs(load(noun), noun):
        assert verb.help, verb.name
        assert {"--json", "--data", "--config"} <= {option for p in verb.params for option in p.opts}
        for parameter in verb.params:
            assert parameter.help, f"{noun} {verb.name} {parameter.name}"


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out == f"bramley {__version__}\n"


def test_no_arguments_show_the_help_and_are_an_error(run: Run) -> None:
    shown = run()
    assert shown.code == 2
    assert "Commands" in shown.out + shown.err


def test_a_choice_that_is_none_is_met_with_those_there_are(run: Run) -> None:
    shown = run("profile", "signer", "use", "nope")
    assert (shown.code, "Value error" in shown.err, "'own', 'https', 'imported'" in shown.err) == (2, False, True)


def test_a_misspelt_noun_is_met_with_a_suggestion(run: Run) -> None:
    shown = run("devices", "list")
    assert shown.code == 2
    assert shown.err.startswith("error: No such command 'devices'. Did you mean 'device'")


def test_a_usage_error_is_json_where_asked(run: Run) -> None:
    shown = run("certs", "list", "--json", "--nonsense")
    assert shown.code == 2
    assert json.loads(shown.err) == {
        "error": "No such option: --nonsense",
        "advice": "`bramley certs list --help` explains.",
    }


def test_common_options_go_before_or_after_the_verb(run: Run, data: Path) -> None:
    assert run("--data", data, "--json", "device", "list").json == run("device", "list", "--data", data, "--json").json


def test_a_bug_is_called_one(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def break_down(app: object) -> None:
        raise ZeroDivisionError("secret of nobody")

    monkeypatch.setattr(entry, "get_command", break_down)
    shown = run("settings")
    assert shown.code == 3
    assert "Traceback" in shown.err
    assert "error: This is a bug in Bramley: ZeroDivisionError" in shown.err


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    def interrupt(app: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "get_command", interrupt)
    assert run("settings") == Result(130, "", "")


def test_a_reader_that_leaves_is_no_trouble() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "bramley", "settings"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert ended.returncode == 141
    assert ended.stderr == ""


def test_main_reads_the_arguments_of_the_process(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bramley", "--version"])
    assert main() == 0
    assert capfd.readouterr().out.startswith("bramley ")
