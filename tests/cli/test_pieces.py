"""The parts below the verbs: what people write, what people see, and what logs never say."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
import typer

from bramley.cli import logs, output
from bramley.cli.arguments import Address, address, assignment, duration, moment
from bramley.cli.output import Output
from bramley.errors import BadInput
from bramley.settings import Log


@pytest.mark.parametrize(
    ("text", "meant"),
    [("30m", timedelta(minutes=30)), ("12h", timedelta(hours=12)), ("7d", timedelta(days=7)), ("2w", timedelta(weeks=2))],
)
def test_durations(text: str, meant: timedelta) -> None:
    assert duration(text) == meant


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "0d", "7 d", "7y", "٧d", "9999999d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(text)


def test_moments(now: datetime) -> None:
    assert moment("30d", now) == now + timedelta(days=30)
    assert moment("2027-03-31", now) == datetime(2027, 3, 31, tzinfo=UTC)
    with pytest.raises(BadInput):
        moment("31.3.2027", now)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0.0.0.0:8443", Address("0.0.0.0", 8443)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_addresses(text: str, meant: Address) -> None:
    assert address(text) == meant


@pytest.mark.parametrize("text", ["8443", ":8443", "host", "host:", "host:65536", "::1:8443", "https://host:1", "a b:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        address(text)


def test_assignments() -> None:
    assert assignment("PIN=000123") == ("PIN", "000123")
    assert assignment("URL=https://x/?a=b") == ("URL", "https://x/?a=b")
    assert assignment('Queries:=["a", 1]') == ("Queries", ["a", 1])


@pytest.mark.parametrize("text", ["", "PIN", "=x", ":=1", "A:=", "A:={"])
def test_what_is_no_assignment(text: str) -> None:
    with pytest.raises(BadInput):
        assignment(text)


def test_json_has_times_in_utc_and_bytes_in_base64(capsys: pytest.CaptureFixture[str], now: datetime) -> None:
    Output(as_json=True).json({"at": now, "data": b"\x00\xff"})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-24T12:00:00Z", "data": "AP8="}


def test_what_has_no_place_in_json_is_a_bug() -> None:
    with pytest.raises(TypeError):
        Output(as_json=True).json(object())


def test_brackets_are_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table(("name",), [("[red]Jo[/red] :smile:",)], empty="")
    assert "[red]Jo[/red] :smile:" in capsys.readouterr().out


def test_controls_and_bidirectional_overrides_are_not_printed() -> None:
    assert output.printable("a\x1b]0;b\x07c\u202ed\x9be") == "a\ufffd]0;b\ufffdc\ufffdd\ufffde"


@pytest.fixture
def logging_again() -> Iterator[None]:
    """Puts back what `configure` changes."""
    root, ours = logging.getLogger(), logging.getLogger("bramley")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])
    structlog.reset_defaults()


def test_logs_are_json_away_from_a_terminal(capfd: pytest.CaptureFixture[str], logging_again: None) -> None:
    logs.configure(Log())
    structlog.get_logger("jobs").info("job done", kind="push", token="very secret")
    structlog.get_logger("jobs").debug("not at this level")
    logging.getLogger("uvicorn.error").warning("from a library")
    ours, theirs = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert (ours["event"], ours["level"], ours["kind"], ours["token"]) == ("job done", "info", "push", "[hidden]")
    assert (theirs["event"], theirs["level"]) == ("from a library", "warning")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_trace_shows_no_variables(capfd: pytest.CaptureFixture[str], logging_again: None, form: str) -> None:
    logs.configure(Log(format=form))
    secret = "".join(["hid", "den-", "value"])
    try:
        raise ValueError(len(secret))
    except ValueError:
        structlog.get_logger("service").error("failed", exc_info=True)
    shown = capfd.readouterr().err
    assert "ValueError: 12" in shown
    assert secret not in shown
