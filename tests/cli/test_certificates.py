"""`bramley certs`, `push import`, `admin` and `events`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates, keys
from bramley.sandbox.apple_ca import SandboxAppleCA
from tests.cli.kit import UDID, Run

Snapshot = Callable[[], list[int]]
TOPIC = "com.apple.mgmt.External.tests"


@pytest.fixture(scope="session")
def pair() -> tuple[SandboxAppleCA, rsa.RSAPrivateKey]:
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    assert isinstance(key, rsa.RSAPrivateKey)
    return SandboxAppleCA.make(datetime.now(UTC)), key


def _files(
    pair: tuple[SandboxAppleCA, rsa.RSAPrivateKey], folder: Path, *, topic: str = TOPIC, password: bytes | None = None
) -> tuple[str, ...]:
    ca, key = pair
    certificate = ca.issue_push_certificate(key.public_key(), topic=topic, now=datetime.now(UTC))
    (folder / "push.pem").write_bytes(ca.chain_pem(certificate))
    (folder / "push.der").write_bytes(certificates.der(certificate))
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    (folder / "push.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, protection))
    return ("push", "import", str(folder / "push.pem"), "--key", str(folder / "push.key"))


def test_certificates_are_listed_with_the_next_step(run: Run, data: Path) -> None:
    rows = run("certs", "list", "--data", data, "--json").json
    assert [row["not_after"] for row in rows] == sorted(row["not_after"] for row in rows)
    steps = {row["kind"]: row["next_step"] for row in rows}
    assert steps["https"]["mover"] == "server"
    assert steps["device-identity"]["text"].startswith("renews itself on ")
    assert steps["root-ca"]["mover"] == "human"


def test_the_table_says_the_same(run: Run, data: Path) -> None:
    shown = run("certs", "list", "--data", data)
    assert "Bramley Device Identity CA" in shown.out
    assert "server: renews itself on " in shown.out
    assert all(line == line.rstrip() for line in shown.out.splitlines())


@pytest.mark.parametrize(("columns", "seen"), [(100, False), (300, True)])
def test_a_narrow_terminal_does_without_what_can_be_spared(data: Path, columns: int, seen: bool) -> None:
    leader, follower = pty.openpty()
    ended = subprocess.Popen(
        [sys.executable, "-m", "bramley", "certs", "list", "--kind", "https", "--data", data],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        env={**os.environ, "COLUMNS": str(columns), "TERM": "xterm"},
    )
    os.close(follower)
    shown = b""
    with suppress(OSError):  # how a terminal says that nobody is left
        while part := os.read(leader, 65536):
            shown += part
    os.close(leader)
    assert ended.wait(timeout=30) == 0
    assert (b"issuer" in shown) is seen
    assert b"next step" in shown


@pytest.mark.parametrize(("when", "code"), [("1w", 0), ("380d", 1), ("2000-01-01", 0), ("2999-01-01", 1)])
def test_the_check_for_what_ends_soon(run: Run, data: Path, when: str, code: int) -> None:
    shown = run("certs", "list", "--expires-before", when, "--kind", "device-identity", "--data", data, "--json")
    assert shown.code == code
    assert bool(shown.json) == bool(code)


def test_a_moment_that_is_none(run: Run, data: Path) -> None:
    shown = run("certs", "list", "--expires-before", "tomorrow", "--data", data)
    assert shown.code == 2
    assert "Expected a time from now such as 30d" in shown.err


def test_what_is_over_is_shown_only_when_asked_for(run: Run, data: Path) -> None:
    run("identity", "revoke", UDID, "--reason", "lost", "--yes", "--data", data)
    assert run("certs", "list", "--kind", "device-identity", "--data", data, "--json").json == []
    (row,) = run("certs", "list", "--kind", "device-identity", "--all", "--data", data, "--json").json
    assert row["next_step"] == {"mover": "nobody", "text": "revoked: lost", "at": None}
    assert len(run("certs", "list", "--state", "revoked", "--data", data, "--json").json) == 1


def test_one_certificate_by_each_of_its_names(run: Run, data: Path) -> None:
    (row,) = run("certs", "list", "--kind", "https", "--data", data, "--json").json
    for name in (row["id"], row["serial"], row["sha256"], row["sha256"].upper()):
        assert run("certs", "show", name, "--data", data, "--json").json["id"] == row["id"]
    shown = run("certs", "show", row["serial"], "--data", data)
    assert row["sha256"] in shown.out
    assert "certificate:version:issued" in shown.out


def test_openssl_reads_what_is_shown(run: Run, data: Path) -> None:
    (row,) = run("certs", "list", "--kind", "root-ca", "--data", data, "--json").json
    pem = run("certs", "show", row["id"], "--pem", "--data", data).out
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"], input=pem, capture_output=True, text=True, check=True
    ).stdout
    assert said.split("=")[1].strip().replace(":", "").lower() == row["sha256"]


def test_an_unknown_certificate(run: Run, data: Path) -> None:
    assert run("certs", "show", "00", "--data", data).code == 2


def test_a_push_certificate_comes_in(
    run: Run, data: Path, tmp_path: Path, snapshot: Snapshot, pair: tuple[SandboxAppleCA, rsa.RSAPrivateKey]
) -> None:
    arguments = _files(pair, tmp_path)
    before = snapshot()
    dry = run(*arguments, "--dry-run", "--data", data)
    assert dry.code == 0
    assert "nothing was changed" in dry.out
    assert snapshot() == before
    done = run(*arguments, "--data", data, "--json").json
    assert done["topic"] == TOPIC
    (row,) = run("certs", "list", "--kind", "push", "--data", data, "--json").json
    assert row["sha256"] == done["sha256"]
    assert row["next_step"]["mover"] == "human"


def test_an_encrypted_key_and_der(run: Run, data: Path, tmp_path: Path, pair: tuple[SandboxAppleCA, rsa.RSAPrivateKey]) -> None:
    _files(pair, tmp_path, password=b"correct horse")
    arguments = ("push", "import", tmp_path / "push.der", tmp_path / "push.key", "--data", data)
    unopened = run(*arguments)
    assert (unopened.code, "is encrypted, and no password was given" in unopened.err) == (2, True)
    (tmp_path / "password").write_text("wrong\n")
    wrong = run(*arguments, "--password-file", tmp_path / "password")
    assert wrong.code == 2
    assert "wrong" not in wrong.err
    (tmp_path / "password").write_text("correct horse\nand a remark")
    assert run(*arguments, "--password-file", tmp_path / "password").code == 0


def test_another_topic_would_lose_the_fleet(
    run: Run, data: Path, tmp_path: Path, snapshot: Snapshot, pair: tuple[SandboxAppleCA, rsa.RSAPrivateKey]
) -> None:
    before = snapshot()
    shown = run(*_files(pair, tmp_path, topic="com.apple.mgmt.External.other"), "--data", data)
    assert shown.code == 2
    assert "cannot be reached with it" in shown.err
    assert "choose Renew, not Create" in shown.err
    assert snapshot() == before


def test_a_token_is_shown_once_and_works(run: Run, data: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    assert run("admin", "token", "ci", "--dry-run", "--data", data).out == ""
    assert snapshot() == before
    made = run("admin", "token", "ci", "--data", data)
    assert made.out.startswith("bramley_")
    assert made.out.strip() not in run("events", "--data", data, "--json").out


def test_a_token_without_a_printable_name(run: Run, data: Path) -> None:
    assert run("admin", "token", "a\x1b[2J", "--data", data).code == 2


def test_events_are_found_by_kind_and_device(run: Run, data: Path) -> None:
    assert run("events", "--kind", "server:data:initialized", "--data", data, "--json").json[0]["actor"] == "server"
    found = run("events", "--device", UDID, "--data", data, "--json").json
    assert {event["kind"] for event in found} == {"certificate:version:issued", "certificate:version:activated"}
    assert run("events", "--kind", "nonsense", "--data", data).code == 2
    assert "No such events." in run("events", "--kind", "push:topic:paused", "--data", data).err
