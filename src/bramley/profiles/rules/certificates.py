"""The payloads that bring certificates, or say what a certificate is for."""

from __future__ import annotations

from typing import Final

from bramley.model.profiles import Scope
from bramley.profiles.rules import contents
from bramley.profiles.rules.keys import (
    CERTIFICATES,
    IDENTITIES,
    PayloadType,
    array,
    boolean,
    data,
    dictionary,
    names_identity,
    payload_type,
    text,
    texts,
)

_EVERYWHERE: Final = "iOS 4.0, macOS 10.7, tvOS 9.0, visionOS 1.0, watchOS 3.0"
_CERTIFICATE: Final = (text("PayloadCertificateFileName"), data("PayloadContent", required=True))
_HASHES: Final = dictionary("", (text("Algorithm", required=True, one_of=("sha256",)), data("Hash", required=True)))

CERTIFICATE_TYPES: Final[tuple[PayloadType, ...]] = (
    payload_type(
        "com.apple.security.root",
        "Root certificate",
        "A root CA certificate to trust, in DER.",
        on=_EVERYWHERE,
        keys=_CERTIFICATE,
        checks=(contents.certificate_in_der,),
    ),
    payload_type(
        "com.apple.security.pkcs1",
        "Certificate",
        "Another certificate, such as an intermediate CA, in DER.",
        on=_EVERYWHERE,
        keys=_CERTIFICATE,
        checks=(contents.certificate_in_der,),
    ),
    payload_type(
        "com.apple.security.pem",
        "Certificate in PEM",
        "A certificate as text.",
        on=_EVERYWHERE,
        keys=_CERTIFICATE,
        checks=(contents.certificate_in_pem,),
    ),
    payload_type(
        "com.apple.security.pkcs12",
        "Identity in PKCS#12",
        "A certificate with its private key. The password in a profile hides the key from nobody who has the profile.",
        on=_EVERYWHERE,
        keys=(
            *_CERTIFICATE,
            text("Password"),
            boolean("AllowAllAppsAccess", on="iOS no, macOS 10.10, tvOS no, visionOS no, watchOS no"),
            boolean("KeyIsExtractable", True, on="iOS no, macOS 10.15, tvOS no, visionOS no, watchOS no"),
        ),
        checks=(contents.archive,),
    ),
    payload_type(
        "com.apple.security.certificatepreference",
        "Certificate preference",
        "Which certificate a Mac prefers for a host, address or mail address.",
        on="macOS 10.12",
        scope=Scope.USER,
        keys=(
            text("Name", required=True),
            text("PayloadCertificateUUID", required=True, names=CERTIFICATES | IDENTITIES),
        ),
    ),
    payload_type(
        "com.apple.security.identitypreference",
        "Identity preference",
        "Which identity a Mac shows to a host, or uses for a mail address.",
        on="macOS 10.12",
        scope=Scope.USER,
        keys=(text("Name", required=True), names_identity("PayloadCertificateUUID", required=True)),
    ),
    payload_type(
        "com.apple.security.certificatetransparency",
        "Certificate Transparency",
        "Which certificates and domains need no proof of Certificate Transparency.",
        on="iOS 12.1.1, macOS 10.14.2, tvOS 12.1.1, visionOS 1.0, watchOS 5.1.1",
        scope=Scope.SYSTEM,
        keys=(array("DisabledForCerts", _HASHES), texts("DisabledForDomains")),
        checks=(contents.hashes,),
    ),
    payload_type(
        "com.apple.security.certificaterevocation",
        "Certificate revocation",
        "Under which CAs revocation is checked.",
        on="iOS 14.2, visionOS 1.1",
        keys=(array("EnabledForCerts", _HASHES),),
        checks=(contents.hashes,),
    ),
    payload_type(
        "com.apple.security.FDERecoveryKeyEscrow",
        "FileVault recovery key escrow",
        "To whose certificate a Mac encrypts its FileVault recovery key. The certificate comes in a payload of its own.",
        on="macOS 10.13",
        ue="macOS forbidden",
        scope=Scope.SYSTEM,
        keys=(
            text("Location", required=True),
            text("EncryptCertPayloadUUID", required=True, names=frozenset({"com.apple.security.pkcs1"})),
            text("DeviceKey"),
        ),
    ),
)
