"""The payloads by which a device gets an identity or an MDM server."""

from __future__ import annotations

from typing import Final

from bramley.model.profiles import Scope
from bramley.profiles.rules import enrolling
from bramley.profiles.rules.keys import (
    UUID,
    PayloadType,
    array,
    boolean,
    data,
    dictionary,
    integer,
    names_certificates,
    names_identity,
    payload_type,
    text,
    texts,
)

_ALTERNATIVE_NAMES: Final = dictionary(
    "SubjectAltName",
    (text("rfc822Name"), text("dNSName"), text("uniformResourceIdentifier"), text("ntPrincipalName")),
)
_SUBJECT: Final = array("", texts("", count=2))
_HTTPS: Final = {"form": r"https://.*", "form_words": "an https URL"}

IDENTITY_TYPES: Final[tuple[PayloadType, ...]] = (
    payload_type(
        "com.apple.security.scep",
        "SCEP",
        "Has the device make an RSA key and get a certificate for it by SCEP.",
        on="iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.0, watchOS 3.0",
        keys=(
            dictionary(
                "PayloadContent",
                (
                    text("URL", required=True, on="macOS 10.7"),
                    text("Name"),
                    array("Subject", _SUBJECT),
                    text("Challenge"),
                    integer("Keysize", one_of=(1024, 2048, 4096), default=1024),
                    text("Key Type", default="RSA"),
                    integer("Key Usage", default=0, on="macOS 10.11"),
                    data("CAFingerprint"),
                    integer("Retries", default=3, on="macOS 10.10"),
                    integer("RetryDelay", default=10, on="macOS 10.10"),
                    _ALTERNATIVE_NAMES,
                    boolean("KeyIsExtractable", True, on="macOS 10.13.4"),
                    boolean("AllowAllAppsAccess", on="macOS 10.10"),
                ),
                required=True,
            ),
        ),
        checks=(enrolling.scep,),
    ),
    payload_type(
        "com.apple.security.acme",
        "ACME",
        "Has the device make a key and get a certificate for it by ACME, with an attestation of the device where wanted.",
        on="iOS 16.0, macOS 13.1, tvOS 16.0, visionOS 1.0, watchOS 9.0",
        keys=(
            text("DirectoryURL", required=True),
            text("ClientIdentifier", required=True),
            integer("KeySize", required=True),
            text("KeyType", required=True, one_of=("RSA", "ECSECPrimeRandom")),
            boolean("HardwareBound", None, required=True),
            array("Subject", _SUBJECT, required=True),
            _ALTERNATIVE_NAMES,
            integer("UsageFlags"),
            texts("ExtendedKeyUsage"),
            boolean("Attest", on="watchOS 10.0"),
            boolean("KeyIsExtractable", True, on="iOS no, tvOS no, visionOS no, watchOS no"),
            boolean("AllowAllAppsAccess", on="iOS no, tvOS no, visionOS no, watchOS no"),
        ),
        checks=(enrolling.acme,),
    ),
    payload_type(
        "com.apple.mdm",
        "MDM",
        "Puts a device under management. A profile has one at most.",
        on="iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.1, watchOS 10.0",
        scope=Scope.SYSTEM,
        keys=(
            names_identity("IdentityCertificateUUID", required=True, **UUID),
            text("Topic", required=True),
            text("ServerURL", required=True, **_HTTPS),
            text("CheckInURL", **_HTTPS),
            boolean("SignMessage"),
            integer("AccessRights"),
            boolean("UseDevelopmentAPNS"),
            text(
                "ManagedAppleID",
                on="iOS 13.1-18.0, macOS 10.15-15.0, tvOS no, visionOS no, watchOS no",
                ue="iOS required, macOS required",
            ),
            text("AssignedManagedAppleID", on="iOS 15.0, macOS 14.0, tvOS no, watchOS no"),
            text("EnrollmentMode", one_of=("BYOD", "ADDE"), on="iOS 15.0, macOS 14.0, tvOS no, watchOS no"),
            names_certificates("ServerURLPinningCertificateUUIDs", on="iOS 13.4, macOS 10.13, tvOS 13.4"),
            names_certificates("CheckInURLPinningCertificateUUIDs", on="iOS 13.4, macOS 10.13, tvOS 13.4"),
            boolean("PinningRevocationCheckRequired", on="iOS 13.4, macOS 10.13, tvOS 13.4"),
            array(
                "ServerCapabilities",
                text(one_of=("com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken", "com.apple.mdm.token")),
            ),
            boolean("CheckOutWhenRemoved"),
            integer("RequiredAppIDForMDM", on="iOS 15.1, macOS no, tvOS no, watchOS no"),
            boolean(
                "PromptUserToAllowBootstrapTokenForAuthentication",
                on="iOS no, macOS 11.0, tvOS no, visionOS no, watchOS no",
            ),
        ),
        checks=(enrolling.mdm,),
    ),
)
