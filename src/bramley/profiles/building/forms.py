"""The short names: of payload types, and of the keys of each, with what is implied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from bramley.profiles.building.takes import (
    Take,
    certificate_in_der,
    certificate_in_pem,
    content,
    flag,
    key_digest,
    number,
    reference,
    several,
    subject,
    switch,
    text,
)


@dataclass(frozen=True, slots=True)
class Field:
    """A key of a description: `path` is the payload's key that it becomes, inside others where there are points in it."""

    name: str
    path: str
    take: Take = text
    required: bool = False
    default: object = None


Implied = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From a payload as described, the keys that go with it, by path; those that are there already stay."""


@dataclass(frozen=True, slots=True)
class Form:
    """A payload type under its short name."""

    name: str
    payload_type: str
    fields: tuple[Field, ...]
    implied: Implied = lambda payload: {}


def _wifi(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    # an identity, or trust in a server, is of use with EAP alone
    return {"EAPClientConfiguration.AcceptEAPTypes": [13]} if payload.keys() & {"PayloadCertificateUUID", _EAP} else {}


def _ikev2(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    part = payload["IKEv2"] if isinstance(payload.get("IKEv2"), dict) else {}
    method = "Certificate" if "PayloadCertificateUUID" in part else "SharedSecret" if "SharedSecret" in part else "None"
    return {"VPNType": "IKEv2", "UserDefinedName": payload["PayloadDisplayName"], "IKEv2.AuthenticationMethod": method}


def _mail(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    signs, decrypts = (f"SMIME{use}CertificateUUID" in payload for use in ("Signing", "Encryption"))
    enabled = {"SMIMESigningEnabled": True} if signs else {}
    return enabled | ({"SMIMEEncryptionEnabled": True} if decrypts else {})


_EAP: Final = "EAPClientConfiguration"
_FILE_NAME: Final = Field("file_name", "PayloadCertificateFileName")
_PREFERENCE: Final = (Field("for", "Name", required=True), Field("certificate", "PayloadCertificateUUID", reference, True))


def _alternative_names(path: str) -> tuple[Field, ...]:
    return (
        Field("dns_name", f"{path}SubjectAltName.dNSName"),
        Field("email", f"{path}SubjectAltName.rfc822Name"),
        Field("uri", f"{path}SubjectAltName.uniformResourceIdentifier"),
        Field("principal_name", f"{path}SubjectAltName.ntPrincipalName"),
    )


_ALL: Final = (
    Form(
        "root-certificate",
        "com.apple.security.root",
        (Field("file", "PayloadContent", certificate_in_der, True), _FILE_NAME),
    ),
    Form("certificate", "com.apple.security.pkcs1", (Field("file", "PayloadContent", certificate_in_der, True), _FILE_NAME)),
    Form("certificate-pem", "com.apple.security.pem", (Field("file", "PayloadContent", certificate_in_pem, True), _FILE_NAME)),
    Form(
        "pkcs12",
        "com.apple.security.pkcs12",
        (
            Field("file", "PayloadContent", content, True),
            _FILE_NAME,
            Field("password", "Password"),
            Field("extractable", "KeyIsExtractable", flag, default=False),
            Field("all_apps", "AllowAllAppsAccess", flag),
        ),
    ),
    Form(
        "scep",
        "com.apple.security.scep",
        (
            Field("url", "PayloadContent.URL", required=True),
            Field("subject", "PayloadContent.Subject", subject, True),
            Field("challenge", "PayloadContent.Challenge"),
            Field("ca_name", "PayloadContent.Name"),
            Field("key_size", "PayloadContent.Keysize", number, default=2048),
            Field("key_usage", "PayloadContent.Key Usage", number, default=5),
            Field("retries", "PayloadContent.Retries", number),
            Field("retry_delay", "PayloadContent.RetryDelay", number),
            Field("extractable", "PayloadContent.KeyIsExtractable", flag, default=False),
            Field("all_apps", "PayloadContent.AllowAllAppsAccess", flag),
            *_alternative_names("PayloadContent."),
        ),
    ),
    Form(
        "acme",
        "com.apple.security.acme",
        (
            Field("directory_url", "DirectoryURL", required=True),
            Field("client_identifier", "ClientIdentifier", required=True),
            Field("subject", "Subject", subject, True),
            Field("key_type", "KeyType", default="ECSECPrimeRandom"),
            Field("key_size", "KeySize", number, default=384),
            Field("hardware_bound", "HardwareBound", flag, default=True),
            Field("attest", "Attest", flag),
            Field("usage", "UsageFlags", number),
            Field("extended_key_usage", "ExtendedKeyUsage", several(text)),
            Field("all_apps", "AllowAllAppsAccess", flag),
            *_alternative_names(""),
        ),
    ),
    Form("certificate-preference", "com.apple.security.certificatepreference", _PREFERENCE),
    Form("identity-preference", "com.apple.security.identitypreference", _PREFERENCE),
    Form(
        "certificate-transparency",
        "com.apple.security.certificatetransparency",
        (
            Field("certificates", "DisabledForCerts", several(key_digest)),
            Field("domains", "DisabledForDomains", several(text)),
        ),
    ),
    Form(
        "certificate-revocation",
        "com.apple.security.certificaterevocation",
        (Field("certificates", "EnabledForCerts", several(key_digest), True),),
    ),
    Form(
        "filevault-escrow",
        "com.apple.security.FDERecoveryKeyEscrow",
        (
            Field("location", "Location", required=True),
            Field("certificate", "EncryptCertPayloadUUID", reference, True),
            Field("device_key", "DeviceKey"),
        ),
    ),
    Form(
        "mdm",
        "com.apple.mdm",
        (
            Field("certificate", "IdentityCertificateUUID", reference, True),
            Field("topic", "Topic", required=True),
            Field("server_url", "ServerURL", required=True),
            Field("check_in_url", "CheckInURL"),
            Field("access_rights", "AccessRights", number, default=8191),
            Field("sign_message", "SignMessage", flag, default=True),
            Field("check_out_when_removed", "CheckOutWhenRemoved", flag, default=True),
            Field("capabilities", "ServerCapabilities", several(text)),
            Field("pins", "ServerURLPinningCertificateUUIDs", several(reference)),
            Field("check_in_pins", "CheckInURLPinningCertificateUUIDs", several(reference)),
        ),
    ),
    Form(
        "wifi",
        "com.apple.wifi.managed",
        (
            Field("ssid", "SSID_STR", required=True),
            Field("encryption", "EncryptionType"),
            Field("password", "Password"),
            Field("hidden", "HIDDEN_NETWORK", flag),
            Field("auto_join", "AutoJoin", flag),
            Field("certificate", "PayloadCertificateUUID", reference),
            Field("eap_types", f"{_EAP}.AcceptEAPTypes", several(number)),
            Field("anchors", f"{_EAP}.PayloadCertificateAnchorUUID", several(reference)),
            Field("server_names", f"{_EAP}.TLSTrustedServerNames", several(text)),
            Field("user_name", f"{_EAP}.UserName"),
            Field("outer_identity", f"{_EAP}.OuterIdentity"),
            Field("tls_minimum", f"{_EAP}.TLSMinimumVersion"),
            Field("tls_maximum", f"{_EAP}.TLSMaximumVersion"),
        ),
        _wifi,
    ),
    Form(
        "ikev2",
        "com.apple.vpn.managed",
        (
            Field("server", "IKEv2.RemoteAddress", required=True),
            Field("remote_id", "IKEv2.RemoteIdentifier", required=True),
            Field("local_id", "IKEv2.LocalIdentifier", required=True),
            Field("certificate", "IKEv2.PayloadCertificateUUID", reference),
            Field("certificate_type", "IKEv2.CertificateType"),
            Field("shared_secret", "IKEv2.SharedSecret"),
            Field("eap", "IKEv2.ExtendedAuthEnabled", switch),
            Field("server_issuer", "IKEv2.ServerCertificateIssuerCommonName"),
            Field("server_name", "IKEv2.ServerCertificateCommonName"),
            Field("pfs", "IKEv2.EnablePFS", switch),
            Field("check_revocation", "IKEv2.EnableCertificateRevocationCheck", switch),
        ),
        _ikev2,
    ),
    Form(
        "mail",
        "com.apple.mail.managed",
        (
            Field("address", "EmailAddress", required=True),
            Field("account_name", "EmailAccountName"),
            Field("account_description", "EmailAccountDescription"),
            Field("account_type", "EmailAccountType", default="EmailTypeIMAP"),
            Field("incoming_server", "IncomingMailServerHostName", required=True),
            Field("incoming_port", "IncomingMailServerPortNumber", number),
            Field("incoming_tls", "IncomingMailServerUseSSL", flag, default=True),
            Field("incoming_user", "IncomingMailServerUsername"),
            Field("incoming_authentication", "IncomingMailServerAuthentication", default="EmailAuthPassword"),
            Field("outgoing_server", "OutgoingMailServerHostName", required=True),
            Field("outgoing_port", "OutgoingMailServerPortNumber", number),
            Field("outgoing_tls", "OutgoingMailServerUseSSL", flag, default=True),
            Field("outgoing_user", "OutgoingMailServerUsername"),
            Field("outgoing_authentication", "OutgoingMailServerAuthentication", default="EmailAuthPassword"),
            Field("signing_certificate", "SMIMESigningCertificateUUID", reference),
            Field("encryption_certificate", "SMIMEEncryptionCertificateUUID", reference),
        ),
        _mail,
    ),
)

FORMS: Final[Mapping[str, Form]] = MappingProxyType({each.name: each for each in _ALL})
"""The table, by short name."""
