"""Issuing: a profile, a key, names and a moment make a certificate (RFC 5280 section 4)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID

from bramley.pki import certificates, keys, names
from bramley.pki.ca.profiles import CertificateProfile
from bramley.pki.errors import BadCertificate, CannotIssue

_LARGEST_SERIAL: Final = (1 << 127) - 1
"""Sixteen octets with the high bit clear, so that DER needs no seventeenth (RFC 5280 4.1.2.2 allows twenty)."""

_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that can sign: its certificate, the private key to it, and the CAs above it, nearest first.

    Raises BadCertificate if the key is not the certificate's.
    """

    certificate: x509.Certificate
    key: keys.PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        if not certificates.matches(self.certificate, self.key.public_key()):
            raise BadCertificate(
                f"The private key given for the CA {names.text(self.certificate.subject)} belongs to another certificate.",
                advice="Load the key that was stored with this certificate.",
            )


@dataclass(frozen=True, slots=True)
class StatusURLs:
    """Where an issued certificate says that its status is told: in its issuer's CRL (RFC 5280 4.2.1.13) and by OCSP (4.2.2.1).

    `issuer` is where the issuer's own certificate is.
    """

    crl: str
    ocsp: str
    issuer: str


def self_signed(
    profile: CertificateProfile,
    key: keys.PrivateKey,
    subject: x509.Name,
    *,
    sans: Sequence[x509.GeneralName] = (),
    now: datetime,
    lifetime: timedelta | None = None,
) -> x509.Certificate:
    """A certificate that vouches for itself: a root CA, or a server certificate that clients pin.

    Raises CannotIssue and BadKey as `issue` does.
    """
    now = now.replace(microsecond=0)
    builder = _builder(profile, key.public_key(), subject, sans)
    begin, end = now - profile.backdate, now + _lifetime(profile, lifetime)
    builder = builder.issuer_name(subject).not_valid_before(begin).not_valid_after(end)
    return builder.sign(key, _digest(key))


def issue(
    authority: Authority,
    profile: CertificateProfile,
    public_key: keys.PublicKey,
    *,
    subject: x509.Name,
    sans: Sequence[x509.GeneralName] = (),
    now: datetime,
    lifetime: timedelta | None = None,
    status: StatusURLs | None = None,
) -> x509.Certificate:
    """A certificate for the key, by the profile, signed by the authority.

    The serial is random; validity starts `profile.backdate` before `now` and never leaves the issuer's own. With `status`
    it carries CRLDistributionPoints and AuthorityInfoAccess. Raises BadKey for a weak key, and CannotIssue if the
    authority is not a CA, is not valid at `now` or may not have CAs below it, or if names are missing that the profile or
    RFC 5280 demands.
    """
    now = now.replace(microsecond=0)
    issuer = authority.certificate
    _require_may_issue(issuer, profile, now)
    if subject == issuer.subject:
        raise CannotIssue(
            f"{names.text(subject)} is the CA's own name: a certificate for it would look self-issued (RFC 5280 6.1).",
            advice="Choose another subject.",
        )
    builder = _builder(profile, public_key, subject, sans)
    begin = max(now - profile.backdate, issuer.not_valid_before_utc)
    end = min(now + _lifetime(profile, lifetime), issuer.not_valid_after_utc)
    builder = builder.issuer_name(issuer.subject).not_valid_before(begin).not_valid_after(end)
    builder = builder.add_extension(authority_key_identifier(issuer), critical=False)
    for extension in _pointers(status) if status else ():
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(authority.key, _digest(authority.key))


def _builder(
    profile: CertificateProfile, public_key: keys.PublicKey, subject: x509.Name, sans: Sequence[x509.GeneralName]
) -> x509.CertificateBuilder:
    """Everything but the issuer and the dates."""
    keys.require_strong(public_key)
    _require_names(profile, subject, sans)
    usages = profile.key_usage - ({"key_encipherment"} if isinstance(public_key, ec.EllipticCurvePublicKey) else set())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(secrets.randbelow(_LARGEST_SERIAL) + 1)
        .add_extension(x509.BasicConstraints(profile.is_ca, profile.path_length), critical=True)
        .add_extension(x509.KeyUsage(**{usage: usage in usages for usage in _KEY_USAGES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if profile.extended_key_usage:
        usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(dotted) for dotted in profile.extended_key_usage])
        builder = builder.add_extension(usage, critical=False)
    if profile.no_revocation_check:
        builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
    if sans:
        # critical where nothing else names the subject (RFC 5280 4.2.1.6)
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=not subject.rdns)
    return builder


def _require_names(profile: CertificateProfile, subject: x509.Name, sans: Sequence[x509.GeneralName]) -> None:
    if profile.san_required and not sans:
        raise CannotIssue(
            f"A certificate of the profile {profile.name} needs a subject alternative name; none was given.",
            advice="Give the DNS names or addresses that clients use.",
        )
    if not subject.rdns and (profile.is_ca or not sans):
        raise CannotIssue(
            f"A certificate of the profile {profile.name} needs a subject: it is empty (RFC 5280 4.1.2.6).",
            advice="Give at least a common name.",
        )


def _require_may_issue(issuer: x509.Certificate, profile: CertificateProfile, now: datetime) -> None:
    shown = names.text(issuer.subject)
    begin, end = issuer.not_valid_before_utc, issuer.not_valid_after_utc
    if not begin <= now < end:
        raise CannotIssue(
            f"The CA {shown} is valid from {begin:%Y-%m-%d %H:%M:%SZ} to {end:%Y-%m-%d %H:%M:%SZ}; "
            f"it is {now:%Y-%m-%d %H:%M:%SZ}.",
            advice="Check this server's clock; if it is right, replace the CA.",
        )
    constraints = certificates.extension(issuer, x509.BasicConstraints)
    key_usage = certificates.extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca or (key_usage is not None and not key_usage.key_cert_sign):
        raise CannotIssue(f"{shown} is not a CA: its certificate lacks cA or keyCertSign.")
    room = constraints.path_length
    if profile.is_ca and room is not None and (profile.path_length is None or profile.path_length >= room):
        wanted = "any number of CAs" if profile.path_length is None else f"{profile.path_length} CAs"
        raise CannotIssue(
            f"The CA {shown} allows {room} CAs below itself; the profile {profile.name} is one that has {wanted} below.",
            advice="Issue it from a CA that stands higher.",
        )


def _lifetime(profile: CertificateProfile, wanted: timedelta | None) -> timedelta:
    if wanted is None:
        return profile.lifetime
    if not timedelta() < wanted <= profile.longest:
        raise CannotIssue(
            f"A certificate of the profile {profile.name} lives up to {profile.longest.days} days; {wanted} was asked for.",
            advice="Choose a shorter lifetime.",
        )
    return wanted


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """What the issuer calls its own key (RFC 5280 4.2.1.1), or method 1 over it where it has no name for it."""
    identifier = certificates.extension(issuer, x509.SubjectKeyIdentifier)
    if identifier is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(certificates.public_key(issuer))
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _pointers(status: StatusURLs) -> tuple[x509.CRLDistributionPoints, x509.AuthorityInformationAccess]:
    def at(url: str) -> x509.UniformResourceIdentifier:
        return x509.UniformResourceIdentifier(url)

    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, at(status.ocsp)),
            x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, at(status.issuer)),
        ]
    )
    return x509.CRLDistributionPoints([x509.DistributionPoint([at(status.crl)], None, None, None)]), access


def _digest(key: keys.PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    """The hash that is as strong as the signing key: SHA-384 on P-384, SHA-256 otherwise."""
    on_p384 = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1)
    return hashes.SHA384() if on_p384 else hashes.SHA256()
