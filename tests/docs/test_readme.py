"""What the README and the tutorial tell people to type works when it is typed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.pki import certificates, keys
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic

from .blocks import Reader, blocks, free_ports

ROOT = Path(__file__).resolve().parents[2]


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")


def follow(page: Path, reader: Reader) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        reader.follow(block)


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    needs("bash", "curl", "openssl")

    with Reader(tmp_path, free_ports(["8443", "2197", "2198"])) as reader:
        follow(ROOT / "docs" / "tutorial" / "first-device.md", reader)


def test_the_quick_start_works_as_written(tmp_path: Path, push_key: keys.PrivateKey) -> None:
    needs("bash")
    now = datetime.now(UTC)  # the server under test lives in real time
    certificate = SandboxAppleCA.make(now).issue_push_certificate(push_key.public_key(), topic=new_topic(), now=now)
    (tmp_path / "push.pem").write_bytes(certificates.pem(certificate))
    pem = push_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "push.key").write_bytes(pem)

    with Reader(tmp_path, free_ports(["8443"])) as reader:
        follow(ROOT / "README.md", reader)


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows() -> None:
    shown = re.search(
        r"<!-- demo -->\n```text\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert shown
    expected = shown[1].splitlines()

    done = subprocess.run(
        [sys.executable, "-m", "bramley", "demo"],
        env={"PATH": os.environ["PATH"], "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    assert [line for line in printed if line in expected] == expected


def test_every_page_that_marks_a_block_is_followed_here() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

    marked = {page.relative_to(ROOT).as_posix() for page in pages if blocks(page.read_text(encoding="utf-8"))}

    assert marked == {"README.md", "docs/tutorial/first-device.md"}


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

    named = {target for page in pages for target in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8"))}

    assert named
    assert named <= targets
