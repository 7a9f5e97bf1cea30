"""Simulated devices: Apple's MDM client as far as a server can see it."""

from __future__ import annotations

from bramley.sandbox.device.behaviour import Behaviour
from bramley.sandbox.device.channel import Answered
from bramley.sandbox.device.device import SimulatedDevice
from bramley.sandbox.device.identity import DeviceIdentity, UserAccount
from bramley.sandbox.device.transport import Patience
from bramley.sandbox.signature import Identity, SignatureStyle

__all__ = [
    "Answered",
    "Behaviour",
    "DeviceIdentity",
    "Identity",
    "Patience",
    "SignatureStyle",
    "SimulatedDevice",
    "UserAccount",
]
