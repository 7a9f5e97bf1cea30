"""The roads to a push certificate, by hand at the stand-ins for Apple's portals: the right one, and the usual wrong turns."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol

from cryptography import x509

from bramley.model.push import Route
from bramley.pki import certificates, keys, pkcs12
from bramley.pki.pairs import read_key
from bramley.sandbox.kept_files import key_pem
from bramley.sandbox.portals import SandboxApple, ServerApp

ACCOUNT: Final = "mdm@orchard.example"
"""The organization's Apple Account, and its mail address."""

COLLEAGUE: Final = "jo.appleseed@orchard.example"
"""Another one, of somebody who helps out."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is brought to the server: a PKCS#12 archive with its password, or a certificate, its key beside it or not."""

    certificate: x509.Certificate
    files: Sequence[bytes] = field(repr=False)
    password: str | None = field(default=None, repr=False)


class Desk(Protocol):
    """Where a request is made and signed by a vendor, and what came of it is packed."""

    async def request(self, topic: str | None) -> bytes:
        """The file for identity.apple.com: for the renewal of a topic, or for a first certificate."""
        ...

    def pack(self, certificate: x509.Certificate) -> Sequence[bytes]:
        """The files to bring in, for a certificate that came of the last request."""
        ...


class Way(Protocol):
    """One road. `topic` is that of the certificate which the admin believes to be in force."""

    async def first(self) -> Delivery: ...

    async def renew(self, topic: str) -> Delivery:
        """As it should be done: Renew, signed in with the account that owns the topic."""
        ...

    async def create(self, topic: str) -> Delivery:
        """Create, where it should be Renew."""
        ...

    async def with_other_account(self, topic: str) -> Delivery:
        """Signed in with an account that does not own the topic, and so does not see it at Apple."""
        ...

    async def with_other_key(self, topic: str) -> Delivery:
        """The renewed certificate, beside the key of another request."""
        ...


class PortalWay:
    """A signed request, uploaded at identity.apple.com."""

    def __init__(self, apple: SandboxApple, desk: Desk) -> None:
        self._portal, self._desk = apple.identity, desk
        for account in (ACCOUNT, COLLEAGUE):
            self._portal.sign_up(account)

    async def first(self) -> Delivery:
        return self._pack(self._portal.create(ACCOUNT, await self._desk.request(None)))

    async def renew(self, topic: str) -> Delivery:
        return self._pack(await self._renewed(topic))

    async def create(self, topic: str) -> Delivery:
        return self._pack(self._portal.create(self._owner(topic), await self._desk.request(topic)))

    async def with_other_account(self, topic: str) -> Delivery:
        other = COLLEAGUE if self._owner(topic) == ACCOUNT else ACCOUNT
        return self._pack(self._portal.create(other, await self._desk.request(topic)))

    async def with_other_key(self, topic: str) -> Delivery:
        return _beside(await self._renewed(topic), self._other_key)

    @cached_property
    def _other_key(self) -> keys.PrivateKey:
        return keys.generate(keys.KeyAlgorithm.RSA_2048)

    async def _renewed(self, topic: str) -> x509.Certificate:
        return self._portal.renew(self._owner(topic), topic, await self._desk.request(topic))

    def _owner(self, topic: str) -> str:
        owners = (account for account in (ACCOUNT, COLLEAGUE) for row in self._portal.list(account) if row.topic == topic)
        return next(owners)

    def _pack(self, certificate: x509.Certificate) -> Delivery:
        return Delivery(certificate, self._desk.pack(certificate))


class ServerAppWay:
    """Profile Manager on a Mac, whose key chain gives certificate and key as PKCS#12. Only that Mac can renew its topic."""

    def __init__(self, apple: SandboxApple) -> None:
        self._apple = apple
        self._macs: list[ServerApp] = []
        for account in (ACCOUNT, COLLEAGUE):
            apple.identity.sign_up(account)

    async def first(self) -> Delivery:
        return _exported(self._new_mac(ACCOUNT))

    async def renew(self, topic: str) -> Delivery:
        return _exported(self._renewed(topic))

    async def create(self, topic: str) -> Delivery:
        """On another Mac, where the same account gets another topic."""
        return _exported(self._new_mac(self._mac(topic).account))

    async def with_other_account(self, topic: str) -> Delivery:
        return _exported(self._new_mac(COLLEAGUE if self._mac(topic).account == ACCOUNT else ACCOUNT))

    async def with_other_key(self, topic: str) -> Delivery:
        """The key was exported before Profile Manager renewed the certificate."""
        former = _exported(self._mac(topic))
        _certificate, key = unpack(former.files, former.password)
        if key is None:
            raise AssertionError("a Mac exports the key as well")
        return _beside(self._renewed(topic).certificate, key)

    def _new_mac(self, account: str) -> ServerApp:
        self._macs.append(self._apple.server_app(f"Mac {len(self._macs) + 1}"))
        self._macs[-1].turn_on(account)
        return self._macs[-1]

    def _mac(self, topic: str) -> ServerApp:
        return next(mac for mac in self._macs if mac.topic == topic)

    def _renewed(self, topic: str) -> ServerApp:
        mac = self._mac(topic)
        mac.renew()
        return mac


def way(route: Route, apple: SandboxApple, desk: Desk) -> Way:
    """The road of a route; a Mac with Server.app needs no desk."""
    return ServerAppWay(apple) if route is Route.PROFILE_MANAGER else PortalWay(apple, desk)


def unpack(files: Sequence[bytes], password: str | None) -> tuple[x509.Certificate, keys.PrivateKey | None]:
    """What a delivery holds, unchecked: certificate and key need not belong together."""
    if password is not None:
        bundle = pkcs12.read(files[0], password)
        return bundle.certificate, bundle.key
    return certificates.load(files[0]), read_key(files[1], None) if len(files) > 1 else None


def _exported(mac: ServerApp) -> Delivery:
    password = secrets.token_urlsafe(12)
    return Delivery(mac.certificate, [mac.export(password)], password)


def _beside(certificate: x509.Certificate, key: keys.PrivateKey) -> Delivery:
    return Delivery(certificate, [certificates.pem(certificate), key_pem(key)])
