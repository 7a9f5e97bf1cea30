"""An identity whose key travelled is called weaker by every verb that lists or shows it; one whose key did not is not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.enrollments import EnrollmentKey, IdentityRoute
from bramley.model.kinds import Kind
from bramley.operations import records
from bramley.operations.installation import open_installation
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import UDID, Run

WEAKER = "weaker: the key travelled"
VERBS = (("certs", "list"), ("certs", "show", "SERIAL"), ("identity", "list"), ("device", "show", UDID))


@pytest.fixture
def come_by(data: Path) -> None:
    """Puts on record that the device's identity came by PKCS#12."""

    async def put() -> None:
        installation = await open_installation(Settings(data=data), SystemClock(), {})

        def change(tx: Tx) -> None:
            lineage = tx.lineages.find(Kind.DEVICE_IDENTITY, EnrollmentKey("0123456789abcdef"))
            assert lineage is not None
            records.reroute(tx, lineage.id, IdentityRoute.PKCS12)

        await installation.store.run(change)
        await installation.store.close()

    asyncio.run(put())


def shown(run: Run, data: Path, verb: tuple[str, ...], *form: str) -> str:
    (row,) = run("certs", "list", "--kind", "device-identity", "--data", data, "--json").json
    asked = [row["serial"] if word == "SERIAL" else word for word in verb]
    return run(*asked, "--data", data, *form).out


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "JSON"])
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.usefixtures("come_by")
def test_it_is_marked(run: Run, data: Path, verb: tuple[str, ...], form: tuple[str, ...]) -> None:
    assert WEAKER in " ".join(shown(run, data, verb, *form).split())


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "JSON"])
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_another_is_not(run: Run, data: Path, verb: tuple[str, ...], form: tuple[str, ...]) -> None:
    said = shown(run, data, verb, *form)
    assert UDID in said or "0123456789abcdef" in said
    assert "weaker" not in said
