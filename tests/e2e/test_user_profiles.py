"""Profiles for the users of a Mac: each managed user has them, on a channel of their own."""

from __future__ import annotations

import plistlib
import random
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.enrollments import Enrollment, EnrollmentID
from bramley.model.profiles import InstallState, TargetKind
from bramley.operations.errors import Invalid
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.pki.keys import KeyAlgorithm
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import open_stage
from bramley.sandbox.device import SimulatedDevice, UserAccount
from bramley.sandbox.device.channel import Channel
from bramley.storage.protocols import Tx
from tests.e2e.profile_kit import SECRET, WIFI, Play, of, profile

on_sqlite = pytest.mark.parametrize("database", [""])


@pytest.fixture
async def play(tmp_path: Path, database: str) -> AsyncGenerator[Play]:
    made = Play(await open_stage(tmp_path, SystemClock(), database))
    yield made
    await made.close()


@pytest.fixture
async def mac(play: Play) -> SimulatedDevice:
    """A Mac with two managed users."""
    return await enrolled(play, 2, users=2)


async def enrolled(play: Play, seed: int, *, users: int = 0, hardware_key: KeyAlgorithm | None = None) -> SimulatedDevice:
    made = play.stage.device(seed, users=users, hardware_key=hardware_key)
    play.devices.append(made)
    await made.enroll(await play.stage.link())
    return made


def for_users(ssid: str = "Orchard", **payload: str) -> bytes:
    return plistlib.dumps({**plistlib.loads(profile(ssid, **payload)), "PayloadScope": "User"})


def user_channels(device: SimulatedDevice) -> list[Channel]:
    return [channel for channel in device.channels.values() if channel.user is not None]


def ssids(device: SimulatedDevice) -> list[str | None]:
    """What each user has, by the name of the network."""
    held = [channel.holdings.profiles.get(WIFI) for channel in user_channels(device)]
    return [None if each is None else str(each.payloads[0]["SSID_STR"]) for each in held]


def names(device: SimulatedDevice) -> list[str]:
    return [channel.user.short_name for channel in user_channels(device) if channel.user is not None]


def enrollments(tx: Tx, device: SimulatedDevice) -> list[Enrollment]:
    """The device's, then its channels'."""
    found = tx.enrollments.by_id(EnrollmentID(device.device.udid))
    assert found is not None
    return [found, *tx.enrollments.channels(found.key)]


async def until(
    play: Play, device: SimulatedDevice, on_device: InstallState | None, *on_channels: InstallState | None, revision: int = 1
) -> None:
    """Awake until the profile stands so on the device, and so on its channels, in whatever order; None: not on record."""

    def stands(tx: Tx) -> bool:
        kept = tx.profiles.by_identifier(WIFI)
        assert kept is not None
        on = [{each.profile_id: each for each in tx.profiles.on_device(one.key)}.get(kept.id) for one in enrollments(tx, device)]
        first, *rest = [each and each.state for each in on]
        current = all(each.revision == revision for each in on if each)
        return current and first == on_device and Counter(rest) == Counter(on_channels)

    async with awake(device):
        await play.stage.until(f"the profile to be {on_device} and {on_channels}", stands)


INSTALLED = InstallState.INSTALLED


async def test_each_user_has_it_with_their_name_in_it_and_the_device_has_not(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(for_users("{{ user.short_name }} on {{ device.serial }}"), encrypt=True)
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED, INSTALLED)
    serial = mac.device.serial_number
    assert ssids(mac) == [f"{name} on {serial}" for name in names(mac)]
    assert all(channel.holdings.profiles[WIFI].encrypted for channel in user_channels(mac))
    assert WIFI not in mac.holdings.profiles
    assert await play.stage.installation.store.read(lambda tx: tx.commands.count_pending()) == 0


@on_sqlite
async def test_what_is_for_the_system_goes_to_no_user(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(profile())
    await play.assign(of(mac))
    await until(play, mac, INSTALLED, None, None)
    assert ssids(mac) == [None, None]
    assert WIFI in mac.holdings.profiles


@on_sqlite
async def test_a_user_who_logs_in_later_gets_it_then(play: Play) -> None:
    device = await enrolled(play, 2)
    await play.keep(for_users())
    await play.assign(Target(TargetKind.TAG, "staff"))
    await assigning.tag(play.stage.installation, device.device.udid, add=["staff"], actor="test")
    await device.token_update(UserAccount.make(random.Random(7)))
    await until(play, device, None, INSTALLED)
    assert ssids(device) == ["Orchard"]


@on_sqlite
async def test_a_change_of_scope_moves_it(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(profile())
    await play.assign(of(mac))
    await until(play, mac, INSTALLED, None, None)
    await play.keep(for_users())
    await until(play, mac, None, INSTALLED, INSTALLED, revision=2)
    assert WIFI not in mac.holdings.profiles
    await play.keep(profile("Cider"))
    await until(play, mac, INSTALLED, None, None, revision=3)
    assert ssids(mac) == [None, None]


@on_sqlite
async def test_unassigned_it_is_removed_from_every_user(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(for_users())
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED, INSTALLED)
    await assigning.unassign(play.stage.installation, WIFI, [of(mac)], actor="test")
    await until(play, mac, None, None, None)
    assert ssids(mac) == [None, None]


@on_sqlite
async def test_an_iphone_knows_no_scopes(play: Play) -> None:
    device = await enrolled(play, 3)
    await play.keep(for_users())
    await play.assign(of(device))
    await until(play, device, INSTALLED)
    assert WIFI in device.holdings.profiles


@on_sqlite
async def test_what_one_user_has_lost_is_sent_to_that_user_again(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(for_users())
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED, INSTALLED)
    first, second = user_channels(mac)
    await first.holdings.remove(WIFI)
    assert first.user is not None
    name = f"{mac.device.udid}:{first.user.user_id}"
    await assigning.check(play.stage.installation, name, actor="test")
    async with awake(mac):
        await play.stage.until("the profile to be back", lambda _tx: WIFI in first.holdings.profiles)
    found = await assigning.standing(play.stage.installation, name)
    assert [kept.identifier for kept, _on in found] == [WIFI]
    assert WIFI in second.holdings.profiles
    assert await assigning.standing(play.stage.installation, mac.device.udid) == []


@on_sqlite
async def test_a_user_who_leaves_and_comes_again_gets_it_again(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(for_users())
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED, INSTALLED)
    first = user_channels(mac)[0].user
    assert first is not None
    message = {"MessageType": "CheckOut", "Topic": mac.mdm.topic, **mac.sender(first)}
    await mac.check_in(message)
    del mac.channels[first]
    await until(play, mac, None, None, INSTALLED)
    await mac.token_update(first)
    await until(play, mac, None, INSTALLED, INSTALLED)
    assert ssids(mac) == ["Orchard", "Orchard"]


@on_sqlite
async def test_encrypted_to_the_certificate_that_an_elliptic_mac_fetches(play: Play) -> None:
    mac = await enrolled(play, 2, users=1, hardware_key=KeyAlgorithm.P_256)
    await play.keep(for_users(), encrypt=True)
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED)
    assert user_channels(mac)[0].holdings.profiles[WIFI].encrypted
    assert len(mac.holdings.network) == 1


@on_sqlite
async def test_a_user_variable_in_what_is_for_the_device_is_refused(play: Play) -> None:
    with pytest.raises(Invalid, match=r"user\.short_name") as refused:
        await play.keep(profile("{{ user.short_name }}"))
    assert "PayloadScope" in refused.value.advice
    assert await keeping.listing(play.stage.installation) == []


@on_sqlite
async def test_a_departed_device_is_in_no_profiles_way(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(for_users())
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED, INSTALLED)
    await mac.check_out()
    await assigning.unassign(play.stage.installation, WIFI, [of(mac)], actor="test")
    await keeping.remove(play.stage.installation, WIFI, actor="test")
    assert await keeping.listing(play.stage.installation) == []


@on_sqlite
async def test_no_password_is_in_clear_on_the_way_to_a_user(play: Play, mac: SimulatedDevice) -> None:
    await play.keep(for_users(), encrypt=True)
    await play.assign(of(mac))
    await until(play, mac, None, INSTALLED, INSTALLED)
    folder = play.stage.installation.settings.data
    assert all(SECRET.encode() not in file.read_bytes() for file in folder.rglob("*") if file.is_file())
