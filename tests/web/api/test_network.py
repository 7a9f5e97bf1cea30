"""/network: templates and assignments, without a secret."""

from __future__ import annotations

from bramley.operations.network import templates
from bramley.pki import certificates
from tests.web.api.test_api import get, post
from tests.web.world import Device, World

WIFI = 'name = "wifi"\nuse = "wifi"\nsubject = [["CN", "{{ enrollment.key }}"]]\n'


async def test_devices_get_an_identity_and_it_is_listed(world: World, device: Device) -> None:
    await device.enroll()
    await templates.put(world.installation, WIFI.encode(), actor="cli")
    body = {"template": "wifi", "devices": [device.udid]}

    (sent,) = await post(world, "/network/assignments", body, 200)
    (again,) = await post(world, "/network/assignments", body, 200)
    page = await get(world, f"/network/assignments?device={device.udid}&template=wifi")

    assert (sent["device_id"], again["command_uuid"]) == (device.udid, None)
    (item,) = page["items"]
    assert item == item | {"device_id": device.udid, "template": "wifi", "state": "sent", "created_by": "admin:first"}
    assert (item["command_uuid"], item["certificate"], item["due_at"]) == (sent["command_uuid"], None, None)
    assert (await get(world, "/network/assignments?template=mail"))["items"] == []
    assert [each["devices"] for each in await get(world, "/network/templates")] == [1]


async def test_long_lists_come_in_pages(world: World, device: Device) -> None:
    await device.enroll()
    for name in ("a", "b", "c"):
        await templates.put(world.installation, WIFI.replace('"wifi"\nuse', f'"{name}"\nuse').encode(), actor="cli")
        await post(world, "/network/assignments", {"template": name, "devices": [device.udid]}, 200)

    for query in ("", f"&device={device.udid}"):
        first = await get(world, f"/network/assignments?limit=2{query}")
        second = await get(world, f"/network/assignments?limit=2&after={first['next']}{query}")
        assert [each["template"] for each in first["items"] + second["items"]] == ["a", "b", "c"]
        assert second["next"] is None


async def test_mistakes_are_told_and_secrets_are_not(world: World, device: Device) -> None:
    await device.enroll()
    ca = certificates.pem(world.live.current().authorities.root.certificate).decode()
    table = f'[outside]\nurl = "https://ca.example"\nchallenge = "s3cret"\nca = """{ca}"""\n'
    await templates.put(world.installation, (WIFI + table).encode(), actor="cli")

    shown = await get(world, "/network/templates")

    assert (shown[0]["url"], shown[0]["issuer"], shown[0]["lifetime_days"]) == ("https://ca.example", "outside", None)
    assert "s3cret" not in str(shown)
    for body, status in (
        ({"template": "mail", "devices": [device.udid]}, 404),
        ({"template": "wifi", "devices": ["nobody"]}, 404),
        ({"template": "wifi", "devices": []}, 400),
        ({"template": "wifi", "devices": [device.udid], "colour": 1}, 400),
    ):
        assert (await post(world, "/network/assignments", body, status))["error"]
    await get(world, "/network/assignments?device=nobody", 404)
