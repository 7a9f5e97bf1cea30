"""micromdm's `scepclient` (Debian's package scep) as the client: SHA-1 and single DES, whatever the server can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bramley.model.enrollments import Purpose
from tests.interop.kit import Ended, Relay, Server, require, run
from tests.interop.page import Row, table

ROWS = table("scepclient")


async def scepclient(url: str, folder: Path, *options: str, trust: Path | None = None) -> Ended:
    """One request. The folder keeps its key and its certificate; where there is one already, it is renewed."""
    files = ("-private-key", "key.pem", "-certificate", "cert.pem")
    environment = {} if trust is None else {"SSL_CERT_FILE": str(trust)}
    return await run("scepclient", "-server-url", url, *files, "-cn", "router", *options, folder=folder, environment=environment)


@pytest.mark.parametrize("row", [row for row in ROWS if row.legacy], ids=["enrolls", "renews"])
async def test_needs_the_legacy_algorithms(lenient: Server, lenient_relay: Relay, tmp_path: Path, row: Row) -> None:
    require("scepclient")
    assert row.outcome == "issued"
    challenge = await lenient.challenge()

    (await scepclient(lenient_relay.url, tmp_path, "-challenge", challenge.secret)).succeeded()
    first = await lenient.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
    assert await lenient.spent_on(challenge) == first
    if row.options == ("again",):
        (await scepclient(lenient_relay.url, tmp_path)).succeeded()
        renewed = await lenient.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
        assert renewed != first
        assert await lenient.purpose(renewed) is Purpose.RENEW

    row.expect(lenient_relay.sent[-1])


@pytest.mark.parametrize("row", [row for row in ROWS if not row.legacy], ids=str)
async def test_is_refused_without_them(server: Server, relay: Relay, tmp_path: Path, row: Row) -> None:
    require("scepclient")
    challenge = await server.challenge()

    ended = await scepclient(relay.url, tmp_path, "-challenge", challenge.secret)

    row.expect(relay.sent[-1])
    assert ended.status != 0
    assert "badAlg" in ended.output.decode() + ended.said
    assert await server.refusals() == [row.outcome]
    assert await server.spent_on(challenge) is None


async def test_trusts_our_root_over_https(lenient: Server, tmp_path: Path) -> None:
    require("scepclient")
    challenge = await lenient.challenge()

    untrusting = await scepclient(lenient.url, tmp_path, "-challenge", challenge.secret)
    assert untrusting.status != 0
    (await scepclient(lenient.url, tmp_path, "-challenge", challenge.secret, trust=lenient.root)).succeeded()

    await lenient.judge(tmp_path / "cert.pem", tmp_path / "key.pem", challenge)
