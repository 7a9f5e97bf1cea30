"""micromdm's `scepserver` (Debian's package scep) as the server, our client as the client."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bramley.clock import SystemClock
from bramley.pki import certificates, csr, keys, names
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.errors import BadReply, Refused
from bramley.pki.scep.messages import FailInfo
from bramley.rehearsal.stage import free_port
from tests.interop.kit import require, run
from tests.scep_http import SCEPOverHTTP

CHALLENGE = "open sesame"


@dataclass(frozen=True, slots=True)
class Peer:
    """The server, by a client of it."""

    client: SCEPClient
    ca_file: Path

    async def enroll(
        self,
        key: keys.PrivateKey,
        challenge: str | None,
        *,
        signer: tuple[x509.Certificate, keys.PrivateKey] | None = None,
        post: bool = True,
        legacy: bool = True,
    ) -> x509.Certificate:
        (ca,) = await self.client.ca_certificates()
        request = csr.build(key, names.make("router", organization="Test"), challenge_password=challenge)
        now = SystemClock().now()
        issued = await self.client.enroll(
            key, request, ca=ca, signer=signer, renewal=signer is not None, now=now, use_post=post, allow_legacy=legacy
        )
        return issued[0]

    async def judge(self, certificate: x509.Certificate) -> None:
        file = self.ca_file.parent / "issued.pem"
        file.write_bytes(certificates.pem(certificate))
        (await run("openssl", "verify", "-CAfile", self.ca_file, file, folder=file.parent)).succeeded()


@pytest.fixture(scope="session")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("scepserver")
    folder = tmp_path_factory.mktemp("scepserver")
    subprocess.run(
        ["scepserver", "ca", "-init", "-keySize", "2048", "-depot", folder / "depot"], check=True, capture_output=True, timeout=30
    )
    return folder / "depot"


@pytest.fixture
async def peer(depot: Path, tmp_path: Path) -> AsyncGenerator[Peer]:
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("scepserver", "-depot", depot, "-port", str(port), "-challenge", CHALLENGE, "-allowrenew", "0"),
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            await _until_it_answers(http, process)
            yield Peer(SCEPClient(SCEPOverHTTP(http)), depot / "ca.pem")
    finally:
        process.terminate()
        await process.wait()


async def _until_it_answers(http: httpx2.AsyncClient, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(10):
        while True:
            assert process.returncode is None
            try:
                await http.get("/scep?operation=GetCACaps")
            except httpx2.ConnectError:
                await asyncio.sleep(0.02)
            else:
                return


@pytest.mark.parametrize("post", [True, False], ids=["POST", "GET"])
async def test_we_enroll_and_renew(peer: Peer, device_key: Path, new_key: Path, post: bool) -> None:
    assert {"POSTPKIOperation", "AES", "SHA-256"} <= await peer.client.capabilities()
    key, new = _key(device_key), _key(new_key)

    first = await peer.enroll(key, CHALLENGE, post=post)
    await peer.judge(first)
    renewed = await peer.enroll(new, CHALLENGE, signer=(first, key), post=post)

    await peer.judge(renewed)
    assert keys.spki(certificates.public_key(renewed)) == keys.spki(new.public_key())


async def test_its_answer_needs_leave(peer: Peer, device_key: Path) -> None:
    """Asked with SHA-256 and AES-256, it answers with SHA-1 and single DES."""
    with pytest.raises(BadReply, match="sha1"):
        await peer.enroll(_key(device_key), CHALLENGE, legacy=False)


async def test_a_wrong_challenge_is_understood(peer: Peer, device_key: Path) -> None:
    with pytest.raises(Refused) as refused:
        await peer.enroll(_key(device_key), "guessed")

    assert refused.value.fail_info is FailInfo.badRequest


def _key(file: Path) -> keys.PrivateKey:
    key = load_pem_private_key(file.read_bytes(), password=None)
    assert isinstance(key, keys.PrivateKey)
    return key
