"""Locking, erasing, restarting, and keys to what is locked (Apple, "DeviceLock", "EraseDevice" and others)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bramley.mdm.commands.finding import Finding, Rule, error
from bramley.mdm.commands.table.keys import AccessRight, Body, Fill, Key, boolean, data, dictionary, request_type, text, texts


def _pin(on: str) -> Key:
    """What a Mac asks for after it was locked or erased: whoever loses it cannot use the Mac."""
    return text("PIN", secret=True, fill=Fill.PIN, form=r"[0-9]{6}", form_words="six digits", on=on)


def _something_to_show(command: Body) -> Iterator[Finding]:
    if not command.get("Message") and not command.get("PhoneNumber"):
        yield error("Message", Rule.NEEDS, "Expected a Message or a PhoneNumber; there is neither.")


def _paths_are_for_a_rebuild(command: Body) -> Iterator[Finding]:
    if command.get("KextPaths") and not command.get("RebuildKernelCache"):
        yield error("KextPaths", Rule.NEEDS, "Expected RebuildKernelCache to be true with it; it is not.")


def _opens_with_what_it_has(command: Body) -> Iterator[Finding]:
    unlock, institutional = command["FileVaultUnlock"], command["KeyType"] == "institutional"
    exported = "PrivateKeyExport" in unlock and "PrivateKeyExportPassword" in unlock
    if institutional and "NewCertificate" not in command:
        yield error("NewCertificate", Rule.NEEDS, "Expected a NewCertificate with the KeyType institutional; there is none.")
    if not exported and "Password" not in unlock:
        words = "Expected a Password, or a PrivateKeyExport with its PrivateKeyExportPassword; there is neither."
        yield error("FileVaultUnlock", Rule.NEEDS, words)


LOCK: Final = request_type(
    "DeviceLock",
    "Locks the screen at once. A Mac restarts, and asks for the PIN.",
    AccessRight.LOCK,
    on="iOS 4.0, macOS 10.7, visionOS 2.0, watchOS 10.0",
    keys=(
        text("Message", on="iOS 7.0, macOS 10.14, visionOS no"),
        text("PhoneNumber", on="iOS 7.0, macOS 11.5, visionOS no"),
        _pin("iOS no, macOS 10.8, visionOS no, watchOS no"),
    ),
    answer=(text("MessageResult"),),
    ue="macOS forbidden",
    destroys="locks the device",
    in_quarantine=True,
)

ERASE: Final = request_type(
    "EraseDevice",
    "Erases the device. Some Macs ask for the PIN after that.",
    AccessRight.ERASE,
    on="iOS 4.0, macOS 10.7, tvOS 10.2, visionOS 1.1, watchOS 10.0",
    keys=(
        boolean("PreserveDataPlan", default=False, on="iOS 11.0, macOS no, tvOS no, visionOS no"),
        boolean("DisallowProximitySetup", default=False, on="iOS 11.3, macOS no, tvOS no, visionOS no, watchOS no"),
        _pin("iOS no, macOS 10.8, tvOS no, visionOS no, watchOS no"),
        text(
            "ObliterationBehavior",
            one_of=("Default", "DoNotObliterate", "ObliterateWithWarning", "Always"),
            on="iOS no, macOS 12.0, tvOS no, visionOS no, watchOS no",
        ),
        dictionary(
            "ReturnToService",
            (boolean("Enabled", required=True), data("WiFiProfileData", secret=True), data("MDMProfileData", secret=True)),
            on="iOS 17.0, macOS no, tvOS 18.0, visionOS no, watchOS no",
        ),
    ),
    ue="iOS forbidden, macOS forbidden, visionOS forbidden",
    destroys="erases everything on the device",
    in_quarantine=True,
)

ACTIONS: Final = (
    LOCK,
    ERASE,
    request_type(
        "EnableLostMode",
        "Locks a supervised device with a message, and lets it be located.",
        AccessRight.NONE,
        on="iOS 9.3",
        keys=(text("Message"), text("PhoneNumber"), text("Footnote")),
        checks=(_something_to_show,),
        supervised="iOS",
        ue="iOS forbidden",
        in_quarantine=True,
    ),
    request_type(
        "ClearPasscode",
        "Takes the passcode away; the user is asked for a new one where a profile demands it.",
        AccessRight.LOCK,
        on="iOS 4.0, visionOS 1.1, watchOS 10.0",
        keys=(data("UnlockToken", required=True, secret=True, fill=Fill.UNLOCK_TOKEN),),
        ue="iOS forbidden, visionOS forbidden",
    ),
    request_type(
        "RestartDevice",
        "Restarts the device at once.",
        AccessRight.LOCK,
        on="iOS 10.3, macOS 10.13, tvOS 10.2",
        keys=(
            boolean("RebuildKernelCache", default=False, on="iOS no, macOS 11.0, tvOS no"),
            texts("KextPaths", on="iOS no, macOS 11.0, tvOS no"),
            boolean("NotifyUser", default=False, on="iOS no, macOS 11.4, tvOS no"),
        ),
        checks=(_paths_are_for_a_rebuild,),
        supervised="iOS, tvOS",
        ue="iOS forbidden, macOS forbidden",
    ),
    request_type(
        "ShutDownDevice",
        "Switches the device off at once.",
        AccessRight.LOCK,
        on="iOS 10.3, macOS 10.13",
        supervised="iOS",
        ue="iOS forbidden, macOS forbidden",
    ),
    request_type(
        "RotateFileVaultKey",
        "Makes a new recovery key for a Mac's disk. A personal one: by `bramley escrow rotate`, which keeps the new key.",
        AccessRight.LOCK,
        on="macOS 10.9",
        keys=(
            text("KeyType", required=True, one_of=("personal", "institutional")),
            dictionary(
                "FileVaultUnlock",
                (
                    text("Password", secret=True),
                    data("PrivateKeyExport", secret=True),
                    text("PrivateKeyExportPassword", secret=True),
                ),
                required=True,
            ),
            data("NewCertificate"),
            data("ReplyEncryptionCertificate"),
        ),
        answer=(dictionary("RotateResult", (data("EncryptedNewRecoveryKey"),)),),
        checks=(_opens_with_what_it_has,),
        ue="macOS forbidden",
    ),
)
