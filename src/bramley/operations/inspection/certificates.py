"""Certificates: which of the kinds that an MDM lives by one is, by its own marks. Nobody vouches for these here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from bramley.apple.push.topic import PREFIX
from bramley.apple.push_certificate import APPLE_ROOTS, is_vendor
from bramley.model.kinds import Kind
from bramley.operations.inspection.finding import Finding, What, details, shown
from bramley.pki import certificates, keys, names
from bramley.pki.errors import BadCertificate, BadKey

_APPLE: Final = "Apple Inc."
_PUSH_SERVICES: Final = "1.2.840.113635.100.6.3."
_DEVELOPER_ID: Final = frozenset(ObjectIdentifier(f"1.2.840.113635.100.6.1.{number}") for number in (13, 14))
_MDMCERT: Final = "mdmcert.download"
_NAMES_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class _Role:
    """What a certificate is for: its kind where there is one, a name, a sentence and the command that takes it."""

    kind: Kind | None
    name: str
    purpose: str
    command: str = ""


_PUSH = _Role(
    Kind.PUSH,
    "MDM push certificate",
    "Lets an MDM server wake its devices through Apple's push service. Renew it under the same Apple Account, never create anew.",
    "bramley push import",
)
_APP_PUSH = _Role(None, "app push certificate", "Pushes to an app, not to devices under MDM: its topic is no MDM topic.")
_VENDOR = _Role(
    Kind.PUSH_VENDOR,
    "MDM vendor certificate",
    "Signs requests for push certificates; Apple issues it to holders of a Developer Enterprise account.",
    "bramley push vendor import",
)
_MDMCERT_ENCRYPTION = _Role(
    Kind.MDMCERT_ENCRYPTION,
    "encryption certificate of mdmcert.download",
    "mdmcert.download encrypts its answer to it: keep its key until the answer came.",
)
_APPLE_ROOT = _Role(
    Kind.APPLE_ROOT, "Apple root", "One of Apple's roots: push requests, vendor and push certificates chain to it."
)
_WWDR = _Role(
    None,
    "Apple WWDR intermediate",
    "By its name, the CA of Apple that issues vendor certificates: a push request carries it between vendor and root.",
)
_APPLE_CA = _Role(None, "Apple intermediate", "By its name, a CA of Apple.")
_FACTORY = _Role(
    None, "factory certificate of a device", "By its issuer's name, made at the factory: signs a device's first request."
)
_ROOT_CA = _Role(
    Kind.TRUST_ANCHOR, "root CA", "A private CA that vouches for itself: devices trust it once a profile installs it."
)
_INTERMEDIATE = _Role(None, "intermediate CA", "A CA below another: belongs into the chain of what it issued.")
_SIGNER = _Role(
    Kind.PACKAGE_SIGNER, "Developer ID certificate", "Signs packages or apps for Macs, and can sign profiles: devices trust it."
)
_HTTPS = _Role(Kind.HTTPS, "HTTPS server certificate", "Identifies a web server, such as an MDM server to its devices.")
_IDENTITY = _Role(
    Kind.DEVICE_IDENTITY, "client identity", "Identifies a device or client, as an MDM server's own CA issues it by SCEP or ACME."
)
_PROFILE_SIGNER = _Role(Kind.PROFILE_SIGNER, "signing certificate", "Signs mail, code or profiles.")
_SELF_SIGNED = _Role(
    None,
    "self-signed certificate",
    "Vouches for itself, as those for an ADE server token, FileVault escrow and mdmcert.download do; which, it cannot tell.",
)
_PLAIN = _Role(None, "certificate", "Names no use that an MDM has.")

Judge = Callable[["_Marks"], bool]


@dataclass(frozen=True, slots=True)
class _Marks:
    """What a certificate says of itself, as far as roles depend on it."""

    sha256: str
    topics: tuple[str, ...]
    common_name: str
    issuer_name: str
    organizations: tuple[str, ...]
    oids: frozenset[ObjectIdentifier]
    usages: frozenset[ObjectIdentifier]
    hosts: tuple[str, ...]
    is_ca: bool
    vendor: bool
    self_signed: bool


_ROLES: Final[tuple[tuple[_Role, Judge], ...]] = (
    (_VENDOR, lambda marks: marks.vendor),
    (_PUSH, lambda marks: len(marks.topics) == 1 and marks.topics[0].startswith(PREFIX) and not marks.is_ca),
    (_APP_PUSH, lambda marks: _pushes_to_apps(marks)),
    (_APPLE_ROOT, lambda marks: marks.sha256 in APPLE_ROOTS),
    (_WWDR, lambda marks: _apple_ca(marks) and "Worldwide Developer Relations" in marks.common_name),
    (_APPLE_CA, lambda marks: _apple_ca(marks) and not marks.self_signed),
    (_ROOT_CA, lambda marks: marks.is_ca and marks.self_signed),
    (_INTERMEDIATE, lambda marks: marks.is_ca),
    (_FACTORY, lambda marks: "Apple iPhone Device CA" in marks.issuer_name),
    (_MDMCERT_ENCRYPTION, lambda marks: marks.self_signed and marks.common_name == _MDMCERT),
    (_SIGNER, lambda marks: bool(marks.oids & _DEVELOPER_ID)),
    (_HTTPS, lambda marks: ExtendedKeyUsageOID.SERVER_AUTH in marks.usages or bool(marks.hosts and not marks.usages)),
    (_SELF_SIGNED, lambda marks: marks.self_signed),
    (_IDENTITY, lambda marks: ExtendedKeyUsageOID.CLIENT_AUTH in marks.usages),
    (
        _PROFILE_SIGNER,
        lambda marks: bool(marks.usages & {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CODE_SIGNING}),
    ),
)
"""The first that fits is the role."""


def of_certificate(der: bytes, now: datetime) -> Finding:
    """What a DER certificate is; unknown where it cannot be read."""
    try:
        certificate = certificates.load(der)
    except BadCertificate as error:
        return Finding(What.UNKNOWN, "It has the form of a certificate and cannot be read.", warnings=(error.message,))
    begin, end = _validity(certificate)
    warnings = [*_dates(begin, end, now), *_weaknesses(certificate)]
    marks = None
    try:
        marks = _marks(certificate)
        role = next((role for role, fits in _ROLES if fits(marks)), _PLAIN)
    except BadCertificate as error:
        role = _PLAIN
        warnings.append(error.message)
    if role is _PUSH and _APPLE not in _values(certificate.issuer, NameOID.ORGANIZATION_NAME):
        warnings.append(f"Its issuer is {names.text(certificate.issuer)}, not Apple: Apple's push service will not know it.")
    return Finding(
        What.CERTIFICATE,
        role.purpose,
        owner=_owner(certificate),
        not_before=begin,
        not_after=end,
        command=role.command,
        details=details(
            use=role.name,
            kind=role.kind,
            topic=", ".join(marks.topics) if marks and role in (_PUSH, _APP_PUSH) else None,
            subject=shown(names.text(certificate.subject)),
            issuer=shown(names.text(certificate.issuer)),
            serial=f"{certificate.serial_number:x}",
            key=key_text(certificate.public_key),
            hosts=", ".join(marks.hosts[:_NAMES_SHOWN]) if marks else None,
            SHA_256=certificates.sha256(certificate),
        ),
        warnings=tuple(warnings),
    )


def key_text(public_key: Callable[[], object]) -> str:
    """The kind of a key that may be unreadable."""
    try:
        return keys.describe(public_key())
    except (ValueError, UnsupportedAlgorithm):
        return "of an unknown kind"


def _marks(certificate: x509.Certificate) -> _Marks:
    """Raises BadCertificate where the extensions cannot be read."""
    found = certificates.extensions(certificate)
    constraints = certificates.extension(certificate, x509.BasicConstraints)
    alternatives = certificates.extension(certificate, x509.SubjectAlternativeName)
    hosts: list[str] = []
    if alternatives is not None:
        hosts = [*alternatives.get_values_for_type(x509.DNSName), *map(str, alternatives.get_values_for_type(x509.IPAddress))]
    return _Marks(
        sha256=certificates.sha256(certificate),
        topics=_values(certificate.subject, NameOID.USER_ID),
        common_name=next(iter(_values(certificate.subject, NameOID.COMMON_NAME)), ""),
        issuer_name=next(iter(_values(certificate.issuer, NameOID.COMMON_NAME)), ""),
        organizations=_values(certificate.subject, NameOID.ORGANIZATION_NAME),
        oids=frozenset(each.oid for each in found),
        usages=frozenset(certificates.extension(certificate, x509.ExtendedKeyUsage) or ()),
        hosts=tuple(shown(host, 100) for host in hosts),
        is_ca=constraints is not None and constraints.ca,
        vendor=is_vendor(certificate),
        self_signed=certificates.issued_by(certificate, certificate),
    )


def _pushes_to_apps(marks: _Marks) -> bool:
    named = bool(marks.topics) and "Push Services" in marks.common_name
    return named or any(oid.dotted_string.startswith(_PUSH_SERVICES) for oid in marks.oids)


def _apple_ca(marks: _Marks) -> bool:
    return marks.is_ca and any(name == _APPLE for name in marks.organizations)


def _values(name: x509.Name, oid: ObjectIdentifier) -> tuple[str, ...]:
    return tuple(shown(each.value) for each in name.get_attributes_for_oid(oid) if isinstance(each.value, str))


def _owner(certificate: x509.Certificate) -> str:
    """Whose it is, as its subject says: the topic of a push certificate, or name and organization."""
    topics = [topic for topic in _values(certificate.subject, NameOID.USER_ID) if topic.startswith("com.")]
    named = [*_values(certificate.subject, NameOID.COMMON_NAME), *_values(certificate.subject, NameOID.ORGANIZATION_NAME)]
    return ", ".join(dict.fromkeys(topics or named)) or shown(names.text(certificate.subject))


def _validity(certificate: x509.Certificate) -> tuple[datetime | None, datetime | None]:
    try:
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except ValueError:  # a year that Python has not
        return None, None


def _dates(begin: datetime | None, end: datetime | None, now: datetime) -> list[str]:
    if begin is None or end is None:
        return ["Its dates cannot be read."]
    if now > end:
        return [f"It expired on {end:%Y-%m-%d %H:%M} UTC."]
    return [f"It is not valid before {begin:%Y-%m-%d %H:%M} UTC."] if now < begin else []


def _weaknesses(certificate: x509.Certificate) -> list[str]:
    found = []
    try:
        keys.require_strong(certificate.public_key())
    except (BadKey, ValueError, UnsupportedAlgorithm):
        found.append(f"Its key is not one that is accepted: {key_text(certificate.public_key)}.")
    try:
        own = certificate.subject == certificate.issuer  # a root's signature on itself proves nothing anyway
        if not own and isinstance(certificate.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
            found.append(f"It is signed with {certificate.signature_hash_algorithm.name}, which can be forged.")
    except (ValueError, UnsupportedAlgorithm):
        found.append("It is signed in a way that is not known here.")
    return found
