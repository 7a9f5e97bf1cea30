"""A Mac with Server.app: Profile Manager gets its push certificate by itself, and only that machine can renew it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import pkcs12
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals.developer import StandingVendor
from bramley.sandbox.portals.errors import PortalRefused
from bramley.sandbox.portals.identity import IdentityPortal
from bramley.sandbox.portals.vendors import new_csr, rsa_key, sign_request


@dataclass(slots=True)
class ProfileManager:
    """What the machine has in its key chain."""

    account: str
    topic: str
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)


@dataclass(slots=True)
class Machine:
    """What is on the machine's disk; `profile_manager` None: it was never turned on, or the disk was wiped."""

    profile_manager: ProfileManager | None = None


class ServerApp:
    """One machine. `vendor` is Apple's own: Server.app signs its requests with it."""

    def __init__(
        self, name: str, ca: SandboxAppleCA, identity: IdentityPortal, vendor: StandingVendor, machine: Machine | None = None
    ) -> None:
        self.name = name
        self._ca, self._identity, self._vendor = ca, identity, vendor
        self._machine = Machine() if machine is None else machine

    @property
    def is_on(self) -> bool:
        """Whether Profile Manager has a push certificate here."""
        return self._machine.profile_manager is not None

    @property
    def topic(self) -> str:
        return self._require_on().topic

    @property
    def account(self) -> str:
        return self._require_on().account

    @property
    def certificate(self) -> x509.Certificate:
        return self._require_on().certificate

    def turn_on(self, account: str) -> x509.Certificate:
        """Turns Profile Manager on with an Apple Account: key and certificate in one step, and always a new topic."""
        if self.is_on:
            raise PortalRefused("Profile Manager is on already.", advice="Renew its certificate.")
        key = rsa_key()
        certificate = self._identity.create(account, self._request(key))
        (uid,) = certificate.subject.get_attributes_for_oid(x509.NameOID.USER_ID)
        self._machine.profile_manager = ProfileManager(account, str(uid.value), certificate, key)
        return certificate

    def renew(self) -> x509.Certificate:
        """Key and certificate anew for the topic that this machine has."""
        found, key = self._require_on(), rsa_key()
        certificate = self._identity.renew(found.account, found.topic, self._request(key))
        self._machine.profile_manager = ProfileManager(found.account, found.topic, certificate, key)
        return certificate

    def export(self, password: str) -> bytes:
        """Key and certificate as Keychain Access exports them: PKCS#12 with triple DES and a SHA-1 MAC, without chain."""
        found = self._require_on()
        return pkcs12.write(pkcs12.Bundle(found.key, found.certificate), password, name=f"APSP:{found.topic.rpartition('.')[2]}")

    def wipe(self) -> None:
        """The disk is erased: the key is gone, and with it every way to renew that topic here."""
        self._machine.profile_manager = None

    def _request(self, key: rsa.RSAPrivateKey) -> bytes:
        vendor = self._vendor.current()
        return sign_request(new_csr(key, "Profile Manager"), vendor.key, self._ca.vendor_chain(vendor.certificate))

    def _require_on(self) -> ProfileManager:
        if self._machine.profile_manager is None:
            raise PortalRefused("Profile Manager has no push certificate on this machine.", advice="Turn it on first.")
        return self._machine.profile_manager
