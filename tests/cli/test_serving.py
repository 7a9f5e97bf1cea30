"""The server, the stand-in for Apple and simulated devices as processes: what an operator sees on the first day."""

from __future__ import annotations

import plistlib
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.kit import Run, Running, Start

MAC = 1
"""A seed whose first device is a Mac."""

FOR_USERS = plistlib.dumps(
    {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "example.user",
        "PayloadUUID": "00000000-0000-4000-8000-000000000001",
        "PayloadScope": "User",
        "PayloadContent": [
            {
                "PayloadType": "com.apple.wifi.managed",
                "PayloadVersion": 1,
                "PayloadIdentifier": "example.user.1",
                "PayloadUUID": "00000000-0000-4000-8000-000000000002",
                "SSID_STR": "{{ user.short_name }}",
                "EncryptionType": "None",
            }
        ],
    }
)


def test_the_first_start_shows_what_must_be_kept_once(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "data"
    serve = ("serve", "--data", data, "--listen", "127.0.0.1:0", "--url", "https://localhost:8443")
    server = start(*serve)
    first, listening = server.line(), server.line()
    assert (first["event"], first["data"], first["url"]) == ("first-start", str(data), "https://localhost:8443")
    assert Path(first["recovery_copy"]).exists()
    assert len(first["root_ca_sha256"]) == 64
    assert "push start" in listening["missing"][0]
    assert _get(listening["main"]["port"], "/healthz") == 200
    assert _get(listening["main"]["port"], "/api/v1/devices", first["admin_token"]) == 200
    assert server.stop().code == 0
    again = start(*serve, "--device-listen", "127.0.0.1:0")
    listening = again.line()
    assert listening["event"] == "listening"
    assert listening["device"]["port"] > 0
    assert again.stop(signal.SIGINT).code == 0


def test_from_nothing_to_an_answer(start: Start, run: Run, tmp_path: Path) -> None:
    apple, apns, server, data = _opened(start, run, tmp_path)
    link = run("enroll", "link", "--uses", "2", "--data", data, "--json").json["url"]
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
    assert devices.stop().code == 0
    assert server.stop().code == 0
    assert apns.stop().code == 0


def test_the_stand_in_is_the_same_apple_after_a_restart(start: Start, tmp_path: Path) -> None:
    arguments = ("simulate", "apns", "--folder", tmp_path / "apple", "--port", 0, "--courier-port", 0)
    first = start(*arguments)
    first.line()
    before = (tmp_path / "apple" / "ca.pem").read_bytes()
    assert first.stop().code == 0
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


def test_devices_of_every_style_answer_the_same_server(start: Start, run: Run, tmp_path: Path) -> None:
    device_port = _free_port()
    apple, _apns, _server, data = _opened(start, run, tmp_path, "--device-listen", f"127.0.0.1:{device_port}")
    tls = ("--device-url", f"https://localhost:{device_port}")
    for seed, (style, options) in enumerate({"apple": (), "der": (), "tls": tls}.items()):
        link = run("enroll", "link", "--data", data, "--json").json["url"]
        devices = start(
            *("simulate", "device", link, "--ca", tmp_path / "root.pem", "--style", style, *options, "--seed", seed),
            *("--courier", f"127.0.0.1:{apple['courier_port']}", "--for", 60),
        )
        enrolled = _until(lambda: run("device", "list", "--state", "active", "--data", data, "--json").json, count=seed + 1)
        udid = max(enrolled, key=lambda device: device["enrolled_at"])["id"]
        answered = run("device", "command", udid, "SecurityInfo", "--wait", "30", "--data", data, "--json")
        assert answered.json["state"] == "acknowledged", style
        (told,) = devices.stop().json
        assert (told["udid"], told["enrolled"], told["error"]) == (udid, True, None)
        assert told["commands"] >= 1


def test_a_mac_with_a_user_and_a_key_in_hardware_gets_what_is_encrypted_for_the_user(
    start: Start, run: Run, tmp_path: Path
) -> None:
    apple, _apns, _server, data = _opened(start, run, tmp_path)
    link = run("enroll", "link", "--data", data, "--json").json["url"]
    devices = start(
        *("simulate", "device", link, "--ca", tmp_path / "root.pem", "--users", 1, "--hardware-keys", "--seed", MAC),
        *("--courier", f"127.0.0.1:{apple['courier_port']}", "--for", 60),
    )
    enrolled = _until(lambda: run("device", "list", "--state", "active", "--data", data, "--json").json, count=2)
    (mac,) = [each for each in enrolled if ":" not in each["id"]]
    (tmp_path / "a.mobileconfig").write_bytes(FOR_USERS)
    assert run("profile", "add", tmp_path / "a.mobileconfig", "--encrypt", "--data", data).code == 0
    assert run("profile", "assign", "example.user", "--device", mac["id"], "--data", data).code == 0

    def installed() -> list[dict[str, Any]]:
        found = run("profile", "show", "example.user", "--data", data, "--json").json["devices"]
        return [each for each in found if each["state"] == "installed"]

    (on,) = _until(installed, count=1)
    assert on["device"].startswith(f"{mac['id']}:")
    kinds = {each["kind"] for each in run("certs", "list", "--data", data, "--json").json}
    assert "profile-recipient" in kinds
    assert devices.stop().code == 0


@pytest.mark.parametrize("url", ["mdm.example", "http://mdm.example/enroll/x"])
def test_devices_go_to_https_only(run: Run, url: str) -> None:
    shown = run("simulate", "device", url)

    assert shown.code == 2
    assert "https://" in shown.err


def test_tls_needs_to_know_the_listener(process: Run) -> None:
    assert process("simulate", "device", "https://127.0.0.1:1/enroll/x", "--style", "tls").code == 2


def _opened(start: Start, run: Run, folder: Path, *options: str) -> tuple[Any, Running, Running, Path]:
    """A server with a push certificate, its root in `root.pem`: what the stand-in said, both programs, the data folder."""
    apns = start("simulate", "apns", "--folder", folder / "apple", "--port", 0, "--courier-port", 0, "--push-certificate", folder)
    apple, data, port = apns.line(), folder / "data", _free_port()
    server = start(
        *("serve", "--data", data, "--listen", f"127.0.0.1:{port}", "--url", f"https://localhost:{port}", *options),
        BRAMLEY_PUSH_HOST="127.0.0.1",
        BRAMLEY_PUSH_PORT=str(apple["port"]),
        BRAMLEY_PUSH_CA_FILE=apple["ca_file"],
    )
    assert server.line()["event"] == "first-start"
    server.line()
    imported = run("push", "import", apple["certificate"], apple["key"], "--data", data, "--json")
    assert imported.json["topic"] == apple["topic"]
    (root,) = run("certs", "list", "--kind", "root-ca", "--data", data, "--json").json
    (folder / "root.pem").write_text(run("certs", "show", root["id"], "--pem", "--data", data).out)
    time.sleep(1)  # the server notices within a second
    return apple, apns, server, data


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
