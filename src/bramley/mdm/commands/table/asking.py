"""Security and apps (Apple, "SecurityInfo" and "InstalledApplicationList"): what else a device is asked about."""

from __future__ import annotations

from typing import Final

from bramley.mdm.commands.table.keys import AccessRight, array, boolean, data, dictionary, integer, request_type, text, texts

_APP: Final = dictionary(
    "",
    (
        text("Identifier"),
        integer("ExternalVersionIdentifier"),
        text("DistributorIdentifier"),
        text("Version"),
        text("ShortVersion"),
        text("Name"),
        integer("BundleSize"),
        integer("DynamicSize"),
        boolean("IsValidated"),
        boolean("Installing"),
        boolean("AppStoreVendable"),
        boolean("DeviceBasedVPP"),
        boolean("BetaApp"),
        boolean("AdHocCodeSigned"),
        boolean("HasUpdateAvailable"),
        boolean("DownloadFailed"),
        boolean("DownloadWaiting"),
        boolean("DownloadPaused"),
        boolean("DownloadCancelled"),
        boolean("IsAppClip"),
        text("Source"),
    ),
)
_ITEMS: Final = (
    "AdHocCodeSigned",
    "AppStoreVendable",
    "BetaApp",
    "BundleSize",
    "DeviceBasedVPP",
    "DistributorIdentifier",
    "DynamicSize",
    "ExternalVersionIdentifier",
    "HasUpdateAvailable",
    "Identifier",
    "Installing",
    "IsAppClip",
    "IsValidated",
    "Name",
    "ShortVersion",
    "Version",
)
_FIREWALL: Final = dictionary(
    "FirewallSettings",
    (
        boolean("FirewallEnabled"),
        boolean("BlockAllIncoming"),
        boolean("StealthMode"),
        array("Applications", dictionary("", (boolean("Allowed"), text("BundleID"), text("Name")))),
        boolean("LoggingEnabled"),
        text("LoggingOption", one_of=("throttled", "brief", "detail")),
    ),
)
_SECURITY: Final = (
    integer("HardwareEncryptionCaps"),
    boolean("PasscodePresent"),
    boolean("PasscodeCompliant"),
    boolean("PasscodeCompliantWithProfiles"),
    integer("PasscodeLockGracePeriod"),
    integer("PasscodeLockGracePeriodEnforced"),
    integer("AutoLockTime"),
    boolean("FDE_Enabled"),
    boolean("FDE_HasPersonalRecoveryKey"),
    boolean("FDE_HasInstitutionalRecoveryKey"),
    data("FDE_PersonalRecoveryKeyCMS"),
    text("FDE_PersonalRecoveryKeyDeviceKey"),
    boolean("SystemIntegrityProtectionEnabled"),
    _FIREWALL,
    dictionary("FirmwarePasswordStatus", (boolean("PasswordExists"), boolean("ChangePending"), boolean("AllowOroms"))),
    dictionary(
        "ManagementStatus",
        (
            boolean("EnrolledViaDEP"),
            boolean("UserApprovedEnrollment"),
            boolean("IsUserEnrollment"),
            boolean("IsActivationLockManageable"),
        ),
    ),
    dictionary(
        "SecureBoot",
        (
            text("SecureBootLevel", one_of=("off", "medium", "full", "not supported")),
            text("ExternalBootLevel", one_of=("allowed", "disallowed", "not supported")),
            texts("ReducedSecurity"),
        ),
    ),
    boolean("RemoteDesktopEnabled"),
    boolean("AuthenticatedRootVolumeEnabled"),
    text("BootstrapTokenAllowedForAuthentication", one_of=("allowed", "disallowed", "not supported")),
    boolean("BootstrapTokenRequiredForSoftwareUpdate"),
    boolean("BootstrapTokenRequiredForKernelExtensionApproval"),
    boolean("IsRecoveryLockEnabled"),
)

QUERIES: Final = (
    request_type(
        "SecurityInfo",
        "Asks for the state of passcode, encryption, firewall, bootstrap token and management.",
        AccessRight.QUERY_SECURITY,
        on="iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.1, watchOS 10.0",
        answer=(dictionary("SecurityInfo", _SECURITY, required=True),),
        user_channel="macOS",
    ),
    request_type(
        "InstalledApplicationList",
        "Asks for the installed apps.",
        AccessRight.QUERY_APPS,
        on="iOS 5.0, macOS 10.7, tvOS 10.2, visionOS 1.1, watchOS 10.0",
        keys=(
            texts("Identifiers", on="iOS 7.0, macOS 10.15"),
            boolean("ManagedAppsOnly", default=False, on="iOS 7.0, macOS 10.15"),
            array("Items", text(one_of=_ITEMS), on="iOS 14.0, macOS no, tvOS 14.0"),
        ),
        answer=(array("InstalledApplicationList", _APP, required=True),),
        ue="macOS forbidden",
        user_channel="macOS",
    ),
)
