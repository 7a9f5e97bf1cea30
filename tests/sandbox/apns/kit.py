"""Programs that we did not write, asked to push: the curl command line, and what runs any command."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

import pytest

from bramley.sandbox.apns import APNs
from bramley.sandbox.apple_ca import new_topic

TOPIC = new_topic()


async def run(*command: str | Path, stdin: bytes = b"") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(stdin), 20)
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


async def curl(identity: Path, apns: APNs, token: bytes, *more: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and the protocol curl spoke."""
    if shutil.which("curl") is None:
        pytest.skip("no curl command here")
    _, version = await run("curl", "--version")
    if "HTTP2" not in version:
        pytest.skip("this curl has no HTTP/2")
    _, said = await run(
        "curl", "-sS", "--http2", "--noproxy", "*", "--cacert", identity.parent / "root.pem", "--cert", identity,
        "-w", "\n%{http_version} %{http_code}", "-d", '{"mdm":"magic"}',
        "-H", f"apns-topic: {TOPIC}", "-H", "apns-push-type: mdm", "-H", f"apns-expiration: {int(time.time()) + 99}",
        *more, f"https://127.0.0.1:{apns.port}/3/device/{token.hex()}",
    )  # fmt: skip
    body, _, numbers = said.rpartition("\n")
    http, status = numbers.split()
    assert http == "2"
    return int(status), body, json.loads(body) if body else {}
