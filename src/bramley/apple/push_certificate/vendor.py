"""The MDM vendor's identity: the certificate that Apple lets sign other people's requests, with its key.

Apple, "Setting up push notifications for your MDM customers". Apple knows such a certificate by the object identifier
1.2.840.113635.100.4.12. It stands in the arc of Apple's extended key usages, so it is looked for in both places: as an
extension of its own and among the usages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.apple.push_certificate.errors import (
    BadVendor,
    NotAVendorCertificate,
    VendorExpired,
    VendorKeyMismatch,
    VendorKeyNotRSA,
    VendorKeyWeak,
    VendorNotYetValid,
)
from bramley.pki import certificates, keys, names
from bramley.pki.errors import BadCertificate, BadKey

VENDOR_EXTENSION: Final = x509.ObjectIdentifier("1.2.840.113635.100.4.12")
"""Apple's mark of a certificate that may sign push certificate requests."""

_GET_ONE: Final = "Give the MDM CSR certificate of the developer portal (Certificates, +, MDM CSR)."


@dataclass(frozen=True, slots=True)
class VendorIdentity:
    """Made only by `vendor_identity`: a vendor certificate in force and the key that belongs to it."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)


def is_vendor(certificate: x509.Certificate) -> bool:
    """Whether the certificate bears Apple's mark of an MDM vendor. Raises BadCertificate if its extensions cannot be read."""
    found = certificates.extensions(certificate)
    if any(each.oid == VENDOR_EXTENSION for each in found):
        return True
    usages = certificates.extension(certificate, x509.ExtendedKeyUsage)
    return usages is not None and VENDOR_EXTENSION in usages


def check_vendor(certificate: x509.Certificate, now: datetime) -> rsa.RSAPublicKey:
    """The key of a certificate that can sign requests at `now`; whether Apple issued it is for the chain to say.

    Raises BadVendor, a class of its own for each fault.
    """
    try:
        certificates.require_names(certificate)
        marked = is_vendor(certificate)
        constraints = certificates.extension(certificate, x509.BasicConstraints)
    except BadCertificate as error:
        raise BadVendor(error.message, advice=_GET_ONE) from None
    shown = names.text(certificate.subject)
    if not marked:
        raise NotAVendorCertificate(
            f"Expected an MDM vendor certificate, which bears {VENDOR_EXTENSION.dotted_string}; {shown} does not.",
            advice=_GET_ONE,
        )
    if constraints is not None and constraints.ca:
        raise NotAVendorCertificate(f"Expected an MDM vendor certificate; {shown} is a CA.", advice=_GET_ONE)
    public_key = _rsa_key(certificate, shown)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise VendorExpired(
            f"The vendor certificate {shown} expired on {end:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d}.",
            advice="Have the developer portal issue a new one: Apple refuses what an expired certificate signs.",
        )
    if now < begin:
        raise VendorNotYetValid(
            f"The vendor certificate {shown} is valid from {begin:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M} UTC.",
            advice="Check this machine's clock.",
        )
    return public_key


def vendor_identity(certificate: x509.Certificate, key: keys.PrivateKey, now: datetime) -> VendorIdentity:
    """The pair, once it is known to be able to sign requests at `now`. Raises BadVendor as `check_vendor` does.

    VendorKeyMismatch where the key is another certificate's.
    """
    check_vendor(certificate, now)
    if not isinstance(key, rsa.RSAPrivateKey) or not certificates.matches(certificate, key.public_key()):
        raise VendorKeyMismatch(
            f"The private key does not belong to the vendor certificate {names.text(certificate.subject)}.",
            advice="Give the key that the request for the developer portal was made with.",
        )
    return VendorIdentity(certificate, key)


def _rsa_key(certificate: x509.Certificate, shown: str) -> rsa.RSAPublicKey:
    try:
        public_key = certificates.public_key(certificate)
    except BadCertificate as error:
        raise VendorKeyNotRSA(error.message, advice=_GET_ONE) from None
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise VendorKeyNotRSA(
            f"A vendor certificate should be for an RSA key; {shown} is for {keys.describe(public_key)}.",
            advice="Make a new request with an RSA key for the developer portal: Apple takes RSA signatures only.",
        )
    try:
        keys.require_strong(public_key)
    except BadKey as error:
        raise VendorKeyWeak(
            f"The vendor certificate {shown} has a key that cannot be used. {error.message}",
            advice="Make a new request with an RSA key of 2048 bits or more for the developer portal.",
        ) from None
    return public_key
