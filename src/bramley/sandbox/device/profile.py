"""Configuration profiles as a device sees them: who signed one, and what it would install."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final
from xml.parsers.expat import ExpatError

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from bramley.pki import certificates, chains, cms
from bramley.pki.errors import BadCertificate, ChainError
from bramley.sandbox.device.contents import require_named, require_sound
from bramley.sandbox.errors import BadProfile
from bramley.sandbox.signature import Identity

_ROOT_TYPES: Final = ("com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem")
_NAME_TYPES: Final = {
    "CN": NameOID.COMMON_NAME,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "C": NameOID.COUNTRY_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
}


@dataclass(frozen=True, slots=True)
class SCEPSettings:
    """What a `com.apple.security.scep` payload asks of the device."""

    uuid: str
    url: str
    subject: x509.Name
    challenge: str = field(repr=False)
    key_size: int


@dataclass(frozen=True, slots=True)
class PKCS12Settings:
    """An identity that a `com.apple.security.pkcs12` payload brings along."""

    uuid: str
    archive: bytes = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MDMSettings:
    """What a `com.apple.mdm` payload asks of the device. It goes by the same `IMMUTABLE` until it enrolls anew."""

    IMMUTABLE: ClassVar[tuple[str, ...]] = (
        "topic",
        "server_url",
        "check_in_url",
        "assigned_managed_apple_id",
        "enrollment_mode",
        "required_app_id",
        "per_user_connections",
    )
    ALL_RIGHTS: ClassVar[int] = 8191

    identity_uuid: str
    topic: str
    server_url: str
    check_in_url: str
    sign_message: bool
    check_out_when_removed: bool
    capabilities: frozenset[str]
    access_rights: int | None
    assigned_managed_apple_id: str | None
    enrollment_mode: str | None
    required_app_id: int | None
    server_pins: tuple[x509.Certificate, ...] = ()
    check_in_pins: tuple[x509.Certificate, ...] = ()
    """The only certificates by which the server is trusted at the URL; none: whatever the device trusts."""

    def require_same_enrollment(self, other: MDMSettings) -> None:
        """Raises BadProfile where `other`, a replacement, changes what Apple says it may not (Apple, "MDM")."""
        for what in self.IMMUTABLE:
            if getattr(self, what) != getattr(other, what):
                raise BadProfile(
                    f"A replacement of the enrollment profile may not change its {what}: {getattr(other, what)} came.",
                    advice="Enroll anew to change it.",
                )
        # Which rights there are without the key, Apple does not say: none that could be relied on, all that could be meant.
        if self.access_rights != other.access_rights:
            held, asked = self.access_rights or 0, self.ALL_RIGHTS if other.access_rights is None else other.access_rights
            if asked & ~held:
                raise BadProfile(
                    f"A replacement of the enrollment profile may not add access rights to {held}: {asked} came.",
                    advice="Enroll anew to change it.",
                )

    @property
    def per_user_connections(self) -> bool:
        """Whether users have channels of their own."""
        return "com.apple.mdm.per-user-connections" in self.capabilities


@dataclass(frozen=True, slots=True)
class Profile:
    """An opened profile. `signers` is the signer's chain as DER, leaf first; empty for an unsigned one.

    `encrypted` says that its payloads came encrypted; in `content` they are in clear.
    """

    content: dict[str, Any] = field(repr=False)
    signers: tuple[bytes, ...]
    encrypted: bool = False

    @property
    def identifier(self) -> str:
        return str(self.content["PayloadIdentifier"])

    @property
    def uuid(self) -> str:
        return str(self.content["PayloadUUID"])

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return list(self.content["PayloadContent"])

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """The certificates it installs as trusted."""
        found = (payload["PayloadContent"] for payload in self.payloads if payload["PayloadType"] in _ROOT_TYPES)
        return tuple(certificates.load(data) for data in found)

    @property
    def mdm(self) -> MDMSettings | None:
        """The management it sets up, if any."""
        payload = self._only("com.apple.mdm")
        if payload is None:
            return None
        try:
            rights = payload.get("AccessRights")
            if rights is not None and type(rights) is not int:
                raise BadProfile("Expected AccessRights to be an integer; something else came.")
            return MDMSettings(
                identity_uuid=payload["IdentityCertificateUUID"],
                topic=payload["Topic"],
                server_url=payload["ServerURL"],
                check_in_url=payload.get("CheckInURL", payload["ServerURL"]),
                sign_message=payload.get("SignMessage", False),
                check_out_when_removed=payload.get("CheckOutWhenRemoved", False),
                capabilities=frozenset(payload.get("ServerCapabilities", ())),
                access_rights=rights,
                assigned_managed_apple_id=payload.get("AssignedManagedAppleID"),
                enrollment_mode=payload.get("EnrollmentMode"),
                required_app_id=payload.get("RequiredAppIDForMDM"),
                server_pins=self._pinned(payload.get("ServerURLPinningCertificateUUIDs", [])),
                check_in_pins=self._pinned(payload.get("CheckInURLPinningCertificateUUIDs", [])),
            )
        except KeyError as error:
            raise BadProfile(f"Expected a com.apple.mdm payload with {error}; it has none.") from None

    @property
    def scep(self) -> SCEPSettings | None:
        """The identity it has the device fetch, if any."""
        payload = self._only("com.apple.security.scep")
        if payload is None:
            return None
        content = payload["PayloadContent"]
        try:
            rdns = [
                x509.RelativeDistinguishedName([x509.NameAttribute(_name_type(kind), value) for kind, value in rdn])
                for rdn in content.get("Subject", [])
            ]
            # Apple's default is 1024 bits, which no server should leave it at
            return SCEPSettings(
                uuid=payload["PayloadUUID"],
                url=content["URL"],
                subject=x509.Name(rdns),
                challenge=content.get("Challenge", ""),
                key_size=content.get("Keysize", 1024),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise BadProfile(f"Expected a SCEP payload with URL and a subject of [[[type, value]]]: {error}.") from None

    @property
    def pkcs12(self) -> PKCS12Settings | None:
        """The identity that it brings along, if any."""
        payload = self._only("com.apple.security.pkcs12")
        if payload is None:
            return None
        archive, password = payload.get("PayloadContent"), payload.get("Password", "")
        if not isinstance(archive, bytes) or not isinstance(password, str):
            raise BadProfile("Expected a PKCS#12 payload with an archive as data and a password as text; it has others.")
        return PKCS12Settings(payload["PayloadUUID"], archive, password)

    def _pinned(self, uuids: object) -> tuple[x509.Certificate, ...]:
        """The certificates of these payloads (Apple, "MDM": ServerURLPinningCertificateUUIDs)."""
        if not isinstance(uuids, list) or not all(isinstance(each, str) for each in uuids):
            raise BadProfile("Expected the UUIDs of certificates to pin to be a list of strings.")
        there = {each.get("PayloadUUID"): each for each in self.payloads if each["PayloadType"] in _ROOT_TYPES}
        missing = [each for each in uuids if each not in there]
        if missing:
            raise BadProfile(f"A certificate to pin is not in the profile: {missing[0]}.")
        return tuple(certificates.load(there[each]["PayloadContent"]) for each in uuids)

    def _only(self, payload_type: str) -> dict[str, Any] | None:
        found = [payload for payload in self.payloads if payload["PayloadType"] == payload_type]
        if len(found) > 1:
            raise BadProfile(f"Expected at most one payload of type {payload_type}; found {len(found)}.")
        return found[0] if found else None


def open_profile(
    data: bytes,
    *,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    allow_unsigned: bool = False,
    identities: Sequence[Identity] = (),
) -> Profile:
    """Reads a profile; a signed one must chain to the anchors. Raises BadProfile for whatever a device would refuse.

    Payloads that are encrypted are opened with the one of the `identities` that they are encrypted to.
    """
    if data[:1] == b"\x30":
        content, signers = _verified(data, anchors, now)
    elif allow_unsigned:
        content, signers = data, ()
    else:
        raise BadProfile("Expected a signed profile; this one is not signed.")
    try:
        parsed = plistlib.loads(content, fmt=plistlib.FMT_XML)
    except (ValueError, ExpatError, plistlib.InvalidFileException) as error:
        raise BadProfile(f"Expected a property list; {error}.") from None
    encrypted = isinstance(parsed, dict) and "EncryptedPayloadContent" in parsed
    if encrypted:
        parsed = {**parsed, "PayloadContent": _decrypted(parsed, identities)}
    profile = Profile(require_sound(parsed), signers, encrypted)
    try:
        _ = profile.anchors, profile.mdm, profile.scep, profile.pkcs12
    except (KeyError, BadCertificate) as error:
        raise BadProfile(f"A payload of the profile cannot be read: {error}.") from None
    require_named(profile.payloads)
    return profile


def _verified(data: bytes, anchors: Sequence[x509.Certificate], now: datetime) -> tuple[bytes, tuple[bytes, ...]]:
    try:
        verified = cms.verify(message := cms.parse_signed_data(data), policy=cms.STRICT)
        signer = certificates.load(verified.certificate)
        others = [certificates.load(one) for one in message.certificates if one != verified.certificate]
        chain = chains.verify(signer, intermediates=others, anchors=anchors, at=now)
    except (cms.CMSError, ChainError, BadCertificate) as error:
        raise BadProfile(f"The profile's signature is not to be trusted. {error}") from error
    return verified.content, tuple(certificates.der(one) for one in chain)


def _decrypted(profile: dict[str, Any], identities: Sequence[Identity]) -> list[dict[str, Any]]:
    """The payloads of a profile that was encrypted to this device."""
    if "PayloadContent" in profile or profile.get("IsEncrypted") is not True:
        raise BadProfile("Expected an encrypted profile with IsEncrypted, and no payloads in clear.")
    reasons = []
    for identity in identities:
        if not isinstance(identity.key, rsa.RSAPrivateKey):
            reasons.append("an elliptic key opens nothing")
            continue
        try:
            sealed = cms.decrypt(profile["EncryptedPayloadContent"], certificate=identity.certificate, key=identity.key)
            opened = plistlib.loads(sealed.content, fmt=plistlib.FMT_XML)
        except (cms.CMSError, TypeError, ValueError, ExpatError, plistlib.InvalidFileException) as error:
            reasons.append(str(error))
            continue
        if not isinstance(opened, list):
            raise BadProfile("Expected the encrypted payloads to be an array.")
        return opened
    raise BadProfile(f"The profile is encrypted, and not to an identity of this device: {'; '.join(reasons) or 'it has none'}.")


def _name_type(kind: str) -> x509.ObjectIdentifier:
    return _NAME_TYPES[kind] if kind in _NAME_TYPES else x509.ObjectIdentifier(kind)
