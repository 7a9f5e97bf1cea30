"""Payloads: what a profile is made of, one class a PayloadType (Apple, "Profile-Specific Payload Keys").

A replaced profile updates payloads with the same PayloadIdentifier and PayloadUUID, and removes and installs the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from bramley.mdm.plist import Writable
from bramley.profiles.errors import BadPayload

TOPIC_PREFIX: Final = "com.apple.mgmt."
ALL_ACCESS_RIGHTS: Final = 8191

_PINS: Final = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")
_PER_USER_CONNECTIONS: Final = "com.apple.mdm.per-user-connections"
_BOOTSTRAP_TOKEN: Final = "com.apple.mdm.bootstraptoken"  # noqa: S105 - a capability, not a secret


class Payload(Protocol):
    """One entry of a profile's PayloadContent."""

    @property
    def identifier(self) -> str: ...
    @property
    def uuid(self) -> str: ...

    def to_plist(self) -> dict[str, Writable]: ...


def common_keys(payload_type: str, identifier: str, uuid: str, display_name: str) -> dict[str, Writable]:
    """The keys that every payload has, and the profile too."""
    return {
        "PayloadType": payload_type,
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": uuid,
        "PayloadDisplayName": display_name,
    }


@dataclass(frozen=True, slots=True)
class SCEPPayload:
    """Has the device make an RSA key and get a certificate for it by SCEP.

    `subject` is a list of RDNs, each of (short name or dotted type, value) pairs. `key_usage` adds 1 for signing and 4 for
    encryption. The key stays in the device: KeyIsExtractable is false, where Apple's default is true, and the key has at
    least 2048 bits, where Apple's default is 1024.
    """

    payload_type: ClassVar[str] = "com.apple.security.scep"
    identifier: str
    uuid: str
    display_name: str
    url: str
    challenge: str = field(repr=False)
    subject: tuple[tuple[tuple[str, str], ...], ...]
    name: str
    key_size: int = 2048
    key_usage: int = 5
    retries: int = 3
    retry_delay: int = 10

    def __post_init__(self) -> None:
        if self.key_size not in (2048, 4096):
            raise BadPayload(f"Expected a SCEP key size of 2048 or 4096 bits; {self.key_size} came.")
        if self.key_usage not in (1, 4, 5):
            raise BadPayload(f"Expected a SCEP key usage of 1 (sign), 4 (encrypt) or 5 (both); {self.key_usage} came.")
        if not self.challenge or not any(self.subject):
            raise BadPayload("Expected a SCEP payload with a challenge and a subject; one of them is empty.")

    def to_plist(self) -> dict[str, Writable]:
        # No CAFingerprint: Apple does not say of which digest, and the CA certificate comes over HTTPS that the device checks.
        content: dict[str, Writable] = {
            "URL": self.url,
            "Name": self.name,
            "Subject": [[list(pair) for pair in rdn] for rdn in self.subject],
            "Challenge": self.challenge,
            "Keysize": self.key_size,
            "Key Type": "RSA",
            "Key Usage": self.key_usage,
            "KeyIsExtractable": False,
            "Retries": self.retries,
            "RetryDelay": self.retry_delay,
        }
        return {**common_keys(self.payload_type, self.identifier, self.uuid, self.display_name), "PayloadContent": content}


@dataclass(frozen=True, slots=True)
class PKCS12Payload:
    """Gives the device an identity whose key was made elsewhere, as a PKCS#12 archive (RFC 7292) with its password beside it.

    So who reads the profile has the key. In the device it stays: a Mac lets nobody extract it, and no app use it unasked.
    """

    payload_type: ClassVar[str] = "com.apple.security.pkcs12"
    identifier: str
    uuid: str
    display_name: str
    archive: bytes = field(repr=False)
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.archive or not self.password:
            raise BadPayload("Expected an identity's payload with a PKCS#12 archive and its password; one of them is empty.")

    def to_plist(self) -> dict[str, Writable]:
        return {
            **common_keys(self.payload_type, self.identifier, self.uuid, self.display_name),
            "PayloadCertificateFileName": "identity.p12",
            "PayloadContent": self.archive,
            "Password": self.password,
            "KeyIsExtractable": False,
            "AllowAllAppsAccess": False,
        }


@dataclass(frozen=True, slots=True)
class MDMPayload:
    """Puts a device under management.

    What can never change in a replacement is in `profiles.immutable`. `identity_uuid` names the identity's payload in the same
    profile, `pins` those of the certificates by which alone the server is trusted; none pins nothing.
    """

    payload_type: ClassVar[str] = "com.apple.mdm"
    identifier: str
    uuid: str
    display_name: str
    identity_uuid: str
    topic: str
    server_url: str
    check_in_url: str
    access_rights: int = ALL_ACCESS_RIGHTS
    sign_message: bool = True
    check_out_when_removed: bool = True
    per_user_connections: bool = True
    bootstrap_token: bool = True
    pins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for url in (self.server_url, self.check_in_url):
            if not url.startswith("https://"):
                raise BadPayload(f"Expected an https URL for MDM; {url} came.", advice="Devices refuse any other.")
        if not self.topic.startswith(TOPIC_PREFIX):
            raise BadPayload(f"Expected a push topic that begins with {TOPIC_PREFIX}; {self.topic} came.")
        rights = self.access_rights
        # to change profiles (2) a server must be let see them (1), and likewise provisioning profiles or apps (128, 64)
        if not 0 < rights <= ALL_ACCESS_RIGHTS or (rights & 2 and not rights & 1) or (rights & 128 and not rights & 64):
            raise BadPayload(f"Expected access rights from 1 to {ALL_ACCESS_RIGHTS}, 2 with 1 and 128 with 64; {rights} came.")

    def to_plist(self) -> dict[str, Writable]:
        capabilities = [
            *([_PER_USER_CONNECTIONS] if self.per_user_connections else []),
            *([_BOOTSTRAP_TOKEN] if self.bootstrap_token else []),
        ]
        return {
            **common_keys(self.payload_type, self.identifier, self.uuid, self.display_name),
            "IdentityCertificateUUID": self.identity_uuid,
            "Topic": self.topic,
            "ServerURL": self.server_url,
            "CheckInURL": self.check_in_url,
            "AccessRights": self.access_rights,
            "SignMessage": self.sign_message,
            "CheckOutWhenRemoved": self.check_out_when_removed,
            "ServerCapabilities": capabilities,
            **(dict.fromkeys(_PINS, self.pins) if self.pins else {}),
        }


@dataclass(frozen=True, slots=True)
class RootCertificatePayload:
    """A root CA certificate (DER) to trust."""

    payload_type: ClassVar[str] = "com.apple.security.root"
    identifier: str
    uuid: str
    display_name: str
    certificate: bytes = field(repr=False)

    def to_plist(self) -> dict[str, Writable]:
        keys = common_keys(self.payload_type, self.identifier, self.uuid, self.display_name)
        return {**keys, "PayloadContent": self.certificate}


@dataclass(frozen=True, slots=True)
class CertificatePayload:
    """Another certificate (DER), such as an intermediate CA: known to the device, trusted only through its root."""

    payload_type: ClassVar[str] = "com.apple.security.pkcs1"
    identifier: str
    uuid: str
    display_name: str
    certificate: bytes = field(repr=False)

    def to_plist(self) -> dict[str, Writable]:
        keys = common_keys(self.payload_type, self.identifier, self.uuid, self.display_name)
        return {**keys, "PayloadContent": self.certificate}
