"""Tags of devices, as the API tells them and finds by them."""

from __future__ import annotations

from bramley.operations.profiles import assigning
from tests.web.api.test_api import get
from tests.web.world import Device, World


async def test_tags_are_in_the_device_and_find_it(world: World, device: Device) -> None:
    await device.enroll()
    await Device(world, device.key, "00008030-0000000000000001").enroll()
    await assigning.tag(world.installation, device.udid, add=["staff", "lab"], actor="test")

    every = (await get(world, "/devices"))["items"]
    found = (await get(world, "/devices?tag=staff&state=active"))["items"]

    assert {each["udid"]: each["tags"] for each in every} == {device.udid: ["lab", "staff"], "00008030-0000000000000001": []}
    assert [each["udid"] for each in found] == [device.udid]
    assert (await get(world, f"/devices/{device.udid}"))["device"] == found[0]
    assert await get(world, "/devices?tag=guests") == {"items": [], "next": None}


async def test_a_tag_that_is_none_is_400(world: World) -> None:
    for tag in ("Staff", "", "a,b", "%25"):
        assert "Expected a tag" in (await get(world, f"/devices?tag={tag}", 400))["error"]
