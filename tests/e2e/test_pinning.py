"""The setting `enrollment.pin`: devices trust this server by its HTTPS CA alone, and go on so over a renewal."""

from __future__ import annotations

from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.mdm.commands import SecurityInfo
from bramley.operations import commands, identities
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import open_stage
from bramley.sandbox.device import SignatureStyle


@pytest.mark.parametrize("style", [SignatureStyle.APPLE, SignatureStyle.TLS])
async def test_a_pinned_device_enrolls_answers_and_renews(tmp_path: Path, style: SignatureStyle) -> None:
    stage = await open_stage(tmp_path, SystemClock(), enrollment={"pin": True})
    device = stage.device(2, style)
    try:
        await device.enroll(await stage.link())
        ca = stage.service.live.current().authorities.https.authority.certificate
        assert device.mdm.server_pins == device.mdm.check_in_pins == (ca,)
        before = device.identity
        await identities.renew(stage.service.live, device.device.udid, actor="test")
        await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="test")
        async with awake(device):
            await stage.until("every answer", lambda tx: tx.commands.count_pending() == 0)
        assert device.identity is not before
        assert device.mdm.server_pins == (ca,)
    finally:
        await device.close()
        await stage.close()
