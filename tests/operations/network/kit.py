"""Templates, devices that shall have an identity after one, and what is in the profile that they are sent."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from typing import Any

from bramley.mdm.connect import payload_place
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.lineages import Version
from bramley.model.networks import NetworkAssignment
from bramley.operations.live import Live
from bramley.operations.network import sending, settling, standing, templates
from bramley.pki import cms, keys
from bramley.storage.protocols import Tx
from tests.operations.conftest import ask

UDID = "00008030-001A35E40212802E"
OTHER = "00008030-001A35E40212802F"
WIFI = """
name = "wifi"
use = "wifi"
subject = [["O", "Orchard, Inc."], ["CN", "{{ enrollment.key }}"]]
lifetime_days = 30
"""

_STATUSES = {
    CommandState.ACKNOWLEDGED: "Acknowledged",
    CommandState.ERROR: "Error",
    CommandState.COMMAND_FORMAT_ERROR: "CommandFormatError",
}


async def put(live: Live, text: str = WIFI) -> None:
    await templates.put(live.installation, text.encode(), actor="test")


async def change(live: Live, key: EnrollmentKey, **fields: Any) -> None:
    """Changes what is on record of a device."""

    def act(tx: Tx) -> None:
        tx.enrollments.update(replace(_enrollment(tx, key), **fields))

    await live.installation.store.run(act)


def _enrollment(tx: Tx, key: EnrollmentKey) -> Enrollment:
    found = tx.enrollments.get(key)
    assert found is not None
    return found


async def send(live: Live, udid: str = UDID, template: str = "wifi") -> Command:
    """The InstallProfile of an assignment, or of what is sent anew."""
    (sent,) = await sending.assign(live, template, [udid], actor="test")
    if sent.command is None:
        (sent,) = await sending.renew(live, udid, template, actor="test")
    assert sent.command is not None
    return sent.command


def profile_in(live: Live, command: Command) -> dict[str, Any]:
    """The profile that a command brings."""
    message = plistlib.loads(live.installation.sealer.open(command.payload, payload_place(command.uuid)))
    signed = cms.verify(cms.parse_signed_data(message["Command"]["Payload"]), policy=cms.STRICT)
    content: dict[str, Any] = plistlib.loads(signed.content)
    return content


def challenge_in(live: Live, command: Command) -> str:
    """The SCEP challenge that a command brings."""
    challenge: str = profile_in(live, command)["PayloadContent"][0]["PayloadContent"]["Challenge"]
    return challenge


async def fetch(live: Live, key: keys.PrivateKey, command: Command) -> None:
    """The device does as it was told: asks for the certificate, and acknowledges."""
    await ask(live, key, challenge_in(live, command))
    await answer(live, command)


async def answer(live: Live, command: Command, state: CommandState = CommandState.ACKNOWLEDGED, **keys: Any) -> None:
    """The device's report comes, and is dealt with."""
    now = live.installation.clock.now()

    def act(tx: Tx) -> None:
        said = plistlib.dumps({"Status": _STATUSES[state], "UDID": UDID, "CommandUUID": command.uuid, **keys})
        answered = tx.commands.answer(command.enrollment_key, command.uuid, state, said, now)
        if answered is not None:
            settling.answered(tx, answered, now=now, actor="job:test")

    await live.installation.store.run(act)


async def assignment(live: Live, key: EnrollmentKey, template: str = "wifi") -> NetworkAssignment:
    found = await live.installation.store.read(lambda tx: tx.networks.get(key, template))
    assert found is not None
    return found


async def versions(live: Live, key: EnrollmentKey, template: str = "wifi") -> list[Version]:
    return list(await live.installation.store.read(lambda tx: standing.versions(tx, key, template)))
