"""DeviceInformation (Apple, "DeviceInformation"): what a device can be asked of itself."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from bramley.mdm.commands.finding import Finding, Rule, error
from bramley.mdm.commands.table.keys import (
    AccessRight,
    Body,
    Key,
    array,
    boolean,
    data,
    date,
    dictionary,
    integer,
    real,
    request_type,
    text,
    texts,
)

_LONGEST_NONCE: Final = 32
_ATTESTATION: Final = "DevicePropertiesAttestation"

PROPERTIES: Final[tuple[Key, ...]] = (
    text("UDID", ue="iOS forbidden, macOS forbidden, visionOS forbidden"),
    text("ProvisioningUDID", on="iOS no, macOS 11.3, tvOS no, visionOS no, watchOS no", ue="macOS forbidden"),
    dictionary(
        "OrganizationInfo",
        (
            text("OrganizationName", required=True),
            text("OrganizationAddress"),
            text("OrganizationPhone"),
            text("OrganizationEmail"),
            text("OrganizationMagic"),
        ),
        on="iOS 7.0, macOS 10.11, tvOS 9.0",
    ),
    dictionary(
        "MDMOptions",
        (
            boolean("ActivationLockAllowedWhileSupervised"),
            boolean("BootstrapTokenAllowed"),
            boolean("PromptUserToAllowBootstrapTokenForAuthentication"),
        ),
        on="iOS 7.0, macOS 11.0, tvOS 9.0, watchOS 10.0",
    ),
    date("LastCloudBackupDate", on="iOS 8.0, macOS no, tvOS no, watchOS no", ue="iOS forbidden, visionOS forbidden"),
    boolean(
        "AwaitingConfiguration",
        on="iOS 9.0, macOS 10.11, tvOS 10.2, visionOS 2.0",
        ue="iOS forbidden, macOS forbidden, visionOS forbidden",
    ),
    boolean("iTunesStoreAccountIsActive", on="iOS 7.0, macOS 10.9, tvOS 9.0, visionOS no", ue="iOS forbidden, macOS forbidden"),
    text("iTunesStoreAccountHash", on="iOS 8.0, macOS 10.10, tvOS 9.0, visionOS no", ue="iOS forbidden, macOS forbidden"),
    text("DeviceName"),
    text("OSVersion"),
    text("SupplementalOSVersionExtra", on="iOS 16.1, macOS 13.0, tvOS 16.1"),
    text("BuildVersion"),
    text("SupplementalBuildVersion", on="iOS 16.1, macOS 13.0, tvOS 16.1"),
    text("ModelName"),
    text("Model", on="visionOS no"),
    text("ModelNumber", on="iOS 16.4, macOS 13.3, tvOS 16.4"),
    boolean("IsAppleSilicon", on="iOS no, macOS 12.0, tvOS no, visionOS no, watchOS no"),
    text("ProductName"),
    text("SerialNumber", ue="iOS forbidden, macOS forbidden, visionOS forbidden"),
    real("DeviceCapacity", on="tvOS no"),
    real("AvailableDeviceCapacity", on="tvOS no"),
    text("IMEI", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("MEID", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("ModemFirmwareVersion", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    integer("CellularTechnology", one_of=(0, 1, 2, 3), on="iOS 4.2.6, macOS no, tvOS no, visionOS no, watchOS no"),
    real("BatteryLevel", on="iOS 5.0, macOS 13.3, tvOS no"),
    boolean("HasBattery", on="iOS no, macOS 13.3, tvOS no, visionOS no, watchOS no"),
    boolean("IsSupervised", on="iOS 6.0, macOS 10.15, tvOS 9.0"),
    boolean("IsMultiUser", on="iOS 9.3, macOS no, tvOS no, visionOS no, watchOS no"),
    boolean("IsDeviceLocatorServiceEnabled", on="iOS 7.0, macOS no, tvOS no"),
    boolean("IsActivationLockEnabled", on="iOS 7.0, macOS 10.15, tvOS no, visionOS no", ue="iOS forbidden, macOS forbidden"),
    boolean("IsActivationLockSupported", on="iOS no, macOS 10.15, tvOS no, visionOS no, watchOS no", ue="macOS forbidden"),
    boolean("IsDoNotDisturbInEffect", on="iOS 7.0, macOS no, tvOS no", ue="iOS forbidden, visionOS forbidden"),
    boolean("SupportsLOMDevice", on="iOS no, macOS 11.0, tvOS no, visionOS no, watchOS no"),
    text("DeviceID", on="iOS no, macOS no, tvOS 9.0, visionOS no, watchOS no"),
    text("EASDeviceIdentifier", on="iOS 7.0, macOS no, tvOS no, watchOS no"),
    boolean("IsCloudBackupEnabled", on="iOS 7.1, macOS no, tvOS no, watchOS no", ue="iOS forbidden, visionOS forbidden"),
    texts("ActiveManagedUsers", on="iOS no, macOS 10.11, tvOS no, visionOS no, watchOS no"),
    dictionary(
        "OSUpdateSettings",
        (
            text("CatalogURL"),
            boolean("IsDefaultCatalog"),
            date("PreviousScanDate"),
            text("PreviousScanResult"),
            boolean("PerformPeriodicCheck"),
            boolean("AutoCheckEnabled"),
            boolean("BackgroundDownloadEnabled"),
            boolean("AutomaticAppInstallationEnabled"),
            boolean("AutomaticOSInstallationEnabled"),
            boolean("AutomaticSecurityUpdatesEnabled"),
        ),
        on="iOS no, macOS 10.11, tvOS no, visionOS no, watchOS no",
        ue="macOS forbidden",
    ),
    text("LocalHostName", on="iOS no, macOS 10.11, tvOS no, visionOS no, watchOS no"),
    text("HostName", on="iOS no, macOS 10.11, tvOS no, visionOS no, watchOS no"),
    array(
        "AutoSetupAdminAccounts",
        dictionary(
            "",
            (
                text("GUID"),
                text("shortName"),
            ),
        ),
        on="iOS no, macOS 10.11, tvOS no, visionOS no, watchOS no",
        ue="macOS forbidden",
    ),
    boolean("SystemIntegrityProtectionEnabled", on="iOS no, macOS 10.12, tvOS no, visionOS no, watchOS no"),
    boolean("IsMDMLostModeEnabled", on="iOS 9.3, macOS no, tvOS no, visionOS no", ue="iOS forbidden"),
    integer(
        "MaximumResidentUsers", on="iOS 9.3, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"
    ),
    integer(
        "EstimatedResidentUsers", on="iOS 14.0, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"
    ),
    integer("QuotaSize", on="iOS 13.4, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"),
    integer("ResidentUsers", on="iOS 13.4, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"),
    integer(
        "UserSessionTimeout", on="iOS 14.5, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"
    ),
    integer(
        "TemporarySessionTimeout", on="iOS 14.5, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"
    ),
    boolean(
        "TemporarySessionOnly", on="iOS 14.5, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden", supervised="iOS"
    ),
    texts(
        "ManagedAppleIDDefaultDomains",
        on="iOS 16.0, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
        supervised="iOS",
    ),
    integer(
        "OnlineAuthenticationGracePeriod",
        on="iOS 16.0, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
        supervised="iOS",
    ),
    boolean(
        "SkipLanguageAndLocaleSetupForNewUsers",
        on="iOS 16.2, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
        supervised="iOS",
    ),
    data("PushToken", on="iOS 9.3, macOS 10.12, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    boolean("DiagnosticSubmissionEnabled", on="iOS 9.3, macOS no, tvOS no"),
    boolean("AppAnalyticsEnabled", on="iOS 9.3, macOS no, tvOS no"),
    text("TimeZone", on="iOS 14.0, macOS no, tvOS 14.0, visionOS 2.0"),
    text("ICCID", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("BluetoothMAC", on="watchOS no", ue="iOS forbidden, macOS forbidden, visionOS forbidden"),
    text("WiFiMAC", ue="iOS forbidden, macOS forbidden, visionOS forbidden"),
    text("EthernetMAC", on="iOS no, tvOS no, visionOS no, watchOS no", ue="macOS forbidden"),
    text("CurrentCarrierNetwork", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("SIMCarrierNetwork", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("SubscriberCarrierNetwork", on="iOS 5.0, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("CarrierSettingsVersion", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("PhoneNumber", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    boolean("DataRoamingEnabled", on="iOS 5.0, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    boolean("VoiceRoamingEnabled", on="iOS 5.0, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    boolean("PersonalHotspotEnabled", on="iOS 7.0, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    boolean("IsNetworkTethered", on="iOS 10.3, macOS no, tvOS no, visionOS no, watchOS no"),
    boolean("IsRoaming", on="iOS 4.2, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("SubscriberMCC", on="iOS 4.2.6, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("SubscriberMNC", on="iOS 4.2.6, macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("CurrentMCC", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    text("CurrentMNC", on="macOS no, tvOS no, visionOS no, watchOS no", ue="iOS forbidden"),
    array(
        "ServiceSubscriptions",
        dictionary(
            "",
            (
                text("CarrierSettingsVersion"),
                text("CurrentCarrierNetwork"),
                text("CurrentMCC"),
                text("CurrentMNC"),
                text("ICCID"),
                text("EID"),
                text("IMEI"),
                boolean("IsDataPreferred"),
                boolean("IsRoaming"),
                boolean("IsVoicePreferred"),
                text("Label"),
                text("LabelID"),
                text("MEID"),
                text("PhoneNumber"),
                text("Slot"),
                text("SubscriberCarrierNetwork"),
            ),
        ),
        on="iOS 12.0, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    boolean("PINRequiredForEraseDevice", on="iOS no, macOS 11.0, tvOS no, visionOS no, watchOS no", ue="macOS forbidden"),
    boolean("PINRequiredForDeviceLock", on="iOS no, macOS 11.0, tvOS no, visionOS no, watchOS no", ue="macOS forbidden"),
    boolean("SupportsiOSAppInstalls", on="iOS no, macOS 11.0, tvOS no, visionOS no, watchOS no"),
    text(
        "SoftwareUpdateDeviceID",
        on="iOS 15.0, macOS 12.0, tvOS no, watchOS no",
        ue="iOS forbidden, macOS forbidden, visionOS forbidden",
    ),
    dictionary(
        "SoftwareUpdateSettings",
        (integer("RecommendationsCadence"),),
        on="iOS 14.5, macOS no, tvOS no, visionOS no, watchOS no",
        ue="iOS forbidden",
    ),
    dictionary(
        "AccessibilitySettings",
        (
            boolean("BoldTextEnabled"),
            boolean("IncreaseContrastEnabled"),
            boolean("ReduceMotionEnabled"),
            boolean("ReduceTransparencyEnabled"),
            integer("TextSize", one_of=(-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
            boolean("TouchAccommodationsEnabled"),
            boolean("VoiceOverEnabled"),
            boolean("ZoomEnabled"),
            boolean("GrayscaleEnabled"),
        ),
        on="iOS 16.0, macOS no, tvOS no, visionOS no",
        ue="iOS forbidden",
        supervised="iOS, watchOS",
    ),
    array("DevicePropertiesAttestation", data(), on="iOS 16.0, macOS 14.0, tvOS 16.0"),
    text("EACSPreflight", on="iOS no, macOS 13.3, tvOS no, visionOS no, watchOS no", ue="macOS forbidden"),
)
"""What can be asked for, each with what the answer has under its name."""


def _nonce_is_for_an_attestation(command: Body) -> Iterator[Finding]:
    nonce = command.get("DeviceAttestationNonce")
    if nonce is None:
        return
    if len(nonce) > _LONGEST_NONCE:
        words = f"Expected at most {_LONGEST_NONCE} octets; {len(nonce)} came."
        yield error("DeviceAttestationNonce", Rule.COUNT, words)
    if _ATTESTATION not in command["Queries"]:
        words = f"Expected {_ATTESTATION} among the Queries with it; it is not."
        yield error("DeviceAttestationNonce", Rule.NEEDS, words)


DEVICE_INFORMATION: Final = request_type(
    "DeviceInformation",
    "Asks the device for properties by name. It leaves out those that it does not know.",
    AccessRight.QUERY_DEVICE,
    on="iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.1, watchOS 10.0",
    keys=(
        array("Queries", text(known=MappingProxyType({each.name: each for each in PROPERTIES})), required=True, fewest=1),
        data("DeviceAttestationNonce", on="iOS 16.0, macOS 14.0, tvOS 16.0"),
    ),
    answer=(dictionary("QueryResponses", (*PROPERTIES, text("SIMMCC"), text("SIMMNC")), required=True),),
    checks=(_nonce_is_for_an_attestation,),
    user_channel="iOS, macOS",
)
