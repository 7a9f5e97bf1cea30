"""SignedData (RFC 5652 section 5): checking a signature.

Checking needs a policy and returns a `VerifiedSignature`, which is made nowhere else. It says that the holder of a
certificate's key signed the content; whether to believe that certificate is for `bramley.pki.chains`. What reads and what makes
a SignedData is offered here too.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bramley.pki import oids
from bramley.pki.cms import ber, certificate_ids, der, values
from bramley.pki.cms.attributes import NO_ATTRIBUTES, Attributes
from bramley.pki.cms.errors import Malformed, SignatureInvalid, SignatureReason
from bramley.pki.cms.policy import DEVICE, SCEP_REQUEST, STRICT, SignaturePolicy
from bramley.pki.cms.signed_data import SignedData, SignerInfo, parse_signed_data
from bramley.pki.cms.signing import sign
from bramley.pki.keys import PublicKey

__all__ = [
    "DEVICE",
    "SCEP_REQUEST",
    "STRICT",
    "SignaturePolicy",
    "SignedData",
    "SignerInfo",
    "VerifiedSignature",
    "parse_signed_data",
    "sign",
    "verify",
]


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """What a good signature proves: the key of `certificate` (DER) signed `content` and `attributes`."""

    certificate: bytes
    content: bytes = field(repr=False)
    digest: str
    attributes: Attributes
    signing_time: datetime | None


def verify(
    signed: SignedData,
    *,
    content: bytes | None = None,
    policy: SignaturePolicy,
    content_type: str | None = oids.DATA,
    extra_certificates: Sequence[bytes] = (),
    public_key_of: Callable[[bytes], PublicKey] | None = None,
) -> VerifiedSignature:
    """Check the one signature of `signed` (RFC 5652 sections 5.4 to 5.6); SignatureInvalid says why not.

    `content` is the content of a detached signature, and must be left out of any other. `content_type` is the type that the
    content must have (None: any). The signer's certificate comes from the message, else from `extra_certificates` (DER).
    `public_key_of` may answer the public key of such a certificate from a cache; by default the certificate is loaded.
    """
    if len(signed.signers) != 1:
        none = not signed.signers
        raise SignatureInvalid(
            f"Expected one signer; the message has {len(signed.signers)}.",
            reason=SignatureReason.NO_SIGNER if none else SignatureReason.SEVERAL_SIGNERS,
        )
    signer = signed.signers[0]
    content = _the_content(signed, content)
    if content_type is not None and signed.content_type != content_type:
        raise SignatureInvalid(
            f"Expected content of type {content_type}; the message says {signed.content_type}.",
            reason=SignatureReason.CONTENT_TYPE_MISMATCH,
        )
    digest = policy.digest(signer.digest_algorithm)
    certificate = _certificate_of(signer, signed.certificates, extra_certificates)
    key = public_key_of(certificate) if public_key_of else _load_public_key(certificate)
    if signer.signed_attributes is None or signer.signed_attributes_raw is None:
        _require_unattributed_allowed(signed, content, policy)
        attributes, signing_time, covered = NO_ATTRIBUTES, None, content
    else:
        attributes, covered = signer.signed_attributes, signer.signed_attributes_raw
        _require_attributes_match(attributes, signed.content_type, digest.new(content).digest())
        signing_time = _signing_time(attributes)
    policy.require_signature(key, signer.signature_algorithm, signer.signature, covered, digest)
    return VerifiedSignature(certificate, content, digest.name, attributes, signing_time)


def _the_content(signed: SignedData, detached: bytes | None) -> bytes:
    """The content, from exactly one of the two places where it can be."""
    if signed.content is None:
        if detached is None:
            raise SignatureInvalid(
                "Expected the content that was signed in the message; the signature came by itself (detached).",
                reason=SignatureReason.NO_CONTENT,
            )
        return detached
    if detached is not None:
        raise SignatureInvalid(
            "Expected a detached signature; the message brings content of its own.", reason=SignatureReason.CONTENT_TWICE
        )
    return signed.content


def _certificate_of(signer: SignerInfo, enclosed: Sequence[bytes], extra: Sequence[bytes]) -> bytes:
    """The DER of the one certificate that the SignerInfo names, from the message, else from the caller."""
    found = _find(signer, enclosed) or _find(signer, extra)
    if found is None:
        raise SignatureInvalid(
            f"The signer's certificate is not among the {len(enclosed)} in the message.",
            reason=SignatureReason.SIGNER_CERTIFICATE_MISSING,
        )
    return found


def _find(signer: SignerInfo, certificates: Sequence[bytes]) -> bytes | None:
    found = None
    for certificate in certificates:
        if signer.ski is None:
            named = certificate_ids.issuer_and_serial(certificate) == (signer.issuer, signer.serial)
        else:
            named = certificate_ids.subject_key_identifier(certificate_ids.load(certificate)) == signer.ski
        if named and found is not None and certificate != found:
            raise SignatureInvalid(
                "Several different certificates answer to the signer's identifier.",
                reason=SignatureReason.SIGNER_CERTIFICATE_AMBIGUOUS,
            )
        if named:
            found = certificate
    return found


def _load_public_key(certificate: bytes) -> PublicKey:
    try:
        key = certificate_ids.load(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("The key in the signer's certificate cannot be read.") from None
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise SignatureInvalid(
            "The signer's key should be RSA or EC; it is neither.", reason=SignatureReason.ALGORITHM_NOT_ALLOWED
        )
    return key


def _require_unattributed_allowed(signed: SignedData, content: bytes, policy: SignaturePolicy) -> None:
    """The rules for a signature straight over the content (RFC 5652 section 5.3), and one against a known forgery.

    A signature over somebody's signed attributes is also a signature over those attributes as content. So content that reads
    as signed attributes is refused: without this, a message that a device signed could be passed off as another.
    """
    if not policy.allow_without_attributes:
        raise SignatureInvalid("Expected signed attributes; the message has none.", reason=SignatureReason.ATTRIBUTES_MISSING)
    if signed.content_type != oids.DATA:
        raise SignatureInvalid(
            f"Without signed attributes the content should be of type {oids.DATA}; it is {signed.content_type}.",
            reason=SignatureReason.ATTRIBUTES_MISSING,
        )
    if content[:1] == b"\x31" and _reads_as_attributes(content):
        raise SignatureInvalid(
            "The content reads as the signed attributes of another message.", reason=SignatureReason.ATTRIBUTES_MISSING
        )


def _reads_as_attributes(content: bytes) -> bool:
    try:
        return any(values.oid(attribute.children[0]) == oids.MESSAGE_DIGEST for attribute in ber.parse(content).children)
    except (Malformed, IndexError):
        return False


def _require_attributes_match(attributes: Attributes, content_type: str, digest: bytes) -> None:
    """The two obligatory attributes (RFC 5652 sections 11.1 and 11.2), one value each, say what the content is."""
    # both are DER by now, so that equal values are equal octets
    if _only_value(attributes, oids.CONTENT_TYPE) != der.oid(content_type):
        raise SignatureInvalid(
            f"The content type attribute should say {content_type}; it does not.",
            reason=SignatureReason.CONTENT_TYPE_MISMATCH,
        )
    if not hmac.compare_digest(_only_value(attributes, oids.MESSAGE_DIGEST), der.octet_string(digest)):
        raise SignatureInvalid(
            "The message digest attribute is not the digest of the content.", reason=SignatureReason.DIGEST_MISMATCH
        )


def _signing_time(attributes: Attributes) -> datetime | None:
    """The signing time (RFC 5652 section 11.3), where there is one."""
    if oids.SIGNING_TIME not in attributes:
        return None
    return values.moment(_only_value(attributes, oids.SIGNING_TIME))


def _only_value(attributes: Attributes, kind: str) -> bytes:
    found = attributes.get(kind, ())
    if len(found) != 1:
        raise SignatureInvalid(
            f"The signed attribute {kind} should have one value; it has {len(found)}.",
            reason=SignatureReason.ATTRIBUTES_INVALID,
        )
    return found[0]
