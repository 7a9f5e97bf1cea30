"""Who a simulated device is: what it says of itself, made up but plausible."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from typing import Final

_MACS: Final = (
    ("MacBookPro18,3", "MacBook Pro", "14.7.1", "23H222"),
    ("Mac14,2", "MacBook Air", "15.1", "24B83"),
    ("Macmini9,1", "Mac mini", "15.1", "24B83"),
)
_MOBILES: Final = (("iPhone15,2", "iPhone", "18.1", "22B83"), ("iPad13,18", "iPad", "18.1", "22B83"))
_SERIAL_ALPHABET: Final = "CDFGHJKLMNPQRTVWXY0123456789"


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user with a channel of their own (macOS)."""

    user_id: str
    short_name: str
    long_name: str

    @classmethod
    def make(cls, seed: random.Random, short_name: str = "jappleseed", long_name: str = "Jo Appleseed") -> UserAccount:
        return cls(_uuid(seed), short_name, long_name)


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """A device's names and versions. `enrollment_id` stands in for the UDID in User Enrollment, which hides the hardware."""

    udid: str
    enrollment_id: str
    serial_number: str
    model: str
    model_name: str
    product_name: str
    os_version: str
    build_version: str
    device_name: str
    is_mac: bool

    @classmethod
    def make(cls, seed: random.Random, *, mac: bool = True) -> DeviceIdentity:
        """A device out of a seeded random generator: the same seed makes the same device."""
        product, name, system, build = seed.choice(_MACS if mac else _MOBILES)
        serial = "".join(seed.choice(_SERIAL_ALPHABET) for _ in range(10))
        # Macs have a UUID; other devices a chip id and a hardware id
        udid = _uuid(seed) if mac else f"0000{seed.randrange(0x8000, 0x9000):04X}-{seed.getrandbits(64):016X}"
        return cls(udid, _uuid(seed), serial, product, name, product, system, build, f"{name} {serial[-4:]}", mac)


def _uuid(seed: random.Random) -> str:
    return str(uuid.UUID(int=seed.getrandbits(128), version=4)).upper()
