"""Whether a certificate can be the push certificate: every import asks here, whichever way it came.

What is judged needs no more than the certificate, its key and the moment. Whether its topic is the enrolled devices' is for
whoever knows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from bramley.apple.push import BadPushCertificate, topic_of
from bramley.apple.push_certificate.errors import (
    Expired,
    IsAuthority,
    IsVendorCertificate,
    KeyMismatch,
    KeyNotRSA,
    KeyWeak,
    NotYetValid,
    UnfitPushCertificate,
    WrongTopic,
    WrongUsage,
)
from bramley.apple.push_certificate.vendor import is_vendor
from bramley.pki import certificates, keys, names, oids
from bramley.pki.errors import BadCertificate, BadKey

ISSUER: Final = "Apple Inc."
"""The organization in the issuer of every push certificate that Apple made."""

_WANTED: Final = "Give the certificate that identity.apple.com/pushcert issued."
_RSA: Final = "Make a new RSA key and request, and renew the certificate at identity.apple.com/pushcert with it."


@dataclass(frozen=True, slots=True)
class PushCertificate:
    """Made only by `check`: a certificate fit to push for `topic`. `warnings` are sentences for whoever imports it."""

    certificate: x509.Certificate
    topic: str
    warnings: tuple[str, ...]


def check(certificate: x509.Certificate, key: keys.PrivateKey, now: datetime) -> PushCertificate:
    """The certificate, once it is known to be able to push with this key at `now`.

    Raises UnfitPushCertificate, a class of its own for each fault; what the certificate is comes before whose and until when.
    """
    try:
        certificates.require_names(certificate)
        _check_purpose(certificate)
        topic = _topic(certificate)
        _check_key(certificate, key)
        _check_usage(certificate)
    except BadCertificate as error:
        raise UnfitPushCertificate(error.message, advice=_WANTED) from None
    _check_dates(certificate, now)
    return PushCertificate(certificate, topic, _warnings(certificate))


def _check_purpose(certificate: x509.Certificate) -> None:
    shown = names.text(certificate.subject)
    if is_vendor(certificate):
        raise IsVendorCertificate(
            f"{shown} is the vendor certificate of the developer portal; you want the one from identity.apple.com.",
            advice="Sign a request with it, upload that at identity.apple.com/pushcert and give what comes of it.",
        )
    constraints = certificates.extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise IsAuthority(f"{shown} is the certificate of a CA, not a push certificate.", advice=_WANTED)


def _topic(certificate: x509.Certificate) -> str:
    try:
        return topic_of(certificate)
    except BadPushCertificate as error:
        raise WrongTopic(error.message, advice=error.advice) from None


def _check_key(certificate: x509.Certificate, key: keys.PrivateKey) -> None:
    try:
        public_key = certificates.public_key(certificate)
    except BadCertificate as error:
        raise KeyNotRSA(error.message, advice=_RSA) from None
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise KeyNotRSA(
            f"Expected a push certificate for an RSA key, as Apple issues them; it is for {keys.describe(public_key)}.",
            advice=_RSA,
        )
    try:
        keys.require_strong(public_key)
    except BadKey as error:
        raise KeyWeak(f"The key of this push certificate cannot be trusted. {error.message}", advice=_RSA) from None
    if not certificates.matches(certificate, key.public_key()):
        raise KeyMismatch(
            "The private key does not belong to this push certificate.",
            advice="Give the key that the request for identity.apple.com was made with.",
        )


def _check_usage(certificate: x509.Certificate) -> None:
    usages = certificates.extension(certificate, x509.ExtendedKeyUsage)
    named = [usage.dotted_string for usage in usages or ()]
    if oids.CLIENT_AUTH not in named:
        raise WrongUsage(
            f"Expected a push certificate for TLS clients, with the extended key usage {oids.CLIENT_AUTH}; "
            f"this one names {', '.join(named) or 'none'}.",
            advice=_WANTED,
        )


def _check_dates(certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > end:
        raise Expired(
            f"This push certificate expired on {end:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d}.",
            advice="Renew it (not: create a new one) at identity.apple.com/pushcert with the same Apple Account.",
        )
    if now < begin:
        raise NotYetValid(
            f"This push certificate is valid from {begin:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M} UTC.",
            advice="Check this machine's clock.",
        )


def _warnings(certificate: x509.Certificate) -> tuple[str, ...]:
    found = [str(each.value) for each in certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    if found == [ISSUER]:
        return ()
    return (f"Apple did not issue this certificate: its issuer is {names.text(certificate.issuer)}. APNs will refuse it.",)
