"""The parts in the story of a push certificate: a fleet with its server, the doors of that, and who listens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography import x509

from bramley.sandbox.apns import APNs


@dataclass(frozen=True, slots=True)
class Said:
    """A server's answer to a certificate: whether it was taken, and its words."""

    accepted: bool
    words: str = ""


class Door(Protocol):
    """One way to bring a certificate in."""

    async def __call__(self, files: Sequence[bytes], password: str | None) -> Said: ...


class Fleet(Protocol):
    """Devices with the server that they are enrolled with."""

    @property
    def names(self) -> frozenset[str]:
        """Every device."""
        ...

    @property
    def apns(self) -> APNs: ...

    @property
    def doors(self) -> Mapping[str, Door]:
        """The ways in that are meant for it."""
        ...

    @property
    def breaches(self) -> Mapping[str, Door]:
        """The ways past them."""
        ...

    async def in_force(self) -> x509.Certificate:
        """The certificate that the server shows as the one in force: the newest, if it has several."""
        ...

    async def settle(self) -> None:
        """Returns when the server has made up its mind about what was brought in."""
        ...

    async def pass_until(self, moment: datetime) -> None:
        """Time goes by, and the server does what is due."""
        ...

    def asleep(self) -> AbstractAsyncContextManager[None]:
        """Every device is away meanwhile."""
        ...

    async def call(self) -> str:
        """Has the server call every device; what it says, if it cannot."""
        ...

    async def answering(self) -> frozenset[str]:
        """The devices that have answered every call."""
        ...


class Audience(Protocol):
    """Whoever is told how the story goes on."""

    def step(self, text: str, failures: Sequence[str]) -> AbstractContextManager[None]:
        """Around each step. It went wrong if something was added to `failures` meanwhile, or if it raised."""
        ...
