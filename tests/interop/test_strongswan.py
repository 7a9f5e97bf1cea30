"""strongSwan's `pki --scepca` and `pki --scep` as the client."""

from __future__ import annotations

from pathlib import Path

import pytest

from bramley.model.enrollments import Purpose
from tests.interop.kit import Ended, Relay, Server, require, run
from tests.interop.page import Row, table


async def pki_scep(server: Server, relay: Relay, folder: Path, key: Path, *options: str | Path) -> Ended:
    """One request; what it gets is PEM on standard output."""
    authorities = ("--cacert-enc", server.ca, "--cacert-sig", server.ca, "--cacert", server.root)
    who = ("--url", relay.url, "--in", key, "--dn", "C=GB, O=Test, CN=router")
    return await run("pki", "--scep", *who, *authorities, "--outform", "pem", "--maxpolltime", "5", *options, folder=folder)


async def test_gets_the_ca_certificate(server: Server, relay: Relay, tmp_path: Path) -> None:
    require("pki")

    (await run("pki", "--scepca", "--url", relay.url, "--outform", "pem", "--caout", "got.pem", folder=tmp_path)).succeeded()

    assert (tmp_path / "got-1.pem").read_text().split() == server.ca.read_text().split()


@pytest.mark.parametrize("row", [row for row in table("strongSwan") if "--cert" not in row.options], ids=str)
async def test_enrolls(server: Server, relay: Relay, tmp_path: Path, device_key: Path, row: Row) -> None:
    require("pki")
    challenge = await server.challenge()

    ended = await pki_scep(server, relay, tmp_path, device_key, *row.options, "--password", challenge.secret)

    row.expect(relay.sent[-1])
    if row.outcome == "issued":
        (tmp_path / "device.pem").write_bytes(ended.succeeded().output)
        version = await server.judge(tmp_path / "device.pem", device_key, challenge)
        assert await server.spent_on(challenge) == version
        assert "Issued certificate is trusted" in ended.said
    else:
        assert ended.status != 0
        assert await server.refusals() == [row.outcome]
        assert await server.spent_on(challenge) is None


@pytest.mark.parametrize("row", [row for row in table("strongSwan") if "--cert" in row.options], ids=str)
async def test_renews(server: Server, relay: Relay, tmp_path: Path, device_key: Path, new_key: Path, row: Row) -> None:
    """With the identity itself as the proof, and no challenge."""
    require("pki")
    challenge = await server.challenge()
    first = (await pki_scep(server, relay, tmp_path, device_key, "--password", challenge.secret)).succeeded()
    (tmp_path / "old.pem").write_bytes(first.output)
    (tmp_path / "old.key").write_bytes(device_key.read_bytes())

    renewed = (await pki_scep(server, relay, tmp_path, new_key, *row.options)).succeeded()

    row.expect(relay.sent[-1])
    (tmp_path / "new.pem").write_bytes(renewed.output)
    version = await server.judge(tmp_path / "new.pem", new_key, challenge)
    assert await server.purpose(version) is Purpose.RENEW
    assert row.outcome == "issued"


async def test_a_wrong_challenge_is_refused(server: Server, relay: Relay, tmp_path: Path, device_key: Path) -> None:
    require("pki")

    ended = await pki_scep(server, relay, tmp_path, device_key, "--password", "guessed")

    assert ended.status != 0
    assert "badRequest" in ended.said
    assert await server.refusals() == ["challenge-unknown"]
