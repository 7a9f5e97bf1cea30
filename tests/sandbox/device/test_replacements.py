"""What a replacement of the enrollment profile may not change: the simulated device and the server's guard say the same."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest

from bramley.profiles import immutable
from bramley.sandbox.device import SimulatedDevice
from tests.profiles.changes import REFUSED, TAKEN, Change, changed
from tests.sandbox.tiny_server import TinyServer

CASES: dict[str, Change] = {
    **{name: change for name, (change, _key, _rule) in REFUSED.items()},
    **TAKEN,
    "rights in words": lambda _, mdm: mdm.update(AccessRights="all"),
    "another order": lambda _, mdm: mdm.update(ServerCapabilities=mdm.get("ServerCapabilities", [])[::-1]),
    "check-in where it was": lambda _, mdm: mdm.update(CheckInURL=mdm["CheckInURL"]),
}
RIGHTS: tuple[tuple[int | None, bool], ...] = (
    (8191, False),
    (8192, True),
    (None, False),  # without the key Apple does not say which: no more than all there are, which it has
    (19, True),  # from here on it may have none
    (8191, True),
    (None, False),
)
"""What a device of 8191 is asked for, one after the other, and whether that is refused; None: the key is left out."""


async def _both(device: SimulatedDevice, server: TinyServer, change: Change) -> tuple[bool, bool]:
    """Whether the device refuses this change of what it has, and whether the guard does."""
    has = plistlib.loads(plistlib.dumps(device.holdings.enrollment.content))
    fresh = plistlib.loads(server.enrollment_profile("a fresh identity"))
    identity = fresh["PayloadContent"][1]
    mdm = {**has["PayloadContent"][2], "IdentityCertificateUUID": identity["PayloadUUID"]}
    after = changed({**has, "PayloadContent": [fresh["PayloadContent"][0], identity, mdm]}, change)
    server.send("InstallProfile", Payload=plistlib.dumps(after))
    await device.connect()
    return device.history[-1].status == "Error", bool(list(immutable.compare(has, after)))


async def test_both_refuse_the_same(device: SimulatedDevice, server: TinyServer) -> None:
    server.signed = False
    said = {name: await _both(device, server, change) for name, change in CASES.items()}
    assert {name for name, (refused, _) in said.items() if refused} == {*REFUSED, "rights in words"}
    assert {name for name, (_, refused) in said.items() if refused} == {*REFUSED, "rights in words"}


async def test_both_let_rights_shrink_and_never_grow(device: SimulatedDevice, server: TinyServer) -> None:
    server.signed = False
    for rights, refused in RIGHTS:
        assert await _both(device, server, _ask(rights)) == (refused, refused), rights


@pytest.mark.parametrize("rights", [19, 3])
async def test_one_with_fewer_rights_gets_no_more(device: SimulatedDevice, server: TinyServer, rights: int) -> None:
    server.signed = False
    assert await _both(device, server, _ask(rights)) == (False, False)
    for more in (rights | 4, 4, 8191, None):
        assert await _both(device, server, _ask(more)) == (True, True), more
    assert await _both(device, server, _ask(1)) == (False, False)


def _ask(rights: int | None) -> Change:
    def change(_: dict[str, Any], mdm: dict[str, Any]) -> None:
        mdm.pop("AccessRights", None)
        if rights is not None:
            mdm["AccessRights"] = rights

    return change
