"""Requests that wait for a person: clients ask again in two ways, and get the certificate once it was approved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bramley.operations import approvals
from bramley.operations.approvals import Asked
from bramley.settings import Settings
from tests.interop.conftest import serving
from tests.interop.kit import Relay, Server, require, run


@pytest.fixture
async def patient(template: Settings, tmp_path: Path) -> AsyncGenerator[Server]:
    async with serving(template, tmp_path, approval="manual", legacy_algorithms=True) as opened:
        yield opened


@pytest.fixture
async def patient_relay(patient: Server) -> AsyncGenerator[Relay]:
    async with Relay.open(patient) as opened:
        yield opened


async def decide(server: Server, *, approve: bool) -> Asked:
    """Waits for the request, and decides it."""
    async with asyncio.timeout(20):
        while not (found := await approvals.listing(server.service.live.installation)):
            await asyncio.sleep(0.05)
    name = found[0].approval.id
    if approve:
        return await approvals.approve(server.service.live, name, actor="test")
    return await approvals.deny(server.service.live.installation, name, reason="", actor="test")


@pytest.mark.parametrize("approve", [True, False])
async def test_strongswan_polls_by_certpoll(
    patient: Server, patient_relay: Relay, tmp_path: Path, device_key: Path, approve: bool
) -> None:
    require("pki")
    challenge = await patient.challenge()
    who = ("--url", patient_relay.url, "--in", device_key, "--dn", "CN=router", "--password", challenge.secret)
    trust = ("--cacert-enc", patient.ca, "--cacert-sig", patient.ca, "--cacert", patient.root, "--outform", "pem")
    polling = ("--interval", "1", "--maxpolltime", "20")

    ended, asked = await asyncio.gather(
        run("pki", "--scep", *who, *trust, *polling, folder=tmp_path), decide(patient, approve=approve)
    )

    assert [each.message_type for each in patient_relay.sent][:2] == ["PKCSReq", "CertPoll"]
    if approve:
        (tmp_path / "device.pem").write_bytes(ended.succeeded().output)
        version = await patient.judge(tmp_path / "device.pem", device_key, challenge)
        assert version.id == asked.approval.version_id
    else:
        assert ended.status != 0
        assert (await patient.refusals())[0] == "request-denied"


@pytest.mark.slow
async def test_scepclient_sends_the_same_message_again(patient: Server, tmp_path: Path) -> None:
    """After 30 seconds, which nobody can change."""
    require("scepclient")
    challenge = await patient.challenge()
    files = ("-private-key", "key.pem", "-certificate", "cert.pem", "-cn", "router")
    asking = ("scepclient", "-server-url", patient.url, *files, "-challenge", challenge.secret)
    trust = {"SSL_CERT_FILE": str(patient.root)}

    ended, asked = await asyncio.gather(
        run(*asking, folder=tmp_path, environment=trust, seconds=60), decide(patient, approve=True)
    )

    ended.succeeded()
    version = await patient.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
    assert version.id == asked.approval.version_id
    assert await patient.refusals() == []


# It would ask again after days, unless it is told to.
REFRESH = """
set -e
getcert add-scep-ca -s -c bramley -u "$1" -N "$2"
getcert request -s -c bramley -I device -k "$PWD/key.pem" -f "$PWD/cert.pem" -N CN=router -L "$3" -w -v || true
while [ ! -e decided ]; do sleep 0.1; done
getcert refresh -s -i device -v
while [ ! -e cert.pem ]; do sleep 0.1; done
"""


async def test_certmonger_sends_its_request_again(patient: Server, patient_relay: Relay, tmp_path: Path) -> None:
    require("certmonger", "getcert", "dbus-run-session")
    challenge = await patient.challenge()
    (tmp_path / "runtime").mkdir(mode=0o700)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "runtime"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    arguments = ("getcert", patient_relay.url, str(patient.root), challenge.secret)

    async def decided() -> Asked:
        asked = await decide(patient, approve=True)
        (tmp_path / "decided").touch()
        return asked

    asking = run("dbus-run-session", "--", "sh", "-c", REFRESH, *arguments, folder=tmp_path, environment=environment)
    ended, asked = await asyncio.gather(asking, decided())

    ended.succeeded()
    version = await patient.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
    assert version.id == asked.approval.version_id
    assert [each.message_type for each in patient_relay.sent] == ["PKCSReq"] * 2
