"""Settings (Apple, "Settings"): what each of its items holds. The device answers for each item by itself."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from bramley.mdm.commands.table.keys import (
    AccessRight,
    Key,
    array,
    boolean,
    data,
    dictionary,
    integer,
    request_type,
    text,
    texts,
)

_GRACE_PERIODS: Final = (0, 60, 300, 900, 3600, 14400)


def _item(name: str, *keys: Key, **rest: Any) -> Key:
    """An item: a dictionary that has its own name under `Item`."""
    return dictionary(name, (text("Item", required=True, one_of=(name,)), *keys), **rest)


ITEMS: Final = (
    _item(
        "Wallpaper",
        data("Image", required=True),
        integer("Where", required=True, one_of=(1, 2, 3)),
        on="iOS 8.0, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
        supervised="iOS",
    ),
    _item("DataRoaming", boolean("Enabled", required=True), on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    _item("VoiceRoaming", boolean("Enabled", required=True), on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    _item(
        "PersonalHotspot", boolean("Enabled", required=True), on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"
    ),
    _item(
        "Bluetooth",
        boolean("Enabled", required=True),
        on="iOS 11.3, macOS 10.13.4, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden, macOS forbidden",
        supervised="iOS",
    ),
    _item(
        "ApplicationConfiguration",
        text("Identifier", required=True),
        dictionary("Configuration"),
        on="iOS 7.0, macOS 10.15, tvOS 10.2",
    ),
    _item(
        "ApplicationAttributes",
        text("Identifier", required=True),
        dictionary(
            "Attributes",
            (
                text("VPNUUID", on="tvOS no"),
                text("ContentFilterUUID", on="iOS 16.0, tvOS no, watchOS no"),
                text("DNSProxyUUID", on="iOS 16.0, tvOS no, watchOS no"),
                text("RelayUUID", on="iOS 17.0, tvOS no, watchOS no"),
                texts("AssociatedDomains", on="iOS 13.0, tvOS no"),
                boolean("AssociatedDomainsEnableDirectDownloads", default=False, on="iOS 14.0, tvOS no"),
                boolean("Removable", default=True, on="iOS 14.0, tvOS 14.0"),
                boolean("TapToPayScreenLock", default=False, on="iOS 16.4, tvOS no, visionOS no, watchOS no"),
                text("CellularSliceUUID", on="iOS 17.0, tvOS no, visionOS no, watchOS no"),
                boolean("Hideable", default=True, on="iOS 18.1, tvOS no, visionOS no, watchOS no"),
                boolean("Lockable", default=True, on="iOS 18.1, tvOS no, visionOS no, watchOS no"),
            ),
        ),
        on="iOS 7.0, macOS no, tvOS 10.2",
    ),
    _item(
        "DeviceName",
        text("DeviceName", required=True),
        on="macOS 10.10, visionOS 2.0, watchOS no",
        ue="iOS forbidden, macOS forbidden, visionOS forbidden",
        supervised="iOS, visionOS",
    ),
    _item(
        "HostName",
        text("HostName", required=True),
        on="iOS no, macOS 10.11, tvOS no, visionOS no, watchOS no",
        ue="macOS forbidden",
    ),
    _item(
        "OrganizationInfo",
        dictionary(
            "OrganizationInfo",
            (
                text("OrganizationName", required=True),
                text("OrganizationShortName", on="iOS 13.0, macOS 10.15, tvOS 13.0"),
                text("OrganizationAddress"),
                text("OrganizationPhone"),
                text("OrganizationEmail"),
                text("OrganizationMagic"),
            ),
        ),
        on="macOS 10.9",
    ),
    _item(
        "MDMOptions",
        dictionary(
            "MDMOptions",
            (
                boolean("ActivationLockAllowedWhileSupervised", default=False),
                boolean(
                    "BootstrapTokenAllowed",
                    default=False,
                    on="iOS no, macOS 10.15, tvOS no, visionOS no, watchOS no",
                    ue="macOS forbidden",
                ),
                boolean(
                    "PromptUserToAllowBootstrapTokenForAuthentication",
                    default=False,
                    on="iOS no, macOS 11.0, tvOS no, visionOS no, watchOS no",
                ),
            ),
            required=True,
        ),
        on="iOS 7.0, macOS 10.15, tvOS no, visionOS 2.0, watchOS no",
        ue="macOS forbidden",
    ),
    _item(
        "MaximumResidentUsers",
        integer("MaximumResidentUsers", required=True),
        on="iOS 9.3, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    _item(
        "SharedDeviceConfiguration",
        integer("QuotaSize"),
        integer("ResidentUsers"),
        integer("UserSessionTimeout", on="iOS 14.5"),
        integer("TemporarySessionTimeout", on="iOS 14.5"),
        boolean("TemporarySessionOnly", default=False, on="iOS 14.5"),
        texts("ManagedAppleIDDefaultDomains", on="iOS 16.0"),
        integer("OnlineAuthenticationGracePeriod", on="iOS 16.0"),
        boolean("SkipLanguageAndLocaleSetupForNewUsers", default=False, on="iOS 16.2"),
        dictionary("AwaitUserConfiguration", (boolean("Enabled", required=True),), on="iOS 17.0"),
        dictionary(
            "PasscodePolicy",
            (
                integer("PasscodeLockGracePeriod", one_of=_GRACE_PERIODS),
                integer("AutoLockTime"),
            ),
            on="iOS 17.0",
        ),
        on="iOS 13.4, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    _item(
        "DiagnosticSubmission",
        boolean("Enabled", required=True),
        on="iOS 9.3, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    _item(
        "AppAnalytics",
        boolean("Enabled", required=True),
        on="iOS 9.3.2, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    _item(
        "PasscodeLockGracePeriod",
        integer("PasscodeLockGracePeriod", required=True, one_of=_GRACE_PERIODS),
        on="iOS 9.3.2, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    _item(
        "TimeZone",
        text("TimeZone", required=True),
        on="iOS 14.0, macOS no, tvOS 14.0, visionOS 2.0, watchOS no",
        ue="iOS forbidden, visionOS forbidden",
        supervised="iOS, tvOS, visionOS",
    ),
    _item(
        "SoftwareUpdateSettings",
        integer("RecommendationCadence", required=True, one_of=(0, 1, 2)),
        on="iOS 14.5, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
        supervised="iOS",
    ),
    _item(
        "AccessibilitySettings",
        boolean("BoldTextEnabled", default=False),
        boolean("IncreaseContrastEnabled", default=False, on="watchOS no"),
        boolean("ReduceMotionEnabled", default=False),
        boolean("ReduceTransparencyEnabled", default=False),
        integer("TextSize", one_of=(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), default=4),
        boolean("TouchAccommodationsEnabled", default=False),
        boolean("VoiceOverEnabled", default=False),
        boolean("ZoomEnabled", default=False),
        boolean("GrayscaleEnabled", default=False, on="iOS no, watchOS no"),
        on="iOS 16.0, macOS no, tvOS no, visionOS no",
        ue="iOS forbidden",
        supervised="iOS, watchOS",
    ),
)

SETTINGS: Final = request_type(
    "Settings",
    "Sets settings, each by itself: one that fails leaves the others in force.",
    AccessRight.SETTINGS,
    on="iOS 5.0, macOS 10.9, tvOS 9.0, visionOS 1.1, watchOS 10.0",
    keys=(array("Settings", dictionary(), required=True, choices=MappingProxyType({item.name: item for item in ITEMS})),),
    answer=(
        array(
            "Settings",
            dictionary("", (text("Status", required=True), array("ErrorChain", dictionary()), text("Identifier"))),
        ),
    ),
    user_channel="iOS, macOS",
)
