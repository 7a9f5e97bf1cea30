"""What two running servers on one database tell OpenSSL of an identity: before, while and after it is suspended, and revoked."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from cryptography import x509

from bramley.clock import SystemClock
from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason, VersionState
from bramley.operations import records
from bramley.operations.installation import open_installation
from bramley.pki import certificates
from bramley.rehearsal.stage import Stage, free_port
from bramley.storage.protocols import Tx
from bramley.web.service import Service


@dataclass(frozen=True, slots=True)
class Relying:
    """A relying party: the OpenSSL command line with files in a folder, beside the servers that it asks."""

    folder: Path
    servers: tuple[str, str]

    async def openssl(self, *arguments: object) -> tuple[int, str]:
        """Exit code, and what was said on both streams."""
        done = await asyncio.to_thread(
            subprocess.run, ["openssl", *map(str, arguments)], cwd=self.folder, capture_output=True, check=False, timeout=30
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    async def ocsp(self, server: str, *options: str) -> str:
        """By POST, as `openssl ocsp` asks; with a nonce unless it is told not to. The signature is verified by it."""
        asked = ("ocsp", *options, "-issuer", "ca", "-cert", "device", "-url", f"{server}/pki/ocsp", "-CAfile", "anchors")
        _code, said = await self.openssl(*asked)
        assert "Response verify OK" in said, said
        assert "WARNING" not in said, said
        return _line(said, "device: ")

    async def ocsp_by_get(self, http: httpx2.AsyncClient, server: str) -> str:
        """By GET: OpenSSL makes the request and judges the response; what is between them is ours."""
        await self.openssl("ocsp", "-issuer", "ca", "-cert", "device", "-no_nonce", "-reqout", "request")
        asked = base64.b64encode((self.folder / "request").read_bytes()).decode()
        answer = await http.get(f"{server}/pki/ocsp/{quote(asked, safe='')}")
        (self.folder / "response").write_bytes(answer.content)
        _code, said = await self.openssl(
            *("ocsp", "-issuer", "ca", "-cert", "device", "-respin", "response", "-CAfile", "anchors", "-no_nonce")
        )
        assert "Response verify OK" in said, said
        return _line(said, "device: ")

    async def crl(self, http: httpx2.AsyncClient, server: str) -> str:
        """What `openssl verify` makes of the device by the CRL at its distribution point, on this server."""
        (self.folder / "crl.der").write_bytes((await http.get(f"{server}/pki/identity-ca.crl")).content)
        _code, said = await self.openssl("crl", "-inform", "DER", "-in", "crl.der", "-CAfile", "ca", "-verify", "-out", "crl")
        assert "verify OK" in said
        code, said = await self.openssl(
            *("verify", "-x509_strict", "-crl_check", "-CAfile", "root", "-untrusted", "ca", "-CRLfile", "crl", "device")
        )
        return "good" if code == 0 else _line(said, "error ")


def _line(said: str, mark: str) -> str:
    return next(line for line in said.splitlines() if mark in line).rpartition(":")[2].strip()


@pytest.fixture
async def second(stage: Stage) -> AsyncIterator[Service]:
    """Another server on the same database."""
    settings = stage.installation.settings
    elsewhere = replace(
        settings,
        listen=replace(settings.listen, port=free_port()),
        device_listener=replace(settings.device_listener, port=-1),
    )
    service = await Service.start(await open_installation(elsewhere, SystemClock(), {}))
    yield service
    await service.stop()


async def identity_on(stage: Stage) -> x509.Certificate:
    """That of a device that has enrolled."""
    device = stage.device(1)
    try:
        await device.enroll(await stage.link())
    finally:
        await device.close()
    assert device.identity is not None
    return device.identity.certificate


async def test_openssl_hears_of_each_change_at_once_from_both_servers(stage: Stage, second: Service, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command on this machine")
    certificate = await identity_on(stage)
    held = stage.service.live.current().authorities
    relying = Relying(
        tmp_path / "relying", (stage.installation.url, f"https://localhost:{second.main.port}" if second.main else "")
    )
    relying.folder.mkdir()
    root, ca = (certificates.pem(each) for each in (held.root.certificate, held.identity.authority.certificate))
    files = {"root": root, "ca": ca, "anchors": root + ca, "device": certificates.pem(certificate)}
    for name, content in files.items():
        (relying.folder / name).write_bytes(content)

    async def move(service: Service, state: VersionState, why: RevocationReason | None = None) -> None:
        installation = service.live.installation
        now, sha256 = installation.clock.now(), certificates.sha256(certificate)

        def act(tx: Tx) -> None:
            version = tx.lineages.by_sha256(sha256)
            assert version is not None
            records.move(tx, version, state, now=now, actor="test", reason="test", revoked_for=why)

        await installation.store.run(act)

    context = ssl.create_default_context(cadata=root.decode())
    async with httpx2.AsyncClient(verify=context) as http:
        for service, state, why, told in (
            (stage.service, None, None, "good"),
            (second, VersionState.SUSPENDED, None, "revoked"),
            (stage.service, VersionState.ACTIVE, None, "good"),
            (stage.service, VersionState.REVOKED, RevocationReason.KEY_COMPROMISE, "revoked"),
        ):
            if state is not None:
                await move(service, state, why)
            for server in relying.servers:
                assert await relying.ocsp(server) == told
                assert await relying.ocsp(server, "-no_nonce", "-sha256") == told
                assert await relying.ocsp_by_get(http, server) == told
                assert await relying.crl(http, server) == ("good" if told == "good" else "certificate revoked")


async def test_the_servers_keep_what_they_tell_ready_by_themselves(stage: Stage, second: Service) -> None:
    """Before anybody asks: a CRL for GetCRL of SCEP, and a responder; and after a change, the CRL that has it."""
    certificate = await identity_on(stage)
    serial, sha256 = certificate.serial_number, certificates.sha256(certificate)
    ca, now = stage.service.live.current().authorities.identity.version, stage.installation.clock.now()

    def revoke(tx: Tx) -> None:
        version = tx.lineages.by_sha256(sha256)
        assert version is not None
        why = RevocationReason.CESSATION_OF_OPERATION
        records.move(tx, version, VersionState.REVOKED, now=now, actor="test", reason="test", revoked_for=why)

    def listed(tx: Tx) -> bool:
        crl = tx.revocations.crl(ca)
        return crl is not None and serial in {entry.serial_number for entry in x509.load_der_x509_crl(crl.der)}

    await stage.until("a CRL is published", lambda tx: tx.revocations.crl(ca) is not None)
    await stage.until("a responder is issued", lambda tx: records.active(tx, Kind.OCSP_RESPONDER, "identity-ca"))
    assert not await second.live.installation.store.read(listed)
    await second.live.installation.store.run(revoke)
    await stage.until("the CRL has it", listed, 10.0)
