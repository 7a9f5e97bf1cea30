"""Profiles in a rehearsal: encrypted to each device and signed; nobody opens another's; after a renewal the next one opens."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bramley.mdm import plist
from bramley.mdm.connect import payload_place
from bramley.model.enrollments import EnrollmentID
from bramley.model.profiles import InstallState, TargetKind
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.rehearsal.stage import Stage
from bramley.sandbox.device import Identity, SimulatedDevice
from bramley.sandbox.device.profile import open_profile
from bramley.sandbox.errors import BadProfile
from bramley.storage.protocols import Tx

IDENTIFIER: Final = "demo.wifi"
_UUID: Final = "C0FFEE00-0000-4000-8000-0000000000"
_PASSWORD: Final = "not for everyone"  # noqa: S105 - of a network that does not exist


@dataclass(slots=True)
class ProfilesOutcome:
    """How many devices got a profile that was encrypted to them and signed, and hold what is theirs; how often another device, or
    an identity that was replaced, opened one; how many opened the next one after their renewal.
    """

    signed_and_encrypted: int = 0
    opened_by_others: int = 0
    opened_after_renewal: int = 0

    def as_json(self) -> dict[str, int]:
        return {
            "signed_and_encrypted": self.signed_and_encrypted,
            "opened_by_others": self.opened_by_others,
            "opened_after_renewal": self.opened_after_renewal,
        }


async def deliver(stage: Stage, fleet: Sequence[SimulatedDevice], network: str, patience: float) -> int:
    """Keeps the profile of a network, for the whole fleet; its revision, once every device has it. The devices must be awake."""
    kept = await keeping.put(stage.installation, _profile(network), encrypt=True, actor="demo")
    targets = [Target(TargetKind.DEVICE, one.device.udid) for one in fleet]
    await assigning.assign(stage.installation, IDENTIFIER, targets, actor="demo")

    def everywhere(tx: Tx) -> bool:
        rows = tx.profiles.installations(kept.profile.id, limit=len(fleet) + 1)
        current = [each for each in rows if (each.state, each.revision) == (InstallState.INSTALLED, kept.profile.revision)]
        return len(current) == len(fleet)

    await stage.until(f"the profile of {network} on every device", everywhere, patience)
    return kept.profile.revision


def holds_its_own(device: SimulatedDevice, network: str) -> bool:
    """Whether the device has the profile, signed and encrypted on its way, with what was filled in for this device alone."""
    held = device.holdings.profiles.get(IDENTIFIER)
    if held is None or not held.encrypted or not held.signers:
        return False
    return bool(held.payloads[0]["SSID_STR"] == f"{network} {device.device.serial_number}")


async def opened_by_others(stage: Stage, fleet: Sequence[SimulatedDevice], former: Sequence[Identity] = ()) -> int:
    """How many of the latest profiles on the wire open for a device that they are not for, or with an identity of before."""
    messages = {one.device.udid: await _latest(stage, one) for one in fleet}
    opened = 0
    for udid, message in messages.items():
        others = [each for one in fleet if one.device.udid != udid for each in one.holdings.identities]
        opened += sum(_opens(stage, message, identity) for identity in (*others, *former))
    return opened


async def _latest(stage: Stage, device: SimulatedDevice) -> bytes:
    """The message that the device was sent last with this profile, as it went over the wire."""
    sealer = stage.installation.sealer

    def read(tx: Tx) -> bytes:
        enrollment = tx.enrollments.by_id(EnrollmentID(device.device.udid))
        if enrollment is None:
            raise AssertionError("the devices of a fleet are enrolled")
        for command in tx.commands.history(enrollment.key, limit=1000):
            if command.request_type == "InstallProfile" and command.payload:
                envelope: Any = plist.loads(sealer.open(command.payload, payload_place(command.uuid)), max_bytes=1 << 24)
                payload = envelope["Command"]["Payload"]
                if isinstance(payload, bytes) and IDENTIFIER.encode() in payload:
                    return payload
        raise AssertionError("every device of the fleet was sent the profile")

    return await stage.installation.store.read(read)


def _opens(stage: Stage, message: bytes, identity: Identity) -> bool:
    root = stage.service.live.current().authorities.root.certificate
    try:
        open_profile(message, anchors=[root], now=stage.clock.now(), identities=[identity])
    except BadProfile:
        return False
    return True


def _profile(network: str) -> bytes:
    """A Wi-Fi network with a password, named after each device."""
    common = {"PayloadVersion": 1, "PayloadDisplayName": "Wi-Fi"}
    payload = {
        **common,
        "PayloadType": "com.apple.wifi.managed",
        "PayloadIdentifier": f"{IDENTIFIER}.1",
        "PayloadUUID": f"{_UUID}12",
        "SSID_STR": f"{network} {{{{ device.serial }}}}",
        "EncryptionType": "WPA2",
        "Password": _PASSWORD,
    }
    profile = {
        **common,
        "PayloadType": "Configuration",
        "PayloadIdentifier": IDENTIFIER,
        "PayloadUUID": f"{_UUID}11",
        "PayloadContent": [payload],
    }
    return plistlib.dumps(profile)
