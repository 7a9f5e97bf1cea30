"""All of Apple's people-facing services, and mdmcert.download, as one thing that can be kept in a folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import Clock
from bramley.errors import BramleyError
from bramley.pki import certificates
from bramley.sandbox import kept_files
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.kept_files import FolderTrouble, UnusableFolder
from bramley.sandbox.portals.developer import DeveloperPortal, Membership, StandingVendor, VendorRecords
from bramley.sandbox.portals.identity import IdentityPortal, IdentityRecords
from bramley.sandbox.portals.mdmcert import MdmcertRecords, MdmcertService
from bramley.sandbox.portals.server_app import Machine, ServerApp

_RECORDS: Final = "portals.json"


@dataclass(slots=True)
class _Records:
    members: dict[str, Membership] = field(default_factory=dict)
    identity: IdentityRecords = field(default_factory=IdentityRecords)
    mdmcert: MdmcertRecords = field(default_factory=MdmcertRecords)
    machines: dict[str, Machine] = field(default_factory=dict)
    own_vendor: VendorRecords = field(default_factory=VendorRecords)


class SandboxApple:
    """Apple as people meet it: `ca`, the `developer` and `identity` portals, Macs with Server.app, and `mdmcert` beside it."""

    def __init__(self, ca: SandboxAppleCA, clock: Clock, records: _Records | None = None) -> None:
        self._records = records = _Records() if records is None else records
        self.ca = ca
        self.developer = DeveloperPortal(ca, clock, records.members)
        self.identity = IdentityPortal(ca, clock, self.developer.is_revoked, records.identity)
        self.mdmcert = MdmcertService(ca, self.developer, clock, records.mdmcert)
        self._own_vendor = StandingVendor("Apple Inc. (sandbox)", ca, self.developer, clock, records.own_vendor)

    @classmethod
    def make(cls, clock: Clock) -> SandboxApple:
        """A new one that nobody knows yet."""
        return cls(SandboxAppleCA.make(clock.now()), clock)

    @classmethod
    def load(cls, folder: Path, clock: Clock) -> SandboxApple:
        """What `save` left in the folder; what is missing there is new. Raises UnusableFolder and FolderTrouble."""
        content = kept_files.read(folder / _RECORDS)
        ca = SandboxAppleCA.load(folder, clock.now())
        return cls(ca, clock, None if content is None else _decode(content, folder))

    def save(self, folder: Path) -> None:
        """Keeps everything in a folder, for its owner only: the CAs as PEM files, the rest in `portals.json`.

        Raises UnusableFolder and FolderTrouble.
        """
        self.ca.save(folder)
        content = msgspec.json.format(msgspec.json.encode(self._records, enc_hook=_written), indent=1)
        kept_files.replace(folder / _RECORDS, content)

    def server_app(self, name: str) -> ServerApp:
        """The Mac of this name: each has a disk of its own."""
        machine = self._records.machines.setdefault(name, Machine())
        return ServerApp(name, self.ca, self.identity, self._own_vendor, machine)


@contextmanager
def opened(folder: Path, clock: Clock) -> Iterator[SandboxApple]:
    """What is kept in the folder, and kept again afterwards unless an error comes: one process at a time.

    Raises UnusableFolder and FolderTrouble.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError):
        raise UnusableFolder(f"{folder} cannot be used: something is in the way.", advice="Name another folder.") from None
    except OSError as error:
        raise FolderTrouble(f"{folder} cannot be used: {error.strerror}.", advice="Name another folder.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        apple = SandboxApple.load(folder, clock)
        yield apple
        apple.save(folder)
    finally:
        os.close(lock)


def _decode(content: bytes, folder: Path) -> _Records:
    try:
        return msgspec.json.decode(content, type=_Records, dec_hook=_read)
    except (msgspec.DecodeError, BramleyError) as error:
        raise UnusableFolder(
            f"{folder / _RECORDS} is not what a stand-in wrote: {error}", advice="Restore it, or name another folder."
        ) from None


def _written(value: Any) -> str:
    """Certificates and keys as PEM text."""
    if isinstance(value, x509.Certificate):
        return certificates.pem(value).decode()
    if isinstance(value, rsa.RSAPrivateKey):
        return kept_files.key_pem(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be kept")


def _read(kind: type, value: Any) -> Any:
    if kind is x509.Certificate:
        return certificates.load(str(value).encode())
    if kind is rsa.RSAPrivateKey:
        return kept_files.load_key(str(value).encode())
    raise TypeError(f"{kind.__name__} cannot be kept")
