"""What a certificate or token is for."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The kinds of certificate, secret and token that an Apple MDM lives by; the values stand in the database and in JSON."""

    PUSH = "push"
    PUSH_VENDOR = "push-vendor"
    MDMCERT_ENCRYPTION = "mdmcert-encryption"
    ROOT_CA = "root-ca"
    IDENTITY_CA = "identity-ca"
    HTTPS_CA = "https-ca"
    SIGNER_CA = "signer-ca"
    SCEP_RA = "scep-ra"
    OCSP_RESPONDER = "ocsp-responder"
    DEVICE_IDENTITY = "device-identity"
    NETWORK_IDENTITY = "network-identity"
    PROFILE_SIGNER = "profile-signer"
    PROFILE_RECIPIENT = "profile-recipient"
    PACKAGE_SIGNER = "package-signer"
    HTTPS = "https"
    TRUST_ANCHOR = "trust-anchor"
    ADE_TOKEN_PKI = "ade-token-pki"  # noqa: S105 - a kind, not a secret
    ADE_TOKEN = "ade-token"  # noqa: S105 - a kind, not a secret
    ADE_SUPERVISION = "ade-supervision"
    APPS_AND_BOOKS_TOKEN = "apps-and-books-token"  # noqa: S105 - a kind, not a secret
    FILEVAULT_ESCROW = "filevault-escrow"
    ACME_ACCOUNT = "acme-account"
    APPLE_ROOT = "apple-root"


OF_DEVICES: Final = frozenset({Kind.DEVICE_IDENTITY, Kind.NETWORK_IDENTITY, Kind.PROFILE_RECIPIENT})
"""Certificates of devices, each of which has its own. The server replaces one as soon as the device takes part, and keeps the CA
above it for as long as it lives, since whoever checks it wants to know of it, by CRL and OCSP."""
