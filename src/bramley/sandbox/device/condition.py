"""What commands can change of a device that is no profile and no identity."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Condition:
    """How a device stands. `device_name` None is the name it came with.

    `unlock_token` is what it tells in TokenUpdate, and wants back before it gives up its passcode. `waiting` says that it stands
    in Setup Assistant until DeviceConfigured comes. `pin` is what a locked or erased Mac asks for.
    """

    device_name: str | None = None
    host_name: str | None = None
    time_zone: str | None = None
    organization: dict[str, str] = field(default_factory=dict)
    bluetooth: bool = True
    passcode: bool = True
    unlock_token: bytes | None = field(default=None, repr=False)
    pin: str | None = field(default=None, repr=False)
    waiting: bool = False
    accounts: list[str] = field(default_factory=list)
    restarts: int = 0
    off: bool = False
