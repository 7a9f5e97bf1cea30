"""The payload that sets up a mail account, with identities for S/MIME (Apple, "Mail")."""

from __future__ import annotations

from typing import Final

from bramley.model.profiles import Scope
from bramley.profiles.rules import networks
from bramley.profiles.rules.keys import UUID, PayloadType, boolean, integer, names_identity, payload_type, text

_AUTHENTICATION: Final = ("EmailAuthNone", "EmailAuthPassword", "EmailAuthCRAMMD5", "EmailAuthNTLM", "EmailAuthHTTPMD5")

MAIL: Final[PayloadType] = payload_type(
    "com.apple.mail.managed",
    "Mail",
    "An account for IMAP or POP, and the identities that sign and decrypt its mail.",
    on="iOS 4.0, macOS 10.7, visionOS 1.1",
    scope=Scope.USER,
    keys=(
        text("EmailAccountDescription"),
        text("EmailAccountName"),
        text("EmailAccountType", required=True, one_of=("EmailTypeIMAP", "EmailTypePOP")),
        text("EmailAddress"),
        text("IncomingMailServerAuthentication", required=True, one_of=_AUTHENTICATION),
        text("IncomingMailServerHostName", required=True),
        integer("IncomingMailServerPortNumber"),
        boolean("IncomingMailServerUseSSL"),
        text("IncomingMailServerUsername"),
        text("IncomingPassword"),
        text("OutgoingPassword"),
        boolean("OutgoingPasswordSameAsIncomingPassword"),
        text("OutgoingMailServerAuthentication", required=True, one_of=_AUTHENTICATION),
        text("OutgoingMailServerHostName", required=True),
        integer("OutgoingMailServerPortNumber"),
        boolean("OutgoingMailServerUseSSL"),
        text("OutgoingMailServerUsername"),
        boolean("PreventMove", on="iOS 5.0, macOS no"),
        boolean("PreventAppSheet", on="iOS 5.0, macOS no"),
        boolean("SMIMEEnabled", on="iOS 5.0, macOS no"),
        boolean("SMIMESigningEnabled", on="iOS 10.0, macOS no"),
        names_identity("SMIMESigningCertificateUUID", **UUID, on="iOS 5.0, macOS no"),
        boolean("SMIMEEncryptionEnabled", on="iOS 10.0, macOS no"),
        names_identity("SMIMEEncryptionCertificateUUID", **UUID, on="iOS 5.0, macOS no"),
        boolean("SMIMEEnablePerMessageSwitch", on="iOS 8.0, macOS no, visionOS no"),
        boolean("disableMailRecentsSyncing", on="iOS 6.0"),
        boolean("allowMailDrop", on="iOS 9.2, macOS 10.12"),
        text("IncomingMailServerIMAPPathPrefix"),
        boolean("SMIMESigningUserOverrideable", on="iOS 12.0, macOS no"),
        boolean("SMIMESigningCertificateUUIDUserOverrideable", on="iOS 12.0, macOS no"),
        boolean("SMIMEEncryptByDefault", on="iOS 12.0, macOS no"),
        boolean("SMIMEEncryptByDefaultUserOverrideable", on="iOS 12.0, macOS no"),
        boolean("SMIMEEncryptionCertificateUUIDUserOverrideable", on="iOS 12.0, macOS no"),
        boolean("SMIMEEnableEncryptionPerMessageSwitch", on="iOS 12.0, macOS no"),
        text("VPNUUID", on="iOS 14.0, macOS no"),
    ),
    checks=(networks.mail,),
)
