"""What a device holds: profiles, the trust they bring, the enrollment among them, and its identity."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.clock import Clock
from bramley.pki import csr, keys, pkcs12
from bramley.pki.errors import PKIError
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.enrollment import temporary_signer
from bramley.sandbox.device.profile import MDMSettings, PKCS12Settings, Profile, SCEPSettings
from bramley.sandbox.device.transport import SCEPTransport, Transport
from bramley.sandbox.errors import BadProfile, IdentityRefused, ServerRefused, ServerUnreachable, Unenrolled
from bramley.sandbox.signature import Identity

IdentitySettings = SCEPSettings | PKCS12Settings
"""How an enrollment profile has the device come by its identity."""

_UNREADABLE: Final = {"PBES2": "2a864886f70d01050d", "SHA-256": "608648016503040201"}
"""Object identifiers in archives that macOS and iOS refuse: they know the encryption of PKCS#12 itself, and SHA-1."""


class Holdings:
    """The state of a device that an erasure takes away; or, `for_user`, what one of its users has besides."""

    def __init__(self, transport: Transport, clock: Clock, *, legacy_scep: bool = False, for_user: bool = False) -> None:
        self._transport, self._clock, self._legacy_scep, self._for_user = transport, clock, legacy_scep, for_user
        self.identity: Identity | None = None
        self.profiles: dict[str, Profile] = {}
        self.network: dict[str, Identity] = {}
        """Identities that profiles besides the enrollment profile have brought, by the profile's identifier."""
        self._enrollment: str | None = None
        self._obtained: dict[tuple[str, str], Identity] = {}

    @property
    def enrollment(self) -> Profile:
        """The enrollment profile. Raises Unenrolled."""
        if self._enrollment is None:
            raise Unenrolled("The device holds no enrollment profile.", advice="Enroll it first.")
        return self.profiles[self._enrollment]

    @property
    def mdm(self) -> MDMSettings:
        """The management settings in force. Raises Unenrolled."""
        return require_enrollment(self.enrollment)[0]

    @property
    def enrolled(self) -> bool:
        """Whether there are an enrollment profile and an identity."""
        return self._enrollment is not None and self.identity is not None

    @property
    def identities(self) -> list[Identity]:
        """All that it holds, the one in use first."""
        return [*([self.identity] if self.identity else []), *self.network.values()]

    def is_enrollment(self, identifier: str) -> bool:
        return identifier == self._enrollment

    async def install(self, profile: Profile) -> None:
        """Installs a profile, in place of the one of the same identifier; its anchors are trusted from now on.

        One that is no enrollment profile may bring an identity, which it keeps for as long as it is there. Raises BadProfile
        and IdentityRefused; then nothing has changed.
        """
        other = None
        if profile.mdm is not None:
            if self._for_user:
                raise BadProfile("A com.apple.mdm payload cannot be installed for a user.")
            if self._enrollment is not None:
                if not self.is_enrollment(profile.identifier):
                    raise BadProfile("The device is managed already; a second enrollment profile cannot be installed.")
                self.mdm.require_same_enrollment(profile.mdm)
            require_enrollment(profile)
            self._enrollment = profile.identifier
        elif (settings := profile.scep or profile.pkcs12) is not None:
            other = await self.take_identity_for_command(settings)
        self.network.pop(profile.identifier, None)
        if other is not None:
            self.network[profile.identifier] = other
        self.profiles[profile.identifier] = profile
        await self._trust()

    async def remove(self, identifier: str) -> None:
        """Removes a profile, the trust it brought and its identity. Raises KeyError where there is none."""
        del self.profiles[identifier]
        self.network.pop(identifier, None)
        await self._trust()

    async def forget(self) -> None:
        """Leaves nothing."""
        self.identity, self._enrollment = None, None
        self.profiles.clear()
        self.network.clear()
        self._obtained.clear()
        await self._trust()

    async def take_identity(self, settings: IdentitySettings, curve: KeyAlgorithm | None = None) -> Identity:
        """The identity that a profile brings along, or has the device fetch. Raises BadProfile, and as `fetch_identity`."""
        if isinstance(settings, PKCS12Settings):
            return await asyncio.to_thread(_unpacked, settings)
        return await self.fetch_identity(settings, curve)

    async def take_identity_for_command(self, settings: IdentitySettings, curve: KeyAlgorithm | None = None) -> Identity:
        """As `take_identity`. A CA that does not answer, or refuses, is IdentityRefused too: the command has to be answered.

        Nor does 401 from a CA, which need not be the MDM server, end the enrollment.
        """
        try:
            return await self.take_identity(settings, curve)
        except (ServerRefused, ServerUnreachable, Unenrolled) as error:
            raise IdentityRefused(f"No identity: {error.message}") from error

    async def fetch_identity(self, scep: SCEPSettings, curve: KeyAlgorithm | None = None) -> Identity:
        """A new key and a certificate for it by SCEP (RFC 8894). Raises IdentityRefused, and as `Transport.deliver`.

        An identity that was already issued for this payload is used again: the challenge is spent, and a device that
        was interrupted between SCEP and Authenticate must be able to go on. With a `curve` the key is on it, and an RSA key
        that is thrown away signs the request and opens the answer.
        """
        if (earlier := self._obtained.get((scep.uuid, scep.challenge))) is not None:
            return earlier
        transient = await asyncio.to_thread(rsa.generate_private_key, public_exponent=65537, key_size=scep.key_size)
        key = transient if curve is None else keys.generate(curve)
        signer = None
        if curve is not None:
            throwaway = temporary_signer(transient, scep.subject, now=self._clock.now())
            signer = (throwaway.certificate, throwaway.key)
        client = SCEPClient(SCEPTransport(self._transport, scep.url))
        request = csr.build(key, scep.subject, challenge_password=scep.challenge)
        try:
            ca, *behind = await client.ca_certificates()
            ra = None
            if behind:  # an RA comes first, the CA behind it next
                ra, ca = ca, behind[0]
            issued = await client.enroll(
                key, request, ca=ca, ra=ra, signer=signer, now=self._clock.now(), allow_legacy=self._legacy_scep
            )
        except PKIError as error:
            raise IdentityRefused(f"No identity from {urlsplit(scep.url).netloc}: {error.message}") from error
        identity = Identity(issued[0], key)
        self._obtained = {(scep.uuid, scep.challenge): identity}
        return identity

    @property
    def anchors(self) -> list[x509.Certificate]:
        """The certificates that installed profiles have brought."""
        return [anchor for profile in self.profiles.values() for anchor in profile.anchors]

    async def _trust(self) -> None:
        if self._for_user:
            return  # what a user's keychain trusts is nothing to the MDM client
        await self._transport.trust(self.anchors)


def require_enrollment(profile: Profile) -> tuple[MDMSettings, IdentitySettings]:
    """The two payloads that make a profile an enrollment profile, which must belong together. Raises BadProfile."""
    mdm, identity = profile.mdm, profile.scep or profile.pkcs12
    if mdm is None or identity is None:
        missing = "com.apple.mdm" if mdm is None else "com.apple.security.scep or com.apple.security.pkcs12"
        raise BadProfile(f"Expected an enrollment profile; this one has no {missing} payload.")
    if mdm.identity_uuid != identity.uuid:
        raise BadProfile(f"IdentityCertificateUUID names {mdm.identity_uuid}; the identity's payload is {identity.uuid}.")
    return mdm, identity


def require_scep(profile: Profile) -> SCEPSettings:
    """How an enrollment profile has the device fetch its identity. Raises BadProfile where it does not."""
    _, identity = require_enrollment(profile)
    if not isinstance(identity, SCEPSettings):
        raise BadProfile("Expected an enrollment profile with a SCEP payload; this one brings the identity along.")
    return identity


def _unpacked(settings: PKCS12Settings) -> Identity:
    for name, oid in _UNREADABLE.items():
        if bytes.fromhex(oid) in settings.archive:
            raise BadProfile(f"The PKCS#12 archive is made with {name}, which this device does not read.")
    try:
        bundle = pkcs12.read(settings.archive, settings.password)
    except PKIError as error:
        raise BadProfile(f"The PKCS#12 archive does not open: {error.message}") from error
    if not isinstance(bundle.key, rsa.RSAPrivateKey):
        raise BadProfile("Expected an RSA key in the PKCS#12 archive; it has another.")
    return Identity(bundle.certificate, bundle.key)
