"""CMS messages (RFC 5652): signed ones, whose signature is checked; encrypted ones, whose recipients are named; bundles."""

from __future__ import annotations

from typing import Final

from bramley.operations.inspection.certificates import of_certificate
from bramley.operations.inspection.finding import MOST_INSIDE, Details, Finding, Question, What, details, shown
from bramley.pki import cms, oids
from bramley.pki.cms import SignatureReason, SignedData, algorithms, ber, certificate_ids, content_info, values
from bramley.pki.cms.algorithms import CIPHERS_BY_OID
from bramley.pki.cms.ber import Node, Source
from bramley.pki.cms.errors import CMSError, Malformed, SignatureInvalid
from bramley.pki.errors import BadCertificate
from bramley.pki.forms import LIMITS

_RECIPIENTS_SHOWN: Final = 5
_SERIAL_OCTETS: Final = 32
_SHORT_NAMES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "1.2.840.113549.1.9.1": "emailAddress",
}
_CANNOT_TELL: Final = frozenset(
    {
        SignatureReason.SEVERAL_SIGNERS,
        SignatureReason.SIGNER_CERTIFICATE_MISSING,
        SignatureReason.ALGORITHM_NOT_ALLOWED,
        SignatureReason.WEAK_KEY,
        SignatureReason.CONTENT_TYPE_MISMATCH,
    }
)
"""Reasons for which a signature is not judged here, rather than found to be broken."""

_MDM_SIGNATURE: Final = "Sent by a device in the header Mdm-Signature: its signature over the body of the same request."


def of_signed(data: bytes, question: Question, *, in_base64: bool = False) -> Finding:
    """A SignedData: a bundle of certificates, a detached signature, or a signature around a content, looked into."""
    try:
        signed = cms.parse_signed_data(data, limits=LIMITS)
    except CMSError as error:
        return Finding(What.SIGNED, "A signed message that cannot be read.", warnings=(error.message,))
    enclosed = tuple(of_certificate(der, question.now) for der in signed.certificates[:MOST_INSIDE])
    if not signed.signers and not signed.content:
        return Finding(
            What.CERTIFICATE_BUNDLE,
            "Certificates without keys, such as a chain.",
            details=details(certificates=len(signed.certificates)),
            inside=enclosed,
        )
    if signed.content is None:
        return Finding(
            What.MDM_SIGNATURE if in_base64 else What.SIGNED,
            _MDM_SIGNATURE if in_base64 else "A signature by itself: what it covers is elsewhere.",
            owner=enclosed[0].owner if len(enclosed) == 1 else "",
            details=details(signature="not checked: what it covers is not in this file", signers=len(signed.signers)),
            inside=enclosed,
        )
    return _with_content(signed, signed.content, enclosed, question)


def _with_content(signed: SignedData, content: bytes, enclosed: tuple[Finding, ...], question: Question) -> Finding:
    signer, verdict, problem, broken = _judged(signed, question)
    inner = question.inside(content) if signed.content_type == oids.DATA else ()
    by = details(signature=verdict, signed_by=signer.owner if signer else None)
    if inner and inner[0].what is What.PROFILE:
        profile = inner[0]
        return Finding(
            What.PROFILE,
            f"{profile.purpose} Signed.",
            owner=profile.owner,
            not_before=profile.not_before,
            not_after=profile.not_after,
            details={**by, **profile.details},
            warnings=(*problem, *profile.warnings),
            inside=(*profile.inside, *enclosed),
            broken=broken,
        )
    scep = any(oids.SCEP_MESSAGE_TYPE in (each.signed_attributes or {}) for each in signed.signers)
    return Finding(
        What.SIGNED,
        "A message of SCEP, by which a device asks for its identity or gets it." if scep else "A message with a signature on it.",
        owner=signer.owner if signer else "",
        details={**by, **details(content_octets=len(content))},
        warnings=problem,
        inside=(*inner, *enclosed),
        broken=broken,
    )


def _judged(signed: SignedData, question: Question) -> tuple[Finding | None, str, tuple[str, ...], bool]:
    """The signer where the signature is good; the verdict in words; why not; and whether it is broken."""
    try:
        verified = cms.verify(signed, policy=cms.DEVICE, content_type=None)
    except SignatureInvalid as error:
        broken = error.reason not in _CANNOT_TELL
        return None, "broken" if broken else "not judged", (error.message,), broken
    except (Malformed, BadCertificate) as error:
        return None, "not judged", (error.message,), False
    signer = of_certificate(verified.certificate, question.now)
    return signer, "good; whether to trust the signer is not judged", (), False


def of_enveloped(data: bytes, *, what: What = What.ENCRYPTED, purpose: str = "", command: str = "") -> Finding:
    """An EnvelopedData: for whom, and how it is encrypted. `what` and the rest say it where the wrapping tells more."""
    found: Details = {}
    warnings: tuple[str, ...] = ()
    try:
        found = _recipients(data)
    except (CMSError, IndexError, ValueError):
        warnings = ("For whom it is encrypted cannot be read.",)
    return Finding(
        what,
        purpose or "Encrypted to the holder of a certificate's key: the recipients say whose.",
        owner=str(found.get("recipient", "")),
        command=command,
        details=found,
        warnings=warnings,
    )


def of_other(data: bytes) -> Finding:
    """A CMS message of another content type."""
    return Finding(What.OTHER_CMS, "A message of CMS that nothing here takes.", details=details(octets=len(data)))


def _recipients(data: bytes) -> Details:
    """Recipients and cipher (RFC 5652 section 6.1). Raises Malformed, IndexError."""
    source = Source(data, LIMITS)
    parts = ber.elements(source, *content_info.enter(source, oids.ENVELOPED_DATA))
    at = 2 if len(parts) > 1 and parts[1].tag == 0xA0 else 1
    infos = parts[at].children
    oid, _ = algorithms.read_identifier(ber.sequence(parts[at + 1], "EncryptedContentInfo")[1])
    cipher = CIPHERS_BY_OID.get(oid)
    named = [_recipient(each) for each in infos[:_RECIPIENTS_SHOWN]]
    more = f"; and {len(infos) - len(named)} more" if len(infos) > len(named) else ""
    return details(recipients=len(infos), recipient="; ".join(named) + more, cipher=cipher.name if cipher else oid)


def _recipient(info: Node) -> str:
    """A RecipientInfo as people tell certificates apart."""
    if info.tag != ber.SEQUENCE:
        return "another kind of recipient"
    name = info.children[1]
    if name.tag != ber.SEQUENCE:
        return f"key identifier {values.octets(name, 0x80)[:_SERIAL_OCTETS].hex()}"
    _, serial = certificate_ids.read_issuer_and_serial(name.source, name.body, name.stop)
    number = f"{serial:x}" if serial.bit_length() <= 8 * _SERIAL_OCTETS else "of many digits"
    return f"issuer {_name(name.children[0])}, serial {number}"


def _name(name: Node) -> str:
    """A Name, RDN by RDN as it stands."""
    parts: list[str] = []
    for rdn in name.children[:MOST_INSIDE]:
        for attribute in rdn.children[:1]:
            kind, value = attribute.children[:2]
            oid = values.oid(kind)
            parts.append(f"{_SHORT_NAMES.get(oid, oid)}={values.text(value)}")
    return shown(", ".join(parts)) or "(empty)"
