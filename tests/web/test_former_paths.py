"""Further paths where a former MDM's devices are served, and what may not be one."""

from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest

from bramley.errors import BadInput
from bramley.operations.live import Live
from bramley.web.app import Application
from tests.web.world import CHECKIN, CONNECT, URL, Device, World


def application(world: World, *paths: str) -> Application:
    installation = world.installation
    live = Live(replace(installation, settings=replace(installation.settings, former_paths=paths)), world.live.current())
    return Application(live)


async def test_one_path_for_both_on_both_listeners(world: World, device: Device) -> None:
    await device.enroll()
    app = application(world, "/mdm", "/mdm/connect")
    for served in (app.main, app.device):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(served), base_url=URL) as http:
            world.http, usual = http, world.http
            idle = {"Status": "Idle", "UDID": device.udid}
            assert (await device.put(idle, content_type=CONNECT, path="/mdm?group=staff")).status_code == 200
            token = {"MessageType": "SetBootstrapToken", "UDID": device.udid, "BootstrapToken": b"x"}
            assert (await device.put(token, content_type=CHECKIN, path="/mdm")).status_code == 200
            assert (await device.put(idle, content_type=CONNECT)).status_code == 200
            assert (await http.get("/mdm")).status_code == 405
            world.http = usual
    assert (await device.put(idle, content_type=CONNECT, path="/mdm")).status_code == 404


@pytest.mark.parametrize("path", ["mdm", "", "/mdm?x=1", "/a b", "/a%20b", "/a//b", "/a#b", "/é", "/a\n"])
async def test_what_is_no_path(world: World, path: str) -> None:
    with pytest.raises(BadInput, match="must hold paths such as /mdm"):
        application(world, path)


@pytest.mark.parametrize(
    "path", ["/scep", "/metrics", "/v1/pushcert", "/api/v1/devices", "/api", "/enroll/x", "/pki/ocsp", "/pki/x", "/enroll/"]
)
async def test_what_is_served_already_is_not_taken(world: World, path: str) -> None:
    with pytest.raises(BadInput, match=f"must not hold {path}"):
        application(world, path)
