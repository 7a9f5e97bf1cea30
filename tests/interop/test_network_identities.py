"""Network identities of an outside CA, micromdm's `scepserver`: devices go there by themselves, and this server learns of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from bramley.model.enrollments import EnrollmentID
from bramley.model.lineages import Version, VersionState
from bramley.model.networks import NetworkState
from bramley.operations import reconcile
from bramley.operations.errors import Conflict
from bramley.operations.network import ending, sending, standing, templates
from bramley.operations.network.learning import UNSEEN
from bramley.pki import certificates
from bramley.rehearsal.cast import awake
from bramley.rehearsal.passing import pass_time
from bramley.rehearsal.stage import Stage, free_port, open_stage
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import SimulatedDevice
from bramley.storage.protocols import Tx
from tests.interop.kit import require
from tests.interop.test_outside_scep import over_tls
from tests.interop.test_scepserver import depot as depot

CHALLENGE = "open sesame"
PROFILE = "bramley.network.vpn"
DAY = timedelta(days=1)


@dataclass(slots=True)
class Play:
    """This server beside the outside CA, and a device."""

    stage: Stage
    clock: ShiftedClock
    device: SimulatedDevice
    template: str

    @property
    def udid(self) -> str:
        return self.device.device.udid

    async def put(self, subject: str) -> None:
        await templates.put(self.stage.installation, self.template.replace("SUBJECT", subject).encode(), actor="test")

    async def until(self, what: str, state: NetworkState, problem: str, *seen: VersionState) -> list[Version]:
        """Awake until the assignment stands like this; its certificates."""

        def found(tx: Tx) -> list[Version] | None:
            enrollment = tx.enrollments.by_id(EnrollmentID(self.udid))
            assert enrollment is not None
            assignment = tx.networks.get(enrollment.key, "vpn")
            assert assignment is not None
            versions = list(standing.versions(tx, enrollment.key, "vpn"))
            stands = (assignment.state, assignment.problem) == (state, problem)
            asked = tx.commands.count_pending() + len(reconcile_waits(tx))
            return versions if stands and not asked and [v.state for v in versions] == [*seen] else None

        def reached(tx: Tx) -> bool:
            return found(tx) is not None

        async with awake(self.device):
            await self.stage.until(what, reached)
        return await self.stage.installation.store.read(found) or []


def reconcile_waits(tx: Tx) -> list[object]:
    """The question left for later, and an answer that is not dealt with to its end."""
    jobs = [*tx.jobs.of_kind(reconcile.RECONCILE), *tx.jobs.of_kind(reconcile.RECONCILE_ANSWERED)]
    return [job for job in jobs if job.state in ("ready", "running")]


@pytest.fixture
async def play(depot: Path, tmp_path: Path) -> AsyncGenerator[Play]:
    require("scepserver")
    port, clock = free_port(), ShiftedClock()
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("scepserver", "-depot", depot, "-port", str(port), "-challenge", CHALLENGE, "-allowrenew", "0", "-crtvalid", "90"),
            stdout=log,
            stderr=log,
        )
    stage = await open_stage(tmp_path, clock)
    try:
        async with asyncio.timeout(10), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    await http.get(f"http://127.0.0.1:{port}/scep?operation=GetCACaps")
                    break
                except httpx2.ConnectError:
                    await asyncio.sleep(0.02)
        front = await over_tls(stage, port)
        template = (
            'name = "vpn"\nuse = "vpn"\nsubject = [["CN", "SUBJECT"]]\n'
            f'[outside]\nurl = "https://localhost:{front.sockets[0].getsockname()[1]}/scep"\nchallenge = "{CHALLENGE}"\n'
            f'ca = """\n{(depot / "ca.pem").read_text()}"""\n'
        )
        usual = stage.device(2)
        behaviour = replace(usual.behaviour, legacy_scep=True)  # as scepserver answers
        device = SimulatedDevice(usual.device, clock, behaviour=behaviour, courier=usual.courier, seed=2)
        await device.enroll(await stage.link())
        yield Play(stage, clock, device, template)
        await device.close()
        await stage.service.stop()
        front.close()
    finally:
        await stage.apns.stop()
        process.terminate()
        await process.wait()


async def test_it_is_learnt_from_the_device_renewed_by_this_server_and_taken_away(play: Play) -> None:
    await play.put("{{ device.serial }}")
    await sending.assign(play.stage.service.live, "vpn", [play.udid], actor="test")
    (first,) = await play.until("the identity learnt", NetworkState.INSTALLED, "", VersionState.ACTIVE)
    assert first.sha256 == certificates.sha256(play.device.holdings.network[PROFILE].certificate)
    assert (first.issuer_version, first.subject) == (None, f"CN={play.device.device.serial_number}")
    last = (await reconcile.standing(play.stage.installation, play.udid)).last
    assert last is not None
    assert last.findings == ()
    with pytest.raises(Conflict, match="outside CA"):
        await ending.revoke(play.stage.installation, first.serial or "", reason="lost", actor="test")

    await pass_time(play.stage, play.clock, 70 * DAY)  # two thirds of the life, and what spreads renewals
    await play.stage.until("the next one sent", lambda tx: tx.commands.count_pending() > 0)
    states = (VersionState.SUPERSEDED, VersionState.ACTIVE)
    _first, second = await play.until("the next one learnt", NetworkState.INSTALLED, "", *states)
    assert second.sha256 == certificates.sha256(play.device.holdings.network[PROFILE].certificate)

    (taken,) = await ending.unassign(play.stage.installation, "vpn", [play.udid], actor="test")
    assert [version.state for version in taken.ended] == [VersionState.RETIRED] * 2
    assert {version.revoked_for for version in taken.ended} == {None}


async def test_one_with_another_subject_is_not_taken_for_it(play: Play) -> None:
    await play.put("{{ device.serial }}")
    await sending.assign(play.stage.service.live, "vpn", [play.udid], actor="test")
    await play.put("somebody else")  # before the device comes
    await play.until("that it is told", NetworkState.INSTALLED, UNSEEN)
