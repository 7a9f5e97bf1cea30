"""Profiles and certificates (Apple, "InstallProfile", "RemoveProfile", "ProfileList", "CertificateList")."""

from __future__ import annotations

from typing import Final

from bramley.mdm.commands.table.keys import AccessRight, array, boolean, data, dictionary, integer, request_type, text

_EVERYWHERE: Final = "iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.1, watchOS 10.0"
_MANAGED_ONLY: Final = boolean("ManagedOnly", default=False, on="iOS 13.0, macOS 10.15, tvOS 13.0")
_PAYLOAD: Final = dictionary(
    "",
    (
        text("PayloadType", required=True),
        integer("PayloadVersion", required=True),
        text("PayloadIdentifier", required=True),
        text("PayloadUUID"),  # told since iOS 17.0 and macOS 14.0, and must be there since then
        text("PayloadDisplayName"),
        text("PayloadDescription"),
        text("PayloadOrganization"),
    ),
)
_PROFILE: Final = dictionary(
    "",
    (
        text("PayloadUUID", required=True),
        text("PayloadIdentifier", required=True),
        integer("PayloadVersion"),
        text("PayloadDisplayName"),
        text("PayloadOrganization"),
        text("PayloadDescription"),
        boolean("PayloadRemovalDisallowed"),
        boolean("HasRemovalPasscode"),
        boolean("IsEncrypted"),
        array("SignerCertificates", data()),
        boolean("IsManaged"),
        text("Source"),
        array("PayloadContent", _PAYLOAD),
    ),
)
_CERTIFICATE: Final = dictionary(
    "", (text("CommonName", required=True), boolean("IsIdentity", required=True), data("Data", required=True))
)

PROFILES: Final = (
    request_type(
        "InstallProfile",
        "Installs a configuration profile, or replaces the one of the same PayloadIdentifier.",
        AccessRight.CHANGE_PROFILES,
        on=_EVERYWHERE,
        keys=(data("Payload", required=True, secret=True, fewest=1),),
        user_channel="iOS, macOS",
    ),
    request_type(
        "RemoveProfile",
        "Removes the profile of this PayloadIdentifier.",
        AccessRight.CHANGE_PROFILES,
        on=_EVERYWHERE,
        keys=(text("Identifier", required=True, fewest=1),),
        user_channel="iOS, macOS",
    ),
    request_type(
        "ProfileList",
        "Asks for the installed profiles.",
        AccessRight.INSPECT_PROFILES,
        on=_EVERYWHERE,
        keys=(_MANAGED_ONLY,),
        answer=(array("ProfileList", _PROFILE, required=True),),
        user_channel="iOS, macOS",
    ),
    request_type(
        "CertificateList",
        "Asks for the certificates on the device.",
        AccessRight.INSPECT_PROFILES,
        on=_EVERYWHERE,
        keys=(_MANAGED_ONLY,),
        answer=(array("CertificateList", _CERTIFICATE, required=True),),
        user_channel="macOS",
    ),
)
