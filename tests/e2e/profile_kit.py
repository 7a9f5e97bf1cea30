"""Profiles and devices that are to get them."""

from __future__ import annotations

import plistlib
from dataclasses import dataclass, field
from typing import Any

from bramley.model.enrollments import EnrollmentID
from bramley.model.profiles import Installation, InstallState, TargetKind
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.pki.keys import KeyAlgorithm
from bramley.rehearsal.cast import awake
from bramley.rehearsal.stage import Stage
from bramley.sandbox.device import SimulatedDevice
from bramley.storage.protocols import Tx

WIFI = "example.wifi"
SECRET = "correct horse battery"


def profile(ssid: str = "Orchard", identifier: str = WIFI, **payload: Any) -> bytes:
    return plistlib.dumps(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": identifier,
            "PayloadUUID": "00000000-0000-4000-8000-000000000001",
            "PayloadDisplayName": "Wi-Fi",
            "PayloadContent": [
                {
                    "PayloadType": "com.apple.wifi.managed",
                    "PayloadVersion": 1,
                    "PayloadIdentifier": f"{identifier}.1",
                    "PayloadUUID": "00000000-0000-4000-8000-000000000002",
                    "SSID_STR": ssid,
                    "EncryptionType": "WPA2",
                    "Password": SECRET,
                    **payload,
                }
            ],
        }
    )


@dataclass(slots=True)
class Play:
    """A served installation and its devices, for profiles."""

    stage: Stage
    devices: list[SimulatedDevice] = field(default_factory=list)

    async def device(self, seed: int, *, hardware_key: KeyAlgorithm | None = None) -> SimulatedDevice:
        made = self.stage.device(seed, hardware_key=hardware_key)
        self.devices.append(made)
        await made.enroll(await self.stage.link())
        return made

    async def keep(self, data: bytes, *, encrypt: bool = False) -> None:
        await keeping.put(self.stage.installation, data, encrypt=encrypt, actor="test")

    async def assign(self, *targets: Target, identifier: str = WIFI) -> None:
        await assigning.assign(self.stage.installation, identifier, targets, actor="test")

    async def standing(self, device: SimulatedDevice, identifier: str = WIFI) -> Installation | None:
        found = await assigning.standing(self.stage.installation, device.device.udid)
        return next((on for profile, on in found if profile.identifier == identifier), None)

    async def until(self, device: SimulatedDevice, state: InstallState | None, revision: int = 1) -> None:
        """Awake until the profile stands like this; None: no more on record."""

        def stands(tx: Tx) -> bool:
            enrollment, kept = tx.enrollments.by_id(EnrollmentID(device.device.udid)), tx.profiles.by_identifier(WIFI)
            assert enrollment is not None
            assert kept is not None
            on = {each.profile_id: each for each in tx.profiles.on_device(enrollment.key)}.get(kept.id)
            return on is None if state is None else on is not None and (on.state, on.revision) == (state, revision)

        async with awake(device):
            await self.stage.until(f"the profile to be {state}", stands)

    async def close(self) -> None:
        for device in self.devices:
            await device.close()
        await self.stage.close()


def of(device: SimulatedDevice) -> Target:
    return Target(TargetKind.DEVICE, device.device.udid)


def ssid(device: SimulatedDevice) -> str:
    found: str = device.holdings.profiles[WIFI].payloads[0]["SSID_STR"]
    return found
