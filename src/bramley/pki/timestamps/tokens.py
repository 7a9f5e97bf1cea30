"""Whether a timestamp holds: that its authority signed it, may sign such, and signed it over the message at hand."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from bramley.pki import certificates, cms, names, oids
from bramley.pki.cms import STRICT, Limits, SignaturePolicy, VerifiedSignature, algorithms, ber, values
from bramley.pki.cms.ber import Node
from bramley.pki.errors import BadCertificate
from bramley.pki.timestamps import info
from bramley.pki.timestamps.errors import BadTimestamp
from bramley.pki.timestamps.messages import DIGEST, TimeStampReq, token_of

LARGEST_TOKEN: Final = 16 * 1024
"""Most octets of a token: with a chain of three certificates it has about five thousand."""

_LIMITS: Final = Limits(size=LARGEST_TOKEN, depth=16, elements=2_000)


@dataclass(frozen=True, slots=True)
class VerifiedTimestamp:
    """A token (as it came) that holds: the authority of `certificate` knew the message at `time`, give or take `accuracy`.

    Whether that authority is to be believed, nobody has asked yet; `others` are the certificates that came with its own.
    """

    token: bytes = field(repr=False)
    time: datetime
    accuracy: timedelta
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...]


def accept(answer: bytes, asked: TimeStampReq) -> VerifiedTimestamp:
    """The timestamp in an authority's answer (TimeStampResp, DER) to a request.

    Raises Declined where the authority gives none, BadTimestamp for everything that is no good answer to this request
    (RFC 3161 section 2.4.2), such as another nonce.
    """
    try:
        token = token_of(answer)
    except cms.CMSError as error:
        raise BadTimestamp(f"The answer is no TimeStampResp. {error.message}") from None
    said, found = _judge(token, asked.message, STRICT)
    if said.algorithm != DIGEST.oid:
        raise BadTimestamp(f"Expected a timestamp over a digest by {DIGEST.name}; it is over one by {said.algorithm}.")
    if said.nonce != asked.nonce:
        raise BadTimestamp("Expected the nonce of the request in the timestamp: it belongs to another request, or is old.")
    return found


def verify(token: bytes, message: bytes, *, policy: SignaturePolicy) -> VerifiedTimestamp:
    """A token (TimeStampToken, BER or DER) that holds for a message; `policy` judges its signature and its digest.

    Raises BadTimestamp unless it is over this message, and its signer is named by a signed attribute, has a certificate for
    timestamps and nothing else, critically, and signed at a time at which that was valid (RFC 3161 sections 2.3 and 2.4.2).
    """
    return _judge(token, message, policy)[1]


def _judge(token: bytes, message: bytes, policy: SignaturePolicy) -> tuple[info.TSTInfo, VerifiedTimestamp]:
    try:
        signed = cms.parse_signed_data(token, limits=_LIMITS)
        signature = cms.verify(signed, policy=policy, content_type=oids.TST_INFO)
        said = info.read(signature.content)
        digest = policy.digest(said.algorithm)
        if not hmac.compare_digest(said.imprint, digest.new(message).digest()):
            raise BadTimestamp("The timestamp is over something else.")
        _require_named(signature)
        authority = certificates.load(signature.certificate)
        _require_fit(authority, said.time)
        others = [certificates.load(each) for each in signed.certificates if each != signature.certificate]
    except (cms.CMSError, BadCertificate) as error:
        raise BadTimestamp(error.message) from None
    return said, VerifiedTimestamp(token, said.time, said.accuracy, authority, tuple(others))


def _require_named(signature: VerifiedSignature) -> None:
    """The signed attribute that binds the signer's certificate, or both kinds of it, name this one (RFC 5816 section 2.2.1)."""
    named = False
    for kind in (oids.SIGNING_CERTIFICATE, oids.SIGNING_CERTIFICATE_V2):
        if kind not in signature.attributes:
            continue
        found = signature.attributes[kind]
        if len(found) != 1 or not _names(found[0], kind, signature.certificate):
            raise BadTimestamp("The timestamp names another certificate than that of its signer.")
        named = True
    if not named:
        raise BadTimestamp("Expected a signed attribute that names the certificate of the timestamp's signer; there is none.")


def _names(attribute: bytes, kind: str, certificate: bytes) -> bool:
    """Whether the first certificate of a SigningCertificate or SigningCertificateV2, the signer's, is this one (DER).

    The serial number beside its digest is compared too; the issuer is not, since names can be written in several ways and the
    digest has it in.
    """
    listed = ber.sequence(ber.parse(attribute), "a SigningCertificate")
    first = ber.sequence(listed[0], "certificates") if listed else []
    parts = ber.sequence(first[0], "an ESSCertID") if first else []
    name = "sha1" if kind == oids.SIGNING_CERTIFICATE else "sha256"
    if kind == oids.SIGNING_CERTIFICATE_V2 and parts and parts[0].tag == ber.SEQUENCE:
        name = _digest_name(parts.pop(0))
    if not 1 <= len(parts) <= 2 or not hmac.compare_digest(values.octets(parts[0]), hashlib.new(name, certificate).digest()):
        return False
    beside = ber.sequence(parts[1], "an IssuerSerial") if len(parts) == 2 else None
    return beside is None or (len(beside) == 2 and values.integer(beside[1]) == certificates.load(certificate).serial_number)


def _digest_name(identifier: Node) -> str:
    """SHA-2 alone (RFC 5035 section 4 names it as the default); for SHA-1 there is the older attribute."""
    return STRICT.digest(algorithms.read_plain_identifier(identifier.raw)).name


def _require_fit(authority: x509.Certificate, time: datetime) -> None:
    """RFC 3161 section 2.3: one extended key usage, critical; and the certificate was valid when it was used."""
    shown = names.text(authority.subject)
    found = [each for each in certificates.extensions(authority) if isinstance(each.value, x509.ExtendedKeyUsage)]
    usages = [usage.dotted_string for each in found if isinstance(each.value, x509.ExtendedKeyUsage) for usage in each.value]
    if usages != [oids.TIME_STAMPING] or not found[0].critical:
        raise BadTimestamp(f"{shown} may not give timestamps: its certificate is not for that, critically and alone.")
    begin, end = authority.not_valid_before_utc, authority.not_valid_after_utc
    if not begin <= time <= end:
        raise BadTimestamp(
            f"The timestamp says {time:%Y-%m-%d %H:%M} UTC; "
            f"the certificate of {shown} is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}."
        )
