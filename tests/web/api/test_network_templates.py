"""/network/templates: kept, shown without a secret, and forgotten once nothing needs them."""

from __future__ import annotations

import plistlib
from typing import Any

import pytest
from asn1crypto.cms import ContentInfo
from structlog.testing import capture_logs

from bramley.model.events import EventKind
from bramley.profiles.network import LARGEST
from tests.web.api.test_api import API, get, post
from tests.web.api.test_network import outside
from tests.web.world import Device, World

PATH = "/network/templates"
WIFI = """
name = "wifi"
use = "wifi"
subject = [["O", "Orchard"], ["CN", "{{ enrollment.key }}"]]
lifetime_days = 30

[[payloads]]
PayloadType = "com.apple.wifi.managed"
SSID_STR = "Büro"
EncryptionType = "WPA2"
Password = "hunter2"
PayloadCertificateUUID = "{{ identity.uuid }}"
"""


def vpn(world: World) -> str:
    name = 'name = "vpn"\nuse = "vpn"\nsubject = [["CN", "{{ enrollment.key }}"]]\n'
    return name + outside(world.live.current().authorities.root.certificate)


async def delete(world: World, name: str, status: int) -> Any:
    answer = await world.http.delete(f"{API}{PATH}/{name}", headers=world.as_admin)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def test_one_is_kept_changed_shown_and_forgotten(world: World) -> None:
    kept = await post(world, PATH, {"template": WIFI}, 200)
    again = await post(world, PATH, {"template": WIFI}, 200)
    changed = await post(world, PATH, {"template": WIFI.replace("= 30", "= 60")}, 200)

    assert [each["changed"] for each in (kept, again, changed)] == [True, False, True]
    assert kept["template"] == again["template"]
    shown = await get(world, f"{PATH}/wifi")
    assert shown == changed["template"] == (await get(world, PATH))[0]
    expected = {
        "name": "wifi",
        "use": "wifi",
        "issuer": "bramley",
        "subject": [["O", "Orchard"], ["CN", "{{ enrollment.key }}"]],
        "lifetime_days": 60,
        "payload_types": ["com.apple.wifi.managed"],
        "devices": 0,
        "changed_by": "admin:first",
    }
    assert shown == shown | expected

    await delete(world, "wifi", 204)
    assert await get(world, PATH) == []
    for told in (await get(world, f"{PATH}/wifi", 404), await delete(world, "wifi", 404)):
        assert "wifi" in told["error"]
        assert told["advice"]
    assert [event.actor for event in await world.events(EventKind.NETWORK_TEMPLATE_KEPT)] == ["admin:first"] * 2
    (removed,) = await world.events(EventKind.NETWORK_TEMPLATE_REMOVED)
    assert (removed.actor, removed.detail) == ("admin:first", {"template": "wifi"})


async def test_what_it_says_gets_to_the_device_unchanged(world: World, device: Device) -> None:
    await device.enroll()
    await post(world, PATH, {"template": WIFI}, 200)
    await post(world, "/network/assignments", {"template": "wifi", "devices": [device.udid]}, 200)

    handed = plistlib.loads((await device.report("Idle")).content)
    signed = ContentInfo.load(handed["Command"]["Payload"])["content"]["encap_content_info"]["content"].native
    (wifi,) = [each for each in plistlib.loads(signed)["PayloadContent"] if each["PayloadType"] == "com.apple.wifi.managed"]
    assert (wifi["SSID_STR"], wifi["Password"]) == ("Büro", "hunter2")
    assert (await get(world, f"{PATH}/wifi"))["devices"] == 1


async def test_one_that_a_device_needs_stays(world: World, device: Device) -> None:
    await device.enroll()
    await post(world, PATH, {"template": WIFI}, 200)
    await post(world, "/network/assignments", {"template": "wifi", "devices": [device.udid]}, 200)

    assert "1 device" in (await delete(world, "wifi", 409))["error"]
    await post(world, "/network/assignments/unassign", {"template": "wifi", "devices": [device.udid]}, 200)
    await delete(world, "wifi", 409)  # the profile is still on the device

    assert [each["name"] for each in await get(world, PATH)] == ["wifi"]
    assert await world.events(EventKind.NETWORK_TEMPLATE_REMOVED) == []


async def test_secrets_in_it_are_told_nowhere(world: World) -> None:
    with capture_logs() as logged:
        answers = [
            await post(world, PATH, {"template": WIFI}, 200),
            await post(world, PATH, {"template": vpn(world)}, 200),
            await post(world, PATH, {"template": WIFI.replace("[[payloads]]", "[[payloads]]\nA = 1\nA = 2")}, 400),
            await post(world, PATH, {"template": vpn(world) + "colour = 1\n"}, 400),
            await post(world, PATH, {"template": vpn(world).replace('"https', '"ftp')}, 400),
            await post(world, PATH, {"template": WIFI, "why": "x"}, 400),
            await get(world, PATH),
            await get(world, f"{PATH}/wifi"),
            await get(world, f"{PATH}/vpn"),
            await get(world, "/events?limit=1000"),
        ]

    for secret in ("s3cret", "hunter2"):
        assert secret not in str(answers)
        assert secret not in str(logged)


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        {"template": None},
        {"template": ""},
        {"template": "not TOML"},
        {"template": "\x00"},
        {"template": WIFI.replace('"wifi"\nuse', '"Wi-Fi"\nuse')},
        {"template": WIFI.replace('use = "wifi"', 'use = "tv"')},
        {"template": WIFI.replace("com.apple.wifi.managed", "com.apple.mdm")},
        {"template": WIFI.replace("enrollment.key", "user.short_name")},
        {"template": WIFI.replace("lifetime_days = 30", "lifetime_days = 30000")},
        {"template": WIFI + "#" * LARGEST},
        {"template": WIFI + "#" + "ü" * (LARGEST // 2)},
        {"template": WIFI, "name": "other"},
    ],
)
async def test_what_is_no_template_changes_nothing(world: World, body: object) -> None:
    await post(world, PATH, {"template": WIFI}, 200)
    before = await get(world, PATH)

    assert (await post(world, PATH, body, 400))["error"]

    assert await get(world, PATH) == before
    assert len(await world.events(EventKind.NETWORK_TEMPLATE_KEPT)) == 1


async def test_half_a_character_is_400(world: World) -> None:
    answer = await world.http.post(
        API + PATH, content=rb'{"template": "name = \"\ud800\""}', headers={**world.as_admin, "Content-Type": "application/json"}
    )

    assert answer.status_code == 400


async def test_the_one_that_is_the_servers_own_is_neither_replaced_nor_forgotten(world: World) -> None:
    await post(world, PATH, {"template": WIFI.replace('"wifi"\nuse', '"profile-recipient"\nuse')}, 400)
    await delete(world, "profile-recipient", 404)


async def test_without_a_token_nothing_is_kept_shown_or_forgotten(world: World) -> None:
    await post(world, PATH, {"template": WIFI}, 200)
    before = await get(world, PATH)

    for headers in ({}, {"Authorization": "Bearer bramley_wrong"}):
        for method, path in (("POST", PATH), ("GET", f"{PATH}/wifi"), ("DELETE", f"{PATH}/wifi")):
            body = {"template": WIFI.replace("= 30", "= 60")} if method == "POST" else None
            answer = await world.http.request(method, API + path, json=body, headers=headers)
            assert answer.status_code == 401
            assert "Orchard" not in answer.text

    assert await get(world, PATH) == before
