"""The payload by which a device joins a Wi-Fi network (Apple, "WiFi")."""

from __future__ import annotations

from typing import Final

from bramley.profiles.rules import networks
from bramley.profiles.rules.keys import (
    UUID,
    PayloadType,
    array,
    boolean,
    dictionary,
    integer,
    names_certificates,
    names_identity,
    payload_type,
    text,
    texts,
)

_TLS: Final = ("1.0", "1.1", "1.2", "1.3")
_NOT_THERE: Final = "iOS forbidden, macOS forbidden, visionOS forbidden"

_EAP: Final = dictionary(
    "EAPClientConfiguration",
    (
        array("AcceptEAPTypes", integer(one_of=(13, 17, 18, 21, 23, 25, 43)), required=True),
        text("UserName"),
        text("UserPassword"),
        names_certificates("PayloadCertificateAnchorUUID", formed=True),
        texts("TLSTrustedCertificates"),
        texts("TLSTrustedServerNames"),
        boolean("TLSAllowTrustExceptions", True, on="iOS -8.0, visionOS no"),
        boolean("TLSCertificateIsRequired", on="iOS 7.0"),
        text("TTLSInnerAuthentication", one_of=("PAP", "EAP", "CHAP", "MSCHAP", "MSCHAPv2"), default="MSCHAPv2"),
        text("TLSMinimumVersion", one_of=_TLS, default="1.0", on="iOS 11.0, macOS 10.13, tvOS 11.0"),
        text("TLSMaximumVersion", one_of=_TLS, default="1.2", on="iOS 11.0, macOS 10.13, tvOS 11.0"),
        text("OuterIdentity"),
        boolean("EAPFASTUsePAC"),
        boolean("EAPFASTProvisionPAC"),
        boolean("EAPFASTProvisionPACAnonymously"),
        integer("EAPSIMNumberOfRANDs", one_of=(2, 3), default=3, on="iOS 8.0"),
        text("SystemModeCredentialsSource"),
        boolean("SystemModeUseOpenDirectoryCredentials"),
        boolean("OneTimeUserPassword", on="iOS 8.0, macOS 10.8, tvOS 9.0"),
    ),
)

WIFI: Final[PayloadType] = payload_type(
    "com.apple.wifi.managed",
    "Wi-Fi",
    "Joins a Wi-Fi network, with an identity where it asks for one.",
    on="iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.0, watchOS 3.2",
    keys=(
        boolean("AutoJoin", True, on="iOS 5.0"),
        text("SSID_STR", on="iOS 7.0"),
        boolean("HIDDEN_NETWORK"),
        text("ProxyType", one_of=("None", "Manual", "Auto"), default="None", ue="iOS forbidden, visionOS forbidden"),
        text("EncryptionType", one_of=("WEP", "WPA", "WPA2", "WPA3", "Any", "None"), default="Any"),
        text("Password"),
        names_identity("PayloadCertificateUUID", **UUID),
        _EAP,
        text("DisplayedOperatorName", on="iOS 7.0, macOS 10.9"),
        text("DomainName", on="iOS 7.0, macOS 10.9"),
        array(
            "RoamingConsortiumOIs",
            text(form="[0-9A-Za-z]{6}|[0-9A-Za-z]{9}", form_words="6 or 9 digits and letters"),
            on="iOS 7.0, macOS 10.9",
        ),
        boolean("ServiceProviderRoamingEnabled", on="iOS 7.0, macOS 10.9"),
        boolean("IsHotspot", on="iOS 7.0, macOS 10.9"),
        text("HESSID", on="iOS 7.0"),
        texts("NAIRealmNames", on="iOS 7.0, macOS 10.9"),
        array("MCCAndMNCs", text(form="[0-9]{6}", form_words="6 digits"), on="iOS 7.0, macOS no"),
        boolean("CaptiveBypass", on="iOS 10.0, macOS no"),
        dictionary(
            "QoSMarkingPolicy",
            (
                texts("QoSMarkingAllowListAppIdentifiers", on="iOS 14.5, macOS 14.0"),
                texts("QoSMarkingWhitelistedAppIdentifiers", on="visionOS no"),
                boolean("QoSMarkingAppleAudioVideoCalls", True),
                boolean("QoSMarkingEnabled", True),
            ),
            on="iOS 10.0, macOS 10.13",
        ),
        array(
            "SetupModes",
            text(required=True, one_of=("System", "Loginwindow")),
            on="iOS no, macOS 10.7, tvOS no, visionOS no, watchOS no",
        ),
        boolean("EnableIPv6", True),
        boolean("TLSCertificateRequired"),
        text("ProxyServer", ue=_NOT_THERE),
        integer("ProxyServerPort", least=0, most=65535, ue=_NOT_THERE),
        text("ProxyUsername", ue=_NOT_THERE),
        text("ProxyPassword", ue="iOS forbidden, visionOS forbidden"),
        text("ProxyPACURL", ue=_NOT_THERE),
        boolean("ProxyPACFallbackAllowed", ue=_NOT_THERE),
        boolean("DisableAssociationMACRandomization", on="iOS 14.0, macOS 15.0, tvOS no, watchOS 7.0", ue=_NOT_THERE),
    ),
    checks=(networks.wifi,),
)
