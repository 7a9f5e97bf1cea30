"""Devices whose identity comes with the profile: enrolled, renewed, moved to SCEP and back, wiped; and none let in too many."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.mdm.commands import SecurityInfo
from bramley.model.commands import CommandState
from bramley.model.enrollments import EnrollmentState, IdentityRoute
from bramley.model.events import EventKind
from bramley.model.lineages import VersionState
from bramley.operations import commands, devices, identities
from bramley.operations.installation import open_installation
from bramley.pki import certificates
from bramley.rehearsal.cast import awake
from bramley.rehearsal.passing import pass_time
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import Identity, SignatureStyle, SimulatedDevice
from bramley.sandbox.errors import ServerRefused
from bramley.storage.protocols import Tx
from bramley.web.service import Service

HOUR = timedelta(hours=1, seconds=1)


@dataclass(slots=True)
class Play:
    """A server whose setting changes with a restart, a clock that may be moved, and devices."""

    stage: Stage
    clock: ShiftedClock
    devices: list[SimulatedDevice] = field(default_factory=list)

    async def take(self, source: IdentityRoute) -> None:
        """The server is started anew, with another `identity.source`."""
        settings = self.stage.installation.settings
        await self.stage.service.stop()
        settings = replace(settings, identity=replace(settings.identity, source=source))
        self.stage = replace(self.stage, service=await Service.start(await open_installation(settings, self.clock, {})))
        for device in self.devices:
            await device.close()
            device.behaviour = replace(device.behaviour, tls_base=self.stage.tls_base)

    def device(self, seed: int, style: SignatureStyle = SignatureStyle.APPLE) -> SimulatedDevice:
        self.devices.append(self.stage.device(seed, style))
        return self.devices[-1]

    async def enrolled(self, seed: int, style: SignatureStyle = SignatureStyle.APPLE) -> SimulatedDevice:
        device = self.device(seed, style)
        await device.enroll(await self.stage.link())
        return device

    async def renew(self, device: SimulatedDevice) -> Identity:
        """A renewal, carried out; the identity before."""
        before = identity_of(device)
        renewal = await identities.renew(self.stage.service.live, device.device.udid, actor="test")
        async with awake(device):
            await self.stage.until("the renewal", lambda tx: tx.commands.count_pending() == 0)
        ended = await commands.show(self.stage.installation, device.device.udid, renewal.uuid)
        assert (ended.state, ended.payload) == (CommandState.ACKNOWLEDGED, b"")
        return before

    async def route(self, device: SimulatedDevice) -> str:
        return (await devices.show(self.stage.installation, device.device.udid)).route

    async def states(self, *identities_: Identity) -> list[VersionState]:
        def read(tx: Tx) -> list[VersionState]:
            found = (tx.lineages.by_sha256(certificates.sha256(each.certificate)) for each in identities_)
            return [version.state for version in found if version is not None]

        return await self.stage.installation.store.read(read)


@pytest.fixture
async def play(tmp_path: Path, database: str) -> AsyncGenerator[Play]:
    clock = ShiftedClock()
    made = Play(await open_stage(tmp_path, clock, database), clock)
    await made.take(IdentityRoute.PKCS12)
    yield made
    for device in made.devices:
        await device.close()
    await made.stage.close()


def identity_of(device: SimulatedDevice) -> Identity:
    assert device.identity is not None
    return device.identity


@pytest.mark.parametrize("style", [SignatureStyle.APPLE, SignatureStyle.TLS])
async def test_a_device_is_renewed_as_it_was_enrolled_and_moves_to_scep_and_back(play: Play, style: SignatureStyle) -> None:
    device = await play.enrolled(2, style)
    await device.set_bootstrap_token(b"kept")
    assert await play.route(device) == IdentityRoute.PKCS12
    used = [identity_of(device)]
    for source in (IdentityRoute.PKCS12, IdentityRoute.SCEP, IdentityRoute.PKCS12):
        await play.take(source)
        former = await play.renew(device)
        used.append(identity_of(device))
        assert used[-1].key.private_numbers() != former.key.private_numbers()
        assert await play.states(former, used[-1]) == [VersionState.SUPERSEDED, VersionState.ACTIVE]
        assert await play.route(device) == source
        assert await device.get_bootstrap_token() == b"kept", "a renewal goes on with what there was"

    await pass_time(play.stage, play.clock, 72 * HOUR)
    await play.stage.until(
        "the former identities retired",
        lambda tx: all(_state(tx, former) is VersionState.RETIRED for former in used[:-1]),
    )
    await device.connect()
    for former in used[:-1]:
        device.holdings.identity = former
        with pytest.raises(ServerRefused, match="400"):
            await device.connect()


def _state(tx: Tx, identity: Identity) -> VersionState | None:
    found = tx.lineages.by_sha256(certificates.sha256(identity.certificate))
    return None if found is None else found.state


async def test_a_link_for_one_device_lets_one_in_however_often_it_was_fetched(play: Play) -> None:
    link = await play.stage.link()
    lost, first, second = (play.device(seed) for seed in (2, 4, 6))
    for device in (lost, first, second):  # say a program that previews links, a person, and somebody who looked over a shoulder
        await device.fetch_profile(link)
        await device.obtain_identity()
    await first.authenticate()
    await first.token_update()
    for late in (lost, second):
        with pytest.raises(ServerRefused, match="400"):
            await late.authenticate()
        assert await play.states(identity_of(late)) == [VersionState.ISSUED]
    with pytest.raises(ServerRefused, match="410"):
        await play.device(8).fetch_profile(link)
    events = await play.stage.installation.store.read(lambda tx: tx.events.find(kind=EventKind.DEVICE_REFUSED))
    assert {event.detail["reason"] for event in events} == {"link-used-up"}
    await first.connect()
    await first.authenticate()  # again, which uses no link

    await pass_time(play.stage, play.clock, 24 * HOUR)
    await play.stage.until("what nobody used retired", lambda tx: _state(tx, identity_of(second)) is VersionState.RETIRED)
    assert await play.states(identity_of(lost), identity_of(first)) == [VersionState.RETIRED, VersionState.ACTIVE]


async def test_a_wiped_device_starts_clean(play: Play) -> None:
    before = await play.enrolled(2)
    udid = before.device.udid
    await before.set_bootstrap_token(b"of its former life")
    await identities.renew(play.stage.service.live, udid, actor="test")

    again = play.device(2)  # the same device, with empty memory
    with pytest.raises(ServerRefused, match="400"):
        await again.enroll(await play.stage.link())
    await again.enroll(await play.stage.link(udid))
    assert await again.get_bootstrap_token() is None
    async with awake(again):
        await commands.send(play.stage.installation, udid, SecurityInfo(), actor="test")
        await play.stage.until("every command answered", lambda tx: tx.commands.count_pending() == 0)
    assert [done.request_type for done in again.history] == ["SecurityInfo"]
    with pytest.raises(ServerRefused, match="400"):
        await before.connect()
    shown = await devices.show(play.stage.installation, udid)
    assert shown.enrollment.state is EnrollmentState.ACTIVE
    await play.stage.until("its former identity retired", lambda tx: _state(tx, identity_of(before)) is VersionState.RETIRED)


async def test_a_revoked_identity_counts_for_nothing_from_the_next_request_on(play: Play) -> None:
    device = await play.enrolled(2)
    await identities.revoke(play.stage.installation, device.device.udid, reason="lost", actor="test")
    with pytest.raises(ServerRefused, match="400"):
        await device.connect()
