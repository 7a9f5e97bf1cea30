"""An operator's enrollment profile, by the API: neither one that the device would refuse goes out, nor its own."""

from __future__ import annotations

import base64
import plistlib
from typing import Any

import pytest
from asn1crypto.cms import ContentInfo

from tests.profiles.changes import REFUSED, changed, path
from tests.web.world import Device, World


@pytest.mark.parametrize("raw", [True, False])
async def test_what_the_device_would_refuse_is_not_sent(world: World, device: Device, raw: bool) -> None:
    await device.enroll()
    fetched = await world.http.get(await world.link())
    profile = plistlib.loads(ContentInfo.load(fetched.content)["content"]["encap_content_info"]["content"].native)
    commands = f"/api/v1/devices/{device.udid}/commands"

    async def send(data: bytes) -> Any:
        plist = plistlib.dumps({"RequestType": "InstallProfile", "Payload": data}).decode()
        body = {"plist": plist} if raw else {"request_type": "InstallProfile", "payload": base64.b64encode(data).decode()}
        return await world.http.post(commands, json=body, headers=world.as_admin)

    for change, key, rule in REFUSED.values():
        after = changed(profile, change)
        answer = await send(plistlib.dumps(after))
        assert answer.status_code == 400
        assert path(after, key) in answer.json()["error"]
        assert rule in answer.json()["advice"]
    assert (await world.http.get(commands, headers=world.as_admin)).json() == []
    lost = await send(fetched.content)
    assert (lost.status_code, "identity renew" in lost.json()["advice"]) == (400, True)
    assert (await world.http.get(commands, headers=world.as_admin)).json() == []
