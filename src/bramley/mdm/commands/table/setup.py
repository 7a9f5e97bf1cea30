"""Setup Assistant (Apple, "DeviceConfigured" and "AccountConfiguration"): a device that waits for its MDM server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bramley.mdm.commands.finding import Finding, Rule, error
from bramley.mdm.commands.passwords import is_password_hash
from bramley.mdm.commands.table.keys import AccessRight, Body, array, boolean, data, dictionary, request_type, text

_NEED_AN_ADMINISTRATOR: Final = ("SkipPrimarySetupAccountCreation", "SetPrimarySetupAccountAsRegularUser")


def _somebody_can_log_in(command: Body) -> Iterator[Finding]:
    accounts = command.get("AutoSetupAdminAccounts")
    for name in _NEED_AN_ADMINISTRATOR:
        if command.get(name) and not accounts:
            words = f"Expected an account in it with {name}; there is none, and nobody could manage the Mac."
            yield error("AutoSetupAdminAccounts", Rule.NEEDS, words)
    for at, account in enumerate(accounts or ()):
        if "passwordHash" in account and not is_password_hash(account["passwordHash"]):
            words = "Expected a property list with a SALTED-SHA512-PBKDF2 hash; something else came."
            yield error(f"AutoSetupAdminAccounts[{at}].passwordHash", Rule.PASSWORD_HASH, words)


SETUP: Final = (
    request_type(
        "DeviceConfigured",
        "Lets a device that waits in Setup Assistant go on.",
        AccessRight.NONE,
        on="iOS 9.0, macOS 10.11, tvOS 10.2, visionOS 2.0",
        supervised="iOS, tvOS, visionOS",
        ade="iOS, macOS, visionOS",
        ue="iOS forbidden, macOS forbidden, visionOS forbidden",
    ),
    request_type(
        "AccountConfiguration",
        "Makes an administrator's account on a Mac that waits in Setup Assistant, and says how the user's is made.",
        AccessRight.NONE,
        on="macOS 10.11",
        keys=(
            boolean("SkipPrimarySetupAccountCreation", default=False),
            boolean("SetPrimarySetupAccountAsRegularUser", default=False),
            text("PrimaryAccountFullName", on="macOS 10.15"),
            text("PrimaryAccountUserName", on="macOS 10.15"),
            boolean("DontAutoPopulatePrimaryAccountInfo", default=False, on="macOS 10.15"),
            boolean("LockPrimaryAccountInfo", default=False, on="macOS 10.15"),
            array(
                "AutoSetupAdminAccounts",
                dictionary(
                    "",
                    (
                        text("shortName", required=True),
                        text("fullName"),
                        data("passwordHash", secret=True),
                        boolean("hidden", default=False),
                    ),
                ),
            ),
            text("ManagedLocalUserShortName", on="macOS 11.0"),
        ),
        checks=(_somebody_can_log_in,),
        ade="macOS",
        ue="macOS forbidden",
    ),
)
