"""What Apple's push certificates portal checks of a file before it issues anything.

Apple, "Setting Up Push Notifications for Your MDM Customers": base64 of an XML property list with three strings; the customer's
request in DER; the vendor's signature over it, RSA with SHA-256; the vendor's chain "including the root", in order, in PEM lines
of 64 characters. Written apart from the program that makes such files: that is what makes it a check.
"""

from __future__ import annotations

import base64
import binascii
import plistlib
import re
from collections.abc import Callable
from datetime import datetime
from typing import Final
from xml.parsers.expat import ExpatError

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bramley.pki import certificates
from bramley.pki.errors import BadCertificate
from bramley.sandbox.apple_ca import VENDOR_EXTENSION, SandboxAppleCA
from bramley.sandbox.portals.errors import SIGNATURE_INVALID, PortalRefused, UploadRefused
from bramley.sandbox.portals.vendors import SMALLEST_RSA, read_csr

LARGEST: Final = 256 * 1024

_KEYS: Final = ("PushCertRequestCSR", "PushCertCertificateChain", "PushCertSignature")
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/=]{64}\n)*[A-Za-z0-9+/=]{1,64}\n)-----END CERTIFICATE-----(?:\n|\Z)"
)
_BROKEN_PLIST: Final = (ExpatError, ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError)

IsRevoked = Callable[[x509.Certificate], bool]


def verify(file: bytes, ca: SandboxAppleCA, *, now: datetime, is_revoked: IsRevoked) -> rsa.RSAPublicKey:
    """The customer's public key, once everything about the file is right. Raises UploadRefused."""
    csr_text, chain_text, signature_text = _read(file)
    csr, signature = _base64(csr_text, "certificate signing request"), _base64(signature_text, "signature")
    vendor_key = _vendor_key(_chain(chain_text), ca, now, is_revoked)
    try:
        vendor_key.verify(signature, csr, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise UploadRefused("The certificate signing request's signature is invalid.", code=SIGNATURE_INVALID) from None
    if not csr.startswith(b"\x30"):
        raise UploadRefused("The certificate signing request is not in DER.")
    try:
        return read_csr(csr)[1]
    except PortalRefused as error:
        raise UploadRefused(error.message) from None


def _read(file: bytes) -> tuple[str, str, str]:
    if len(file) > LARGEST:
        raise UploadRefused("The file is too large.")
    xml = _base64(file, "file")
    try:
        content = plistlib.loads(xml, fmt=plistlib.FMT_XML)
    except _BROKEN_PLIST:
        content = None
    if not isinstance(content, dict):
        raise UploadRefused("The file is not an XML property list in base64.")
    values: list[str] = []
    for key in _KEYS:
        value = content.get(key)
        if not isinstance(value, str):
            raise UploadRefused(f"The property list lacks {key}, or it is not a string.")
        values.append(value)
    return values[0], values[1], values[2]


def _base64(text: str | bytes, what: str) -> bytes:
    """The octets, from base64 on one line or wrapped."""
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        return base64.b64decode(raw.replace(b"\r", b"").replace(b"\n", b""), validate=True)
    except (binascii.Error, ValueError):
        raise UploadRefused(f"The {what} is not in base64.") from None


def _chain(text: str) -> list[x509.Certificate]:
    found: list[x509.Certificate] = []
    at = 0
    while at < len(text):
        match = _PEM.match(text, at)
        if match is None:
            raise UploadRefused(
                "The certificate chain is not a row of PEM certificates whose lines, but for the last, have 64 characters."
            )
        try:
            found.append(certificates.load(_base64(match[1], "certificate chain")))
        except BadCertificate:
            raise UploadRefused("The certificate chain holds something that is no certificate.") from None
        at = match.end()
    return found


def _vendor_key(chain: list[x509.Certificate], ca: SandboxAppleCA, now: datetime, is_revoked: IsRevoked) -> rsa.RSAPublicKey:
    """The key that may sign requests: that of a vendor certificate in force, under Apple's own chain."""
    if len(chain) != 3:
        raise UploadRefused("The certificate chain is not complete: vendor certificate, intermediate, root.")
    vendor, intermediate, root = chain
    if root != ca.root or intermediate not in [issuer.certificate for issuer in ca.wwdr.values()]:
        raise UploadRefused("The certificate chain does not lead to Apple's root, in order.")
    try:
        vendor.verify_directly_issued_by(intermediate)
    except (InvalidSignature, ValueError, TypeError):
        raise UploadRefused("The signing certificate was not issued by the intermediate after it.") from None
    key = vendor.public_key()
    if not any(each.oid == VENDOR_EXTENSION for each in certificates.extensions(vendor)):
        raise UploadRefused("The signing certificate is not an MDM vendor certificate.")
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SMALLEST_RSA:
        raise UploadRefused("The signing certificate is not for an RSA key of 2048 bits or more.")
    if now < vendor.not_valid_before_utc:
        raise UploadRefused("The signing certificate is not valid yet.")
    if now > vendor.not_valid_after_utc:
        raise UploadRefused("The signing certificate is expired.")
    if is_revoked(vendor):
        raise UploadRefused("The signing certificate is revoked.")
    return key
