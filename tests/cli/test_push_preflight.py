"""`bramley push preflight` against stand-ins for APNs on two ports."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.clock import SystemClock
from bramley.pki import certificates, keys
from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import SandboxAppleCA
from tests.cli.kit import Run

TOPIC = "com.apple.mgmt.External.tests"


class StandIns:
    """Two APNs of one Apple, on a thread of their own: the command runs its own loop."""

    def __init__(self) -> None:
        self.ca = SandboxAppleCA.make(datetime.now(UTC))
        self.one, self.other = APNs(self.ca, SystemClock()), APNs(self.ca, SystemClock())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        for each in (self.one, self.other):
            self._do(each.start())

    @property
    def ports(self) -> tuple[int, int]:
        return self.one.port, self.other.port

    @property
    def connections(self) -> int:
        return self.one.connections_opened + self.other.connections_opened

    def stop_one(self) -> None:
        self._do(self.one.stop())

    def end(self) -> None:
        for each in (self.one, self.other):
            self._do(each.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


@pytest.fixture
def apple(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIns]:
    """The stand-ins, named by the settings, whose push certificate is in force. The settings' port is that of `one`."""
    stand_ins = StandIns()
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    issued = stand_ins.ca.issue_push_certificate(key.public_key(), topic=TOPIC, now=datetime.now(UTC))
    (tmp_path / "push.pem").write_bytes(certificates.pem(issued))
    (tmp_path / "push.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "ca.pem").write_bytes(stand_ins.ca.root_pem)
    assert run("push", "import", tmp_path / "push.pem", tmp_path / "push.key", "--data", data).code == 0
    settings = {"HOST": "127.0.0.1", "PORT": stand_ins.one.port, "CA_FILE": tmp_path / "ca.pem"}
    for name, value in settings.items():
        monkeypatch.setenv(f"BRAMLEY_PUSH_{name}", str(value))
    yield stand_ins
    stand_ins.end()


def test_all_is_well(run: Run, data: Path, apple: StandIns) -> None:
    shown = run("push", "preflight", "--port", apple.other.port, "--data", data)
    assert shown.code == 0
    assert shown.out.endswith(f"Pushing works: 127.0.0.1 port {apple.one.port}.\n")
    assert [str(port) in shown.out for port in apple.ports] == [True, True]
    said = run("push", "preflight", "--port", apple.other.port, "--topic", TOPIC, "--data", data, "--json").json
    assert (said["ok"], said["topic"]) == (True, TOPIC)
    assert [(each["port"], each["ok"], each["proxy"]) for each in said["checks"]] == [(port, True, None) for port in apple.ports]
    assert apple.one.refused == apple.other.refused == {"BadDeviceToken": 2}


def test_the_other_port_is_named(run: Run, data: Path, apple: StandIns) -> None:
    apple.stop_one()
    shown = run("push", "preflight", "--port", apple.other.port, "--data", data)
    assert shown.code == 1
    assert shown.out.endswith(f"on port {apple.one.port}. Set push.port = {apple.other.port}: that works.\n")
    assert "17.0.0.0/8" in shown.out


def test_a_proxy_in_the_way_is_told_without_its_password(
    run: Run, data: Path, apple: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAMLEY_PUSH_PROXY", "http://jo:sesame@127.0.0.1:1")
    for form in ([], ["--json"]):
        shown = run("push", "preflight", "--port", apple.other.port, "--data", data, *form)
        assert shown.code == 1
        assert 'through http://127.0.0.1:1. Set push.proxy = "": that works.' in shown.out.replace("\\", "")
        assert "sesame" not in shown.out + shown.err


def test_a_certificate_that_is_refused(run: Run, data: Path, tmp_path: Path, apple: StandIns) -> None:
    serial = certificates.load_chain((tmp_path / "push.pem").read_bytes())[0].serial_number
    apple.one.revoke(serial)
    apple.other.revoke(serial)
    shown = run("push", "preflight", "--port", apple.other.port, "--data", data, "--json")
    assert shown.code == 1
    assert {each["stage"] for each in shown.json["checks"]} == {"certificate"}
    assert "does not work on any way tried. Renew it" in shown.json["advice"]


def test_an_expired_certificate_is_told_without_connecting(
    run: Run, data: Path, apple: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = apple.connections
    monkeypatch.setattr(SystemClock, "now", lambda _self: datetime.now(UTC) + timedelta(days=400))
    shown = run("push", "preflight", "--port", apple.other.port, "--data", data)
    assert shown.code == 2
    assert f"error: The push certificate for {TOPIC} expired on " in shown.err
    assert "identity.apple.com" in shown.err
    assert apple.connections == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--topic", "com.apple.mgmt.External.other"], "no push certificate for the topic com.apple.mgmt.External.other"),
        (["--port", "0"], "--port"),
        (["--port", "65536"], "--port"),
    ],
)
def test_what_cannot_be_checked(run: Run, data: Path, apple: StandIns, arguments: list[str], complaint: str) -> None:
    shown = run("push", "preflight", *arguments, "--data", data)
    assert (shown.code, complaint in shown.err) == (2, True)
    assert apple.connections == 0


def test_roots_that_cannot_be_read(run: Run, data: Path, apple: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMLEY_PUSH_CA_FILE", "/nowhere/ca.pem")
    shown = run("push", "preflight", "--data", data)
    assert shown.code == 2
    assert "push.ca_file /nowhere/ca.pem cannot be read" in shown.err


def test_no_certificate_yet(run: Run, data: Path) -> None:
    shown = run("push", "preflight", "--data", data)
    assert (shown.code, "no push certificate yet" in shown.err) == (2, True)
