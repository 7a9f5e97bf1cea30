"""What a template makes for one device: the names of its certificate, and the profile by which the device fetches that.

Values of variables become values of names and payloads, and are never read as anything else: what a device calls itself cannot
add an attribute to a subject. A name that a value would not fit is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from cryptography import x509

from bramley.errors import BramleyError
from bramley.mdm.plist import Writable
from bramley.model.enrollments import EnrollmentKey
from bramley.model.profiles import Scope
from bramley.pki.cms import der
from bramley.profiles import validate, variables
from bramley.profiles.build import Profile
from bramley.profiles.enrollment import derived_uuid
from bramley.profiles.network import SUBJECT_TYPES, BadTemplate, Template, with_identity
from bramley.profiles.payloads import SCEPPayload
from bramley.profiles.variables import VARIABLES, Values

UPN: Final = "1.3.6.1.4.1.311.20.2.3"
"""The otherName that `ntPrincipalName` stands for: a user principal name as UTF8String."""

_APPLES: Final = frozenset({"CN", "O", "OU", "C", "L", "ST"})
"""Attributes that devices know by these names; the others are given by their types."""

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"{_LABEL}(?:\.{_LABEL})*"
_FORMS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "rfc822Name": (rf"[!#-'*+/-9=?A-Z^-~-]+(?:\.[!#-'*+/-9=?A-Z^-~-]+)*@{_HOST}", "a mail address (RFC 5321)"),
        "dNSName": (_HOST, "a host name (RFC 5280 4.2.1.6)"),
        "uniformResourceIdentifier": (r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", "an absolute URI (RFC 3986)"),
        "ntPrincipalName": (r"[^\s@]+@[^\s@]+", "a user principal name, such as name@domain"),
    }
)
_SIGNING: Final = 1
_ENCRYPTION: Final = 4
"""What Apple's "Key Usage" is the sum of."""
_LONGEST_SAN: Final = 255
_SAMPLE_KEY: Final = EnrollmentKey("sample")


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a certificate is for."""

    subject: x509.Name
    sans: tuple[x509.GeneralName, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What one delivery adds to a template: for which enrollment, and by which right the identity is fetched.

    `identity_id` names the delivery, so that the device makes a new identity for each. `url`, `challenge` and `ca_name` are the
    SCEP payload's.
    """

    key: EnrollmentKey
    identity_id: str
    url: str
    challenge: str = field(repr=False)
    ca_name: str
    organization: str
    identifier_prefix: str


def names(template: Template, values: Values) -> Names:
    """The names of the certificate of a device with these values.

    Raises MissingVariable where it has no value for one, and BadTemplate where a value fits no such name.
    """
    subject, sans = _filled(template, values)
    try:
        attributes = [x509.NameAttribute(x509.ObjectIdentifier(SUBJECT_TYPES[kind][0]), value) for kind, value in subject]
        return Names(x509.Name(attributes), tuple(_general(kind, value) for kind, value in sans))
    except (ValueError, TypeError) as error:
        raise BadTemplate(f"expected values that a certificate can hold; {error}.", key="subject") from None


def profile(template: Template, order: Order, values: Values) -> Profile:
    """The profile for a device with these values. One of the same template takes its place. Raises as `names` does."""
    subject, sans = _filled(template, values)
    identifier = f"{order.identifier_prefix}.network.{template.name}"
    uuid = derived_uuid(order.key, "network", template.name, order.identity_id)
    scep = SCEPPayload(
        identifier=f"{identifier}.scep",
        uuid=uuid,
        display_name=f"Identity for {template.name}",
        url=order.url,
        challenge=order.challenge,
        subject=tuple(((kind if kind in _APPLES else SUBJECT_TYPES[kind][0], value),) for kind, value in subject),
        name=order.ca_name,
        key_size=template.key_size,
        key_usage=_ENCRYPTION if template.only_decrypts else _SIGNING | _ENCRYPTION,
    )
    fingerprint = template.outside.fingerprint if template.outside else b""
    filled = variables.fill(with_identity(template.payloads, uuid), values)
    further = tuple(_further(payload, order.key, identifier, at) for at, payload in enumerate(filled, 1))
    return Profile(
        identifier=identifier,
        uuid=derived_uuid(order.key, "network", template.name),
        display_name=f"Identity for {template.name}",
        organization=order.organization,
        payloads=(IdentityPayload(scep, sans, fingerprint), *further),
        scope=Scope.SYSTEM,
    )


def check(template: Template) -> None:
    """Whether devices will take what comes of the template, as far as this can be told without one. Raises BadTemplate."""
    values = dict.fromkeys(VARIABLES, "sample")
    order = Order(_SAMPLE_KEY, "sample", "https://sample.invalid/scep", "sample", "sample", "sample", "sample")
    fixed = replace(template, sans=tuple((kind, text) for kind, text in template.sans if variables.OPEN not in text))
    names(fixed, values)
    try:
        made = profile(fixed, order, values)
        validate.require(made.to_plist())
        made.to_bytes()
    except BramleyError as error:
        raise BadTemplate(f"in the profile that it makes: {error.message}", key="payloads", advice=error.advice) from None


@dataclass(frozen=True, slots=True)
class IdentityPayload:
    """A SCEP payload with alternative names, and the fingerprint of the CA's certificate (Apple, "SCEP")."""

    scep: SCEPPayload
    sans: tuple[tuple[str, str], ...]
    fingerprint: bytes = b""

    @property
    def identifier(self) -> str:
        return self.scep.identifier

    @property
    def uuid(self) -> str:
        return self.scep.uuid

    def to_plist(self) -> dict[str, Writable]:
        whole = self.scep.to_plist()
        content: Any = whole["PayloadContent"]
        added = {"SubjectAltName": dict(self.sans)} if self.sans else {}
        pinned = {"CAFingerprint": self.fingerprint} if self.fingerprint else {}
        return {**whole, "PayloadContent": {**content, **added, **pinned}}


@dataclass(frozen=True, slots=True)
class FurtherPayload:
    """A payload of the template, with the keys that every payload has."""

    content: Mapping[str, Any] = field(repr=False)

    @property
    def identifier(self) -> str:
        return str(self.content["PayloadIdentifier"])

    @property
    def uuid(self) -> str:
        return str(self.content["PayloadUUID"])

    def to_plist(self) -> dict[str, Writable]:
        return dict(self.content)


def _further(payload: Mapping[str, Any], key: EnrollmentKey, identifier: str, at: int) -> FurtherPayload:
    usual = {"PayloadVersion": 1, "PayloadIdentifier": f"{identifier}.{at}"}
    return FurtherPayload({**usual, "PayloadUUID": derived_uuid(key, "network", identifier, str(at)), **payload})


def _filled(template: Template, values: Values) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Subject and alternative names with values in them, each of which fits."""
    subject = tuple((kind, _fit_subject(kind, variables.fill(text, values))) for kind, text in template.subject)
    sans = tuple((kind, _fit_san(kind, variables.fill(text, values))) for kind, text in template.sans)
    return subject, sans


def _fit_subject(kind: str, value: str) -> str:
    longest = SUBJECT_TYPES[kind][1]
    if not value.isprintable() or not 1 <= len(value.encode()) <= longest:
        raise BadTemplate(f"expected 1 to {longest} octets that can be printed; {value[:80]!r} came.", key=f"subject {kind}")
    return value


def _fit_san(kind: str, value: str) -> str:
    form, words = _FORMS[kind]
    if not value.isprintable() or len(value.encode()) > _LONGEST_SAN or not re.fullmatch(form, value):
        raise BadTemplate(f"expected {words} of at most {_LONGEST_SAN} octets; {value[:80]!r} came.", key=f"san.{kind}")
    return value


def _general(kind: str, value: str) -> x509.GeneralName:
    if kind == "ntPrincipalName":
        return x509.OtherName(x509.ObjectIdentifier(UPN), der.element(0x0C, value.encode()))
    made: Mapping[str, type[x509.RFC822Name | x509.DNSName | x509.UniformResourceIdentifier]] = {
        "rfc822Name": x509.RFC822Name,
        "dNSName": x509.DNSName,
        "uniformResourceIdentifier": x509.UniformResourceIdentifier,
    }
    return made[kind](value)
