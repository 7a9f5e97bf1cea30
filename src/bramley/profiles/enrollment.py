"""The enrollment profile: trust, an identity, and management, in one profile.

A replacement updates payloads whose PayloadIdentifier and PayloadUUID stay, and installs the others. So everything that is to
stay has UUIDs derived from the enrollment, while the identity payload's changes with each delivery: a renewal has the device get
a new certificate, and the MDM payload, itself unchanged but for IdentityCertificateUUID, goes on with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

from cryptography import x509

from bramley.model.enrollments import EnrollmentKey
from bramley.pki import certificates, names
from bramley.profiles.build import Profile
from bramley.profiles.errors import BadPayload
from bramley.profiles.payloads import (
    ALL_ACCESS_RIGHTS,
    CertificatePayload,
    MDMPayload,
    Payload,
    PKCS12Payload,
    RootCertificatePayload,
    SCEPPayload,
)

CONNECT_PATH: Final = "/mdm/connect"
CHECK_IN_PATH: Final = "/mdm/checkin"

_NAMESPACE: Final = UUID("0e5b7c1c-62a7-5d0c-9f5b-5b8f0d6a4c3e")


@dataclass(frozen=True, slots=True)
class EnrollmentProfileSettings:
    """What all enrollment profiles of a server share.

    `base_url` is what devices reach it by, without a path. `identifier_prefix` begins every PayloadIdentifier, and so must
    never change for enrolled devices; no more may `base_url`, `topic`, `per_user_connections` and `query`, which follows the
    question mark of both URLs.
    """

    organization: str
    base_url: str
    topic: str
    identifier_prefix: str
    display_name: str = "Device management"
    access_rights: int = ALL_ACCESS_RIGHTS
    check_out_when_removed: bool = True
    sign_message: bool = True
    per_user_connections: bool = True
    bootstrap_token: bool = True
    query: str = ""


def scep_identity(
    settings: EnrollmentProfileSettings, key: EnrollmentKey, *, url: str, challenge_id: str, challenge: str, common_name: str
) -> SCEPPayload:
    """The payload by which a device fetches its identity. `challenge` is the one-time secret, and `challenge_id` its name.

    `common_name` becomes the CN of the requested subject. Raises BadPayload.
    """
    if not url.startswith("https://"):
        raise BadPayload(f"Expected an https URL for SCEP; {url} came.", advice="The challenge would travel in clear.")
    return SCEPPayload(
        identifier=f"{settings.identifier_prefix}.scep",
        uuid=derived_uuid(key, "scep", challenge_id),
        display_name="Device identity",
        url=url,
        challenge=challenge,
        subject=((("O", settings.organization),), (("CN", common_name),)),
        name=f"{settings.organization} device identity",
    )


def pkcs12_identity(
    settings: EnrollmentProfileSettings, key: EnrollmentKey, *, archive: bytes, password: str, serial: str
) -> PKCS12Payload:
    """The payload that brings the device its identity, key and all. `serial` is of the certificate in the archive.

    Raises BadPayload.
    """
    return PKCS12Payload(
        identifier=f"{settings.identifier_prefix}.pkcs12",
        uuid=derived_uuid(key, "pkcs12", serial),
        display_name="Device identity",
        archive=archive,
        password=password,
    )


def enrollment_profile(
    settings: EnrollmentProfileSettings,
    *,
    enrollment_key: EnrollmentKey,
    identity: Payload,
    anchors: Sequence[x509.Certificate] = (),
    pins: Sequence[x509.Certificate] = (),
) -> Profile:
    """The profile that enrolls a device, or renews the identity of an enrolled one.

    The same `enrollment_key` gives the same UUIDs. `identity` brings the identity that the MDM payload goes by. `anchors` are
    the CA certificates to install: self-signed ones as trusted roots, others as intermediates. `pins`, where there are any,
    are the only ones by which devices trust the server from then on. Raises BadPayload.
    """
    prefix = settings.identifier_prefix
    trusted = [_anchor(prefix, enrollment_key, each) for each in dict.fromkeys((*anchors, *pins))]
    pinned = [_anchor(prefix, enrollment_key, each) for each in pins]
    base, query = settings.base_url.rstrip("/"), f"?{settings.query}" if settings.query else ""
    mdm = MDMPayload(
        identifier=f"{prefix}.mdm",
        uuid=derived_uuid(enrollment_key, "mdm"),
        display_name=settings.display_name,
        identity_uuid=identity.uuid,
        topic=settings.topic,
        server_url=f"{base}{CONNECT_PATH}{query}",
        check_in_url=f"{base}{CHECK_IN_PATH}{query}",
        access_rights=settings.access_rights,
        sign_message=settings.sign_message,
        check_out_when_removed=settings.check_out_when_removed,
        per_user_connections=settings.per_user_connections,
        bootstrap_token=settings.bootstrap_token,
        pins=tuple(each.uuid for each in pinned),
    )
    return Profile(
        identifier=f"{prefix}.enrollment",
        uuid=derived_uuid(enrollment_key, "profile"),
        display_name=settings.display_name,
        organization=settings.organization,
        description=f"Lets {settings.organization} manage this device.",
        payloads=(*trusted, identity, mdm),
        # no PayloadScope: a Mac that a person enrolls by a profile of the scope System opens no user channels (micromdm#766)
    )


def _anchor(prefix: str, key: EnrollmentKey, certificate: x509.Certificate) -> Payload:
    """The certificate's payload, named after the certificate: one that stays in the profile stays on the device."""
    sha256 = certificates.sha256(certificate)
    kind = RootCertificatePayload if certificate.subject == certificate.issuer else CertificatePayload
    return kind(
        identifier=f"{prefix}.ca.{sha256[:16]}",
        uuid=derived_uuid(key, "ca", sha256),
        display_name=names.text(certificate.subject),
        certificate=certificates.der(certificate),
    )


def derived_uuid(key: EnrollmentKey, *parts: str) -> str:
    """A version 5 UUID (RFC 9562 5.5) of these parts, none of which may hold a slash."""
    return str(uuid5(_NAMESPACE, "/".join((key, *parts)))).upper()
