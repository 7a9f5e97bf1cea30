"""The push certificate, from a key to what Apple issues: the request, the vendor's signature, and the checks on what comes back.

Three ways lead there: a vendor certificate of one's own, what a Mac's Profile Manager made, and mdmcert.download. All of it
is pure but `fetch_cas` and `submit`, which ask the web.
"""

from __future__ import annotations

from bramley.apple.push_certificate.apple_cas import APPLE_ROOTS, CA_PAGE, build_chain, check_chain, read_cas
from bramley.apple.push_certificate.checks import PushCertificate, check
from bramley.apple.push_certificate.download import Places, fetch_cas
from bramley.apple.push_certificate.errors import (
    BadApplicant,
    BadChain,
    BadReply,
    BadRequestFile,
    BadVendor,
    Expired,
    IsAuthority,
    IsVendorCertificate,
    KeyMismatch,
    KeyNotRSA,
    KeyWeak,
    MdmcertRefused,
    MissingIssuer,
    NotAVendorCertificate,
    NotYetValid,
    PushCertificateError,
    ReplyForAnother,
    RequestRefused,
    UnfitPushCertificate,
    VendorExpired,
    VendorKeyMismatch,
    VendorKeyNotRSA,
    VendorKeyWeak,
    VendorNotYetValid,
    WrongTopic,
    WrongUsage,
)
from bramley.apple.push_certificate.mdmcert import SERVICE_URL, decrypt, encryption_certificate, sign_request_body, submit
from bramley.apple.push_certificate.request_file import SignedRequest, read_request
from bramley.apple.push_certificate.requests import customer_request, sign_request, verify_request
from bramley.apple.push_certificate.vendor import VENDOR_EXTENSION, VendorIdentity, is_vendor, vendor_identity

__all__ = [
    "APPLE_ROOTS",
    "CA_PAGE",
    "SERVICE_URL",
    "VENDOR_EXTENSION",
    "BadApplicant",
    "BadChain",
    "BadReply",
    "BadRequestFile",
    "BadVendor",
    "Expired",
    "IsAuthority",
    "IsVendorCertificate",
    "KeyMismatch",
    "KeyNotRSA",
    "KeyWeak",
    "MdmcertRefused",
    "MissingIssuer",
    "NotAVendorCertificate",
    "NotYetValid",
    "Places",
    "PushCertificate",
    "PushCertificateError",
    "ReplyForAnother",
    "RequestRefused",
    "SignedRequest",
    "UnfitPushCertificate",
    "VendorExpired",
    "VendorIdentity",
    "VendorKeyMismatch",
    "VendorKeyNotRSA",
    "VendorKeyWeak",
    "VendorNotYetValid",
    "WrongTopic",
    "WrongUsage",
    "build_chain",
    "check",
    "check_chain",
    "customer_request",
    "decrypt",
    "encryption_certificate",
    "fetch_cas",
    "is_vendor",
    "read_cas",
    "read_request",
    "sign_request",
    "sign_request_body",
    "submit",
    "vendor_identity",
    "verify_request",
]
