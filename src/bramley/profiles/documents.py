"""Profiles as they come: plain, signed, encrypted, or both. What is signed or encrypted is kept as it is, octet for octet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from enum import StrEnum
from typing import Final

from cryptography import x509

from bramley.errors import BramleyError
from bramley.mdm import plist
from bramley.mdm.plist import PlistValue
from bramley.pki import certificates, cms
from bramley.pki.cms import Limits
from bramley.pki.errors import BadFile, PKIError
from bramley.pki.forms import BOM, Form, form_of
from bramley.pki.pieces import take_apart
from bramley.profiles.errors import BadProfile
from bramley.profiles.rules import Rule
from bramley.profiles.rules.structure import faults

LARGEST: Final = 8 * 1024 * 1024
"""Octets of a profile that is read: fonts and pictures make some large."""

_LIMITS: Final = Limits(size=LARGEST, depth=32, elements=20_000)
_OPAQUE: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})

_SIGNED_SO: Final = (
    "It is signed as it is, and the signature would not outlive a conversion: have it made as XML in UTF-8, and signed then."
)


class DocumentKind(StrEnum):
    """How a profile comes."""

    PLAIN = "plain"
    SIGNED = "signed"
    ENCRYPTED = "encrypted"
    SIGNED_AND_ENCRYPTED = "signed-and-encrypted"


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration profile.

    `raw` is what a device takes: the file, or the CMS message in it where the file is PEM or S/MIME. `content` is the property
    list, payloads in it only where they are not encrypted; it is None, and the three names with it, where all of the profile
    is encrypted. `signer` signed it, and the signature holds; whether to believe the signer is not judged here. `certificates`
    are all that the signature brings, in DER, the signer's included.
    """

    raw: bytes = field(repr=False)
    kind: DocumentKind
    identifier: str | None = None
    uuid: str | None = None
    display_name: str | None = None
    content: Mapping[str, PlistValue] | None = field(default=None, repr=False)
    signer: x509.Certificate | None = None
    certificates: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def signed(self) -> bool:
        """Whether it is, and so must not be changed."""
        return self.signer is not None

    @property
    def encrypted(self) -> bool:
        """Whether its payloads can be read by a device alone."""
        return self.kind in (DocumentKind.ENCRYPTED, DocumentKind.SIGNED_AND_ENCRYPTED)


def read(data: bytes) -> Document:
    """The profile in a `.mobileconfig`, of at most `LARGEST` octets.

    Raises BadProfile, with key and rule, for what is no profile, for one without payloads or with two that manage, and for a
    signature that does not hold. What else may be wrong with a profile, `validate.check` says.
    """
    if len(data) > LARGEST:
        raise _no_profile(f"a file of {len(data)} octets, more than {LARGEST}")
    message = _unwrapped(data)
    form = form_of(message)
    if form is Form.SIGNED:
        return _signed(message)
    return _enclosed(message, form)


def _enclosed(data: bytes, form: Form, *, signed: bool = False) -> Document:
    """A profile that nobody signed, or what a signature covers."""
    if form is Form.ENVELOPED:
        return Document(data, DocumentKind.ENCRYPTED)
    if form is Form.BINARY_PLIST:
        advice = "`plutil -convert xml1 FILE` on a Mac makes XML of it."
        raise _no_profile(form.value, _SIGNED_SO if signed else advice)
    if form is Form.UTF16:
        raise _no_profile(form.value, _SIGNED_SO if signed else "Save it as UTF-8.")
    if form is not Form.PLIST:
        raise _no_profile(form.value)
    try:
        content = plist.loads(data.removeprefix(BOM), max_bytes=LARGEST)
    except BramleyError as error:
        raise BadProfile(error.message, key="", rule=Rule.IS_A_PROFILE, advice="The file is no property list.") from None
    if not isinstance(content, dict):
        raise _no_profile("a property list that is no dictionary")
    fault = next(faults(content), None)
    if fault is not None:
        raise BadProfile(f"{fault.path}: {fault.words}", key=fault.path, rule=fault.rule)
    name = content.get("PayloadDisplayName")
    return Document(
        data,
        DocumentKind.ENCRYPTED if "EncryptedPayloadContent" in content else DocumentKind.PLAIN,
        str(content["PayloadIdentifier"]),
        str(content["PayloadUUID"]),
        name if isinstance(name, str) else None,
        content,
    )


def _signed(message: bytes) -> Document:
    """A signed profile. SHA-1 still counts, as it does on devices: what is judged is whether anything was changed."""
    try:
        signed = cms.parse_signed_data(message, limits=_LIMITS)
        verified = cms.verify(signed, policy=cms.DEVICE)
        signer = certificates.load(verified.certificate)
    except PKIError as error:
        raise BadProfile(
            f"Expected a signature that holds; {error.message}",
            key="",
            rule=Rule.SIGNATURE_HOLDS,
            advice="Get the profile again from whoever signed it: it was changed, cut short, or signed in a way not known here.",
        ) from None
    inner = _enclosed(verified.content, form_of(verified.content), signed=True)
    return Document(
        message,
        DocumentKind.SIGNED_AND_ENCRYPTED if inner.encrypted else DocumentKind.SIGNED,
        inner.identifier,
        inner.uuid,
        inner.display_name,
        inner.content,
        signer,
        signed.certificates,
    )


def _unwrapped(data: bytes) -> bytes:
    """The CMS message in PEM or in opaque S/MIME (RFC 8551 section 3.5.2), which devices do not take; else the file itself."""
    form = form_of(data)
    if form is Form.MIME:
        mail = message_from_bytes(data)
        content = mail.get_payload(decode=True)
        if mail.get_content_type() in _OPAQUE and isinstance(content, bytes):
            return content
        raise _no_profile(f"a MIME message of the type {mail.get_content_type()[:80]}")
    if form is Form.PEM:
        try:
            pieces = take_apart(data)
        except BadFile as error:
            raise BadProfile(error.message, key="", rule=Rule.IS_A_PROFILE, advice=error.advice) from None
        if len(pieces) != 1 or pieces[0].form not in (Form.SIGNED, Form.ENVELOPED):
            raise _no_profile(pieces[0].form.value)
        return pieces[0].content
    return data


def _no_profile(came: str, advice: str = "Give a .mobileconfig file, plain, signed or encrypted.") -> BadProfile:
    return BadProfile(f"Expected a configuration profile; {came} came.", key="", rule=Rule.IS_A_PROFILE, advice=advice)
