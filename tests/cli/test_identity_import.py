"""`bramley identity import`, as an admin types it: files and folders, a dry run, what is left out, and JSON."""

from __future__ import annotations

import asyncio
import json
import plistlib
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from bramley.clock import SystemClock
from bramley.operations.installation import open_installation
from bramley.operations.push import importing
from bramley.pki import certificates, keys, names
from bramley.pki.ca.authority import self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.settings import Settings
from tests.cli.kit import Run

A, B, TOPIC = "00008030-00000000000000AA", "00008030-00000000000000BB", "com.apple.mgmt.External.tests"


@pytest.fixture(scope="module")
def identities() -> list[x509.Certificate]:
    """Two devices' own."""
    now = SystemClock().now()
    made = [keys.generate(keys.KeyAlgorithm.RSA_2048) for _ in range(2)]
    return [self_signed(DEVICE_IDENTITY, key, names.make(f"device {n}"), now=now) for n, key in enumerate(made)]


@pytest.fixture
def desk(data: Path, tmp_path: Path, apple: SandboxAppleCA, push_key: keys.PrivateKey, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, beside an installation with the former push certificate."""

    async def push() -> None:
        installation = await open_installation(Settings(data=data), SystemClock(), {})
        now = installation.clock.now()
        certificate = apple.issue_push_certificate(push_key.public_key(), topic=TOPIC, now=now)
        await importing.import_pair(installation, certificate, push_key, actor="test")
        await installation.store.close()

    asyncio.run(push())
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    return Path()


@pytest.fixture
def bring(run: Run, data: Path) -> Run:
    return lambda *arguments: run("identity", "import", *arguments, "--data", data)


def line(udid: str, certificate: x509.Certificate, **changed: Any) -> str:
    said = {
        "udid": udid, "topic": TOPIC, "push_token": b64encode(udid.encode()).decode(), "push_magic": "magic-secret",
        "certificate": b64encode(certificates.der(certificate)).decode(), **changed,
    }  # fmt: skip
    return json.dumps(said)


def test_a_dry_run_then_all_then_nothing_more(
    bring: Run, run: Run, data: Path, desk: Path, identities: list[x509.Certificate], snapshot: Callable[[], list[int]]
) -> None:
    (desk / "a").write_text(line(A, identities[0]))
    (desk / "b").write_text(line(B, identities[1]))
    before = snapshot()
    told = bring("a", "b", "--dry-run")
    assert (told.code, snapshot()) == (0, before)
    assert "would be brought in: 2;" in told.out
    assert "--profile" in told.out
    assert "secret" not in told.out + told.err
    done = bring("a", "b", "--json")
    assert done.code == 0
    assert (done.json["dry_run"], done.json["changed"], done.json["brought"], done.json["problems"]) == (False, True, [A, B], [])
    assert bring("a", "--json").json["known"] == [A]
    listed = run("identity", "list", "--data", data, "--json").json
    obstacles = {each["device_id"]: each["obstacle"] for each in listed}
    assert obstacles[A] == obstacles[B] == "cannot be renewed: import it again with --profile, or enroll it again"
    assert "import it again with --profile" in run("identity", "list", "--data", data).out
    assert set(obstacles.values()) == {None, obstacles[A]}


def test_lines_that_cannot_be_used(
    bring: Run, desk: Path, identities: list[x509.Certificate], snapshot: Callable[[], list[int]]
) -> None:
    (desk / "devices.jsonl").write_text(f"{line(A, identities[0])}\n{line(B, identities[1], topic='com.apple.mgmt.other')}\n{{\n")
    before = snapshot()
    refused = bring("devices.jsonl")
    assert (refused.code, refused.out, snapshot()) == (2, "", before)
    assert "devices.jsonl, line 2: topic: " in refused.err
    assert "devices.jsonl, line 3: Expected a JSON object" in refused.err
    assert "2 lines cannot be used; nothing was changed. --skip-bad" in refused.err
    as_json = bring("devices.jsonl", "--json")
    assert (as_json.code, as_json.json["changed"], as_json.json["brought"]) == (2, False, [])
    assert [(each["where"], each["field"]) for each in as_json.json["problems"]] == [
        ("devices.jsonl, line 3", ""),
        ("devices.jsonl, line 2", "topic"),
    ]
    skipped = bring("devices.jsonl", "--skip-bad")
    assert skipped.code == 0
    assert "brought in: 1; given their profile: 0; left alone: 0; left out: 2" in skipped.out


def test_a_folder_of_nanomdm(bring: Run, desk: Path, identities: list[x509.Certificate]) -> None:
    who = {"UDID": A, "Topic": TOPIC}
    user = {"UserID": "U-1", "UserShortName": "jo", "UserLongName": "Jo"}
    token = {"MessageType": "TokenUpdate", "Token": b"1234", "PushMagic": "magic", **who}
    files = {
        f"dbfile/{A}/Authenticate.plist": plistlib.dumps({"MessageType": "Authenticate", "SerialNumber": "C02", **who}),
        f"dbfile/{A}/TokenUpdate.plist": plistlib.dumps(token),
        f"dbfile/{A}/Identity.pem": certificates.pem(identities[0]),
        f"dbfile/{A}/BootstrapToken.dat": b"boot",
        f"dbfile/{A}/CertAuth.sha256.txt": b"of no interest",
        f"dbfile/{A}:U-1/TokenUpdate.plist": plistlib.dumps(token | user),
        f"dbfile/{B}/TokenUpdate.plist": plistlib.dumps(token | {"UDID": B}),
        f"dbfile/{B}/Disabled": b"",
    }
    for name, content in files.items():
        (desk / name).parent.mkdir(parents=True, exist_ok=True)
        (desk / name).write_bytes(content)
    assert bring("dbfile", "--json").json["brought"] == [A, f"{A}:U-1"]


def test_their_profile_is_checked_first(bring: Run, desk: Path, identities: list[x509.Certificate]) -> None:
    (desk / "a").write_text(line(A, identities[0]))
    (desk / "old.mobileconfig").write_text("no profile")
    refused = bring("a", "--profile", "old.mobileconfig")
    assert refused.code == 2
    assert "Expected a configuration profile" in refused.err
    assert bring("a", "--json").json["brought"] == [A]


def test_files_that_are_none(bring: Run, desk: Path) -> None:
    assert "cannot be read" in bring("missing").err
    (desk / "empty").mkdir()
    told = bring("empty")
    assert (told.code, "holds no Authenticate.plist" in told.err) == (2, True)
