"""Certification requests, PKCS#10 (RFC 2986): read as devices send them, and made.

Devices are laxer than RFC 2986: Apple's were recorded with version 2, strongSwan does not sort its attributes. So the
signature is checked over the octets as sent, and only what matters (subject, key, subject alternative names) is handed to
`cryptography`, in a request rewritten to its taste. Other requested extensions are not read: the profile decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from bramley.pki import keys, oids
from bramley.pki.cms import ber, values
from bramley.pki.cms import der as encode
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import Malformed
from bramley.pki.errors import BadRequest

LIMITS: Final = ber.Limits(size=64 * 1024, depth=16, elements=2_000)
"""What a request may cost to read; real ones have about a thousand octets."""

_VERSIONS: Final = range(3)
_BOOLEAN: Final = 0x01
_BIT_STRING: Final = 0x03
_ATTRIBUTES: Final = 0xA0

_RSA_SIGNATURES: Final[dict[str, hashes.HashAlgorithm]] = {
    oids.SHA1_WITH_RSA: hashes.SHA1(),  # noqa: S303 - only proves possession; recorded devices use it
    oids.SHA256_WITH_RSA: hashes.SHA256(),
    oids.SHA384_WITH_RSA: hashes.SHA384(),
    oids.SHA512_WITH_RSA: hashes.SHA512(),
}
_EC_SIGNATURES: Final[dict[str, hashes.HashAlgorithm]] = {
    oids.ECDSA_WITH_SHA1: hashes.SHA1(),  # noqa: S303 - as above
    oids.ECDSA_WITH_SHA256: hashes.SHA256(),
    oids.ECDSA_WITH_SHA384: hashes.SHA384(),
    oids.ECDSA_WITH_SHA512: hashes.SHA512(),
}

# Octets that a value may have (RFC 5280 appendix A.1). Beyond them `cryptography` would print a warning and go on.
_NAME_BOUNDS: Final = {
    NameOID.COUNTRY_NAME.dotted_string: range(2, 3),
    NameOID.JURISDICTION_COUNTRY_NAME.dotted_string: range(2, 3),
    NameOID.COMMON_NAME.dotted_string: range(1, 65),
}

# otherName, rfc822Name, dNSName, URI, iPAddress, registeredID (RFC 5280 4.2.1.6): the forms without names inside
_GENERAL_NAMES: Final = frozenset({0xA0, 0x81, 0x82, 0x86, 0x87, 0x88})


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A request whose sender has shown that it holds the private key. How strong that key is, nobody has judged yet.

    `der` is the request as sent; `challenge_password` the shared secret of RFC 2985 5.4.1. `repr` shows neither.
    """

    der: bytes = field(repr=False)
    subject: x509.Name
    public_key: keys.PublicKey
    challenge_password: str | None = field(repr=False)
    sans: tuple[x509.GeneralName, ...]


def load(der: bytes) -> CertificateRequest:
    """Reads a request and checks its signature, the proof of possession (RFC 2986 4.2).

    Accepts versions 0 to 2, attributes in any order, RSA PKCS#1 v1.5 and ECDSA with SHA-1, SHA-256, SHA-384 and SHA-512.
    Raises BadRequest for everything else. The strength of the key is left to `keys.require_strong`.
    """
    try:
        return _read(der)
    except Malformed as error:
        raise _bad(error.message) from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _bad(f"Its subject, key or names cannot be read: {error}.") from None


def build(
    key: keys.PrivateKey,
    subject: x509.Name,
    *,
    challenge_password: str | None = None,
    sans: Sequence[x509.GeneralName] = (),
) -> bytes:
    """A DER request for the key, version 0, signed with SHA-256."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=not subject.rdns)
    if challenge_password is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge_password.encode())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _read(request: bytes) -> CertificateRequest:
    info, algorithm, signature = _parts(ber.parse(request, LIMITS), "a CertificationRequest", 3)
    version, subject, spki, *rest = _parts(info, "a CertificationRequestInfo", 3, 4)
    if values.integer(version) not in _VERSIONS:
        raise _bad(f"Its version should be 0 (1 and 2 are tolerated); it is {values.integer(version)}.")
    _require_bounded(subject)
    attributes = _attributes(rest)
    extension = _san_extension(attributes)
    plain = _rewritten(subject, spki, extension, algorithm, signature)
    return CertificateRequest(
        der=request,
        subject=plain.subject,
        public_key=_verified(plain.public_key(), algorithm, signature, info.raw),
        challenge_password=_challenge(attributes),
        sans=tuple(plain.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) if extension else (),
    )


def _require_bounded(subject: Node) -> None:
    for relative in ber.sequence(subject, "a Name"):
        for attribute in _set(relative):
            kind, value = _parts(attribute, "an AttributeTypeAndValue", 2)
            bounds = _NAME_BOUNDS.get(values.oid(kind))
            if bounds and len(values.text(value).encode()) not in bounds:
                raise _bad(f"Its subject's {values.oid(kind)} should have {bounds[0]} to {bounds[-1]} octets.")


def _attributes(rest: list[Node]) -> dict[str, list[Node]]:
    """The values of each attribute. The whole field may be missing, as some clients have it."""
    found: dict[str, list[Node]] = {}
    for node in rest:
        if node.tag != _ATTRIBUTES:
            raise ber.unexpected(node, "the attributes, [0],")
        for attribute in node.children:
            kind, content = _parts(attribute, "an Attribute", 2)
            if values.oid(kind) in found:
                raise _bad(f"It holds the attribute {values.oid(kind)} twice.")
            found[values.oid(kind)] = _set(content)
    return found


def _challenge(attributes: dict[str, list[Node]]) -> str | None:
    passwords = attributes.get(oids.CHALLENGE_PASSWORD)
    return None if passwords is None else values.text(_single(passwords, "challengePassword"))


def _san_extension(attributes: dict[str, list[Node]]) -> bytes | None:
    """The requested subjectAltName extension as it stands, if there is one of a form that we read."""
    requested = attributes.get(oids.EXTENSION_REQUEST)
    if requested is None:
        return None
    found: bytes | None = None
    for extension in ber.sequence(_single(requested, "extensionRequest"), "Extensions"):
        kind, *critical, value = _parts(extension, "an Extension", 2, 3)
        if any(flag.tag != _BOOLEAN for flag in critical):
            raise ber.unexpected(critical[0], "critical, a BOOLEAN,")
        if values.oid(kind) != oids.SUBJECT_ALTERNATIVE_NAME:
            continue
        if found is not None:
            raise _bad("It asks for subjectAltName twice.")
        for name in ber.sequence(ber.parse(values.octets(value), LIMITS), "GeneralNames"):
            if name.tag not in _GENERAL_NAMES:
                raise _bad(f"Its subjectAltName holds a name of the form 0x{name.tag:02x}, which is not supported.")
        found = encode.sequence(kind.raw, value.raw)
    return found


def _rewritten(
    subject: Node, spki: Node, extension: bytes | None, algorithm: Node, signature: Node
) -> x509.CertificateSigningRequest:
    """The same subject, key and names in a strict request. Its signature no longer fits, and nobody asks it to."""
    (key_algorithm, _) = _parts(spki, "a SubjectPublicKeyInfo", 2)
    kind = values.oid(_parts(key_algorithm, "an AlgorithmIdentifier", 1, 2)[0])
    if kind not in (oids.RSA_ENCRYPTION, oids.EC_PUBLIC_KEY):
        raise _bad(f"It should be for an RSA or EC key; the key is of the kind {kind}.")
    attributes = b""
    if extension is not None:
        value = encode.set_of([encode.sequence(extension)])
        attributes = encode.sequence(encode.oid(oids.EXTENSION_REQUEST), value)
    info = encode.sequence(encode.integer(0), subject.raw, spki.raw, encode.context(0, attributes))
    return x509.load_der_x509_csr(encode.sequence(info, algorithm.raw, signature.raw))


def _verified(public_key: object, algorithm: Node, signature: Node, signed: bytes) -> keys.PublicKey:
    """The key, once it has verified the signature over the octets as sent."""
    kind, *parameters = _parts(algorithm, "an AlgorithmIdentifier", 1, 2)
    if any(each.raw != encode.null() for each in parameters):
        raise _bad("Its signature algorithm should have no parameters; it has some.")
    bits = signature.content
    if signature.tag != _BIT_STRING or bits[:1] != b"\0":
        raise ber.unexpected(signature, "the signature, a BIT STRING of whole octets,")
    name = values.oid(kind)
    try:
        if isinstance(public_key, rsa.RSAPublicKey) and name in _RSA_SIGNATURES:
            public_key.verify(bits[1:], signed, padding.PKCS1v15(), _RSA_SIGNATURES[name])
            return public_key
        if isinstance(public_key, ec.EllipticCurvePublicKey) and name in _EC_SIGNATURES:
            public_key.verify(bits[1:], signed, ec.ECDSA(_EC_SIGNATURES[name]))
            return public_key
    except InvalidSignature:
        raise _bad("Its signature does not fit its key, so it proves no possession of the private key.") from None
    raise _bad(f"The signature algorithm {name} is not allowed with its key ({keys.describe(public_key)}).")


def _parts(node: Node, what: str, *counts: int) -> list[Node]:
    """The children of a SEQUENCE that has one of these counts of them."""
    parts = ber.sequence(node, what)
    if len(parts) not in counts:
        raise Malformed(f"Expected {what} of {' or '.join(map(str, counts))} elements; it has {len(parts)}.")
    return parts


def _set(node: Node) -> list[Node]:
    if node.tag != ber.SET:
        raise ber.unexpected(node, "a SET")
    return node.children


def _single(found: list[Node], what: str) -> Node:
    if len(found) != 1:
        raise Malformed(f"Expected one value of {what}; there are {len(found)}.")
    return found[0]


def _bad(reason: str) -> BadRequest:
    return BadRequest(f"The certification request cannot be used. {reason}", advice="Have the device make a new one.")
