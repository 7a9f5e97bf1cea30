"""The server, the stand-in for Apple and simulated devices as processes: what an operator sees on the first day."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.kit import Run

Start = Callable[..., "Running"]


class Running:
    """A verb that runs until it is told to stop; its JSON lines come one by one."""

    def __init__(self, arguments: tuple[object, ...], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bramley", *map(str, arguments), "--json"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> Any:
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            pytest.fail(f"it ended: {self._process.communicate()[1]}")
        return json.loads(text)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.communicate(timeout=30)
        return self._process.returncode


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Running] = []

    def begin(*arguments: object, **environment: str) -> Running:
        started.append(Running(arguments, environment))
        return started[-1]

    yield begin
    for running in started:
        running.stop()


def test_the_first_start_shows_what_must_be_kept_once(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    serve = ("serve", "--data", data, "--listen", "127.0.0.1:0", "--url", "https://localhost:8443")
    server = start(*serve)
    first, listening = server.line(), server.line()
    assert (first["event"], first["data"], first["url"]) == ("first-start", str(data), "https://localhost:8443")
    assert Path(first["recovery_copy"]).exists()
    assert len(first["root_ca_sha256"]) == 64
    assert "push import" in listening["missing"][0]
    assert _get(listening["main"]["port"], "/healthz") == 200
    assert _get(listening["main"]["port"], "/api/v1/devices", first["admin_token"]) == 200
    assert server.stop() == 0
    again = start(*serve, "--device-listen", "127.0.0.1:0")
    listening = again.line()
    assert listening["event"] == "listening"
    assert listening["device"]["port"] > 0
    assert again.stop(signal.SIGINT) == 0


def test_from_nothing_to_an_answer(start: Start, run: Run, tmp_path: Path) -> None:
    apns = start(
        "simulate", "apns", "--folder", tmp_path / "apple", "--port", 0, "--courier-port", 0, "--push-certificate", tmp_path
    )
    apple = apns.line()
    data = tmp_path / "data"
    port = str(_free_port())
    server = start(
        "serve",
        "--data",
        data,
        "--listen",
        f"127.0.0.1:{port}",
        "--url",
        f"https://localhost:{port}",
        BRAMLEY_PUSH_HOST="127.0.0.1",
        BRAMLEY_PUSH_PORT=str(apple["port"]),
        BRAMLEY_PUSH_CA_FILE=apple["ca_file"],
    )
    assert server.line()["event"] == "first-start"
    server.line()
    imported = run("push", "import", "--certificate", apple["certificate"], "--key", apple["key"], "--data", data, "--json")
    assert imported.json["topic"] == apple["topic"]
    (root,) = run("certs", "list", "--kind", "root-ca", "--data", data, "--json").json
    (tmp_path / "root.pem").write_text(run("certs", "show", root["id"], "--pem", "--data", data).out)
    link = run("enroll", "link", "--uses", "2", "--data", data, "--json").json["url"]
    time.sleep(1)  # the server notices within a second
    devices = start(
        *("simulate", "device", link, "--count", 2, "--ca", tmp_path / "root.pem", "--for", 60),
        *("--courier", f"127.0.0.1:{apple['courier_port']}"),
    )
    enrolled = _until(lambda: run("device", "list", "--state", "active", "--data", data, "--json").json, count=2)
    answered = run("device", "command", enrolled[0]["id"], "SecurityInfo", "--wait", "30", "--data", data, "--json")
    assert answered.code == 0
    assert answered.json["state"] == "acknowledged"
    assert answered.json["answer"]["SecurityInfo"]
    refused = run("device", "command", enrolled[1]["id"], "NoSuchCommand", "--wait", "30", "--data", data, "--json")
    assert refused.code == 1
    assert refused.json["error_chain"][0]["code"] == 12021
    assert devices.stop() == 0
    assert server.stop() == 0
    assert apns.stop() == 0


def test_the_stand_in_is_the_same_apple_after_a_restart(start: Start, tmp_path: Path) -> None:
    arguments = ("simulate", "apns", "--folder", tmp_path / "apple", "--port", 0, "--courier-port", 0)
    first = start(*arguments)
    first.line()
    before = (tmp_path / "apple" / "ca.pem").read_bytes()
    assert first.stop() == 0
    second = start(*arguments)
    second.line()
    assert (tmp_path / "apple" / "ca.pem").read_bytes() == before


def test_a_push_certificate_is_never_overwritten(process: Run, tmp_path: Path) -> None:
    (tmp_path / "push.key").write_text("precious")
    shown = process(
        *("simulate", "apns", "--folder", tmp_path / "apple", "--port", 0, "--courier-port", 0, "--push-certificate", tmp_path)
    )
    assert shown.code == 2
    assert (tmp_path / "push.key").read_text() == "precious"


def test_devices_that_find_no_server(process: Run) -> None:
    shown = process(
        "simulate", "device", "https://127.0.0.1:1/enroll/x", "--for", "1", "--seed", "1", "--patience", "1", "--json"
    )
    assert shown.code == 1
    (one,) = shown.json
    assert one["enrolled"] is False
    assert one["error"]


def test_tls_needs_to_know_the_listener(process: Run) -> None:
    assert process("simulate", "device", "https://127.0.0.1:1/enroll/x", "--style", "tls").code == 2


def _get(port: int, path: str, token: str | None = None) -> int:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:
        return int(answer.status)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _until(look: Callable[[], Any], *, count: int) -> Any:
    for _ in range(100):
        if len(found := look()) >= count:
            return found
        time.sleep(0.3)
    pytest.fail(f"only {len(look())} of {count}")
