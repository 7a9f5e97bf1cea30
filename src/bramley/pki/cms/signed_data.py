"""Reading SignedData (RFC 5652 section 5.1), BER or DER, and keeping the octets as sent. Nothing is checked here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bramley.pki import oids
from bramley.pki.cms import algorithms, attributes, ber, canonical, certificate_ids, content_info, values
from bramley.pki.cms.attributes import Attributes
from bramley.pki.cms.ber import Limits, Node, Source
from bramley.pki.cms.errors import Malformed

_EXPLICIT: Final = 0xA0
_CERTIFICATES: Final = 0xA0
_CRLS: Final = 0xA1
_SIGNED_ATTRIBUTES: Final = 0xA0
_UNSIGNED_ATTRIBUTES: Final = 0xA1
_KEY_IDENTIFIER: Final = 0x80
# extendedCertificate, v1AttrCert, v2AttrCert, other
_OTHER_CERTIFICATES: Final = frozenset({0xA0, 0xA1, 0xA2, 0xA3})


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signer, named by `issuer` (raw Name) and `serial`, or else by `ski`. Algorithms are dotted identifiers.

    `signed_attributes_raw` are the octets that the signature covers: the attributes under the tag SET (RFC 5652 section 5.4).
    `unsigned_attributes_raw` are the others as they stand, which nothing covers and nobody has read: `unsigned_values` does.
    """

    issuer: bytes | None
    serial: int | None
    ski: bytes | None
    digest_algorithm: str
    signature_algorithm: str
    signed_attributes: Attributes | None
    signed_attributes_raw: bytes | None
    signature: bytes
    unsigned_attributes_raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class SignedData:
    """A SignedData as sent, nothing checked: `content` is None when detached; certificates are DER in message order."""

    content_type: str
    content: bytes | None = field(repr=False)
    certificates: tuple[bytes, ...]
    signers: tuple[SignerInfo, ...]


def parse_signed_data(data: bytes, *, limits: Limits = ber.DEFAULT_LIMITS) -> SignedData:
    """Read a ContentInfo of type SignedData, BER or DER; raises `Malformed`.

    Signed attributes must be DER (RFC 5652 section 5.3), in any order. CRLs and certificates other than X.509 are passed over;
    unsigned attributes are kept unread.
    """
    source = Source(data, limits)
    position, limit = content_info.enter(source, oids.SIGNED_DATA)
    version, _, _, position = ber.element(source, position, limit)
    digests, _, _, position = ber.element(source, position, limit)
    encapsulated, content_at, content_limit, position = ber.element(source, position, limit)
    certificates: tuple[bytes, ...] = ()
    tag, body, stop, end = ber.element(source, position, limit)
    if tag == _CERTIFICATES:
        certificates = tuple([node.raw for node in ber.elements(source, body, stop) if _is_x509(node)])
        tag, body, stop, end = ber.element(source, end, limit)
    if tag == _CRLS:
        tag, body, stop, end = ber.element(source, end, limit)
    if (version, digests, encapsulated, tag, end) != (ber.INTEGER, ber.SET, ber.SEQUENCE, ber.SET, limit):
        raise Malformed(
            "A SignedData should hold a version, digest algorithms, content, certificates, CRLs and signers, in this order."
        )
    content_type, content = _encapsulated(source, content_at, content_limit)
    signers = tuple([_signer_info(node) for node in ber.elements(source, body, stop)])
    return SignedData(content_type, content, certificates, signers)


def unsigned_values(signer: SignerInfo, kind: str) -> tuple[bytes, ...]:
    """The values of the unsigned attributes of one type (dotted), as they stand, BER or DER; raises `Malformed`.

    Anybody can have put them there (RFC 5652 section 5.3): a value has to prove by itself what it says.
    """
    found: list[bytes] = []
    if signer.unsigned_attributes_raw is not None:
        for node in ber.parse(signer.unsigned_attributes_raw).children:
            parts = ber.sequence(node, "an Attribute")
            if len(parts) != 2 or parts[1].tag != ber.SET:
                raise Malformed(f"The unsigned Attribute at octet {node.start} should hold a type and a SET of values.")
            if values.oid(parts[0]) == kind:
                found += [value.raw for value in parts[1].children]
    return tuple(found)


def _is_x509(node: Node) -> bool:
    """Whether a CertificateChoices is a certificate, rather than one of the other kinds (RFC 5652 section 10.2.2)."""
    if node.tag != ber.SEQUENCE and node.tag not in _OTHER_CERTIFICATES:
        raise ber.unexpected(node, "a certificate")
    return node.tag == ber.SEQUENCE


def _encapsulated(source: Source, position: int, limit: int) -> tuple[str, bytes | None]:
    """EncapsulatedContentInfo (RFC 5652 section 5.2): type, and content with its pieces joined."""
    kind, body, stop, end = ber.element(source, position, limit)
    if kind != ber.OBJECT_IDENTIFIER:
        raise Malformed(f"The EncapsulatedContentInfo at octet {position} should begin with a content type.")
    content_type = values.dotted(source.data[body:stop])
    if end == limit:
        return content_type, None
    content = ber.elements(source, end, limit)
    inner = content[0].children
    if len(content) != 1 or content[0].tag != _EXPLICIT or len(inner) != 1:
        raise Malformed(f"The EncapsulatedContentInfo at octet {position} should hold [0] one OCTET STRING at most.")
    return content_type, values.octets(inner[0])


def _signer_info(node: Node) -> SignerInfo:
    """SignerInfo (RFC 5652 section 5.3)."""
    source, data, limit = node.source, node.source.data, node.stop
    version, _, _, at = ber.element(source, node.body, limit)
    issuer, serial, ski = None, None, None
    tag, body, stop, end = ber.element(source, at, limit)
    if tag == ber.SEQUENCE:
        issuer, serial = certificate_ids.read_issuer_and_serial(source, body, stop)
    else:
        ski = values.octets(Node(source, tag, at, body, stop, end), _KEY_IDENTIFIER)
    _, _, _, at = ber.element(source, end, limit)
    digest_algorithm = algorithms.read_plain_identifier(data[end:at])
    signed_attributes, covered = None, None
    tag, body, stop, end = ber.element(source, at, limit)
    if tag == _SIGNED_ATTRIBUTES:
        canonical.element(data, at, end)
        signed_attributes, covered = attributes.read(source, body, stop), b"\x31" + data[at + 1 : end]
        at = end
        _, _, _, end = ber.element(source, at, limit)
    signature_algorithm = algorithms.read_plain_identifier(data[at:end])
    tag, body, stop, at = ber.element(source, end, limit)
    signature = data[body:stop] if tag == ber.OCTET_STRING else values.octets(Node(source, tag, end, body, stop, at))
    rest = None
    if at < limit:
        unsigned_at = at
        tag, _, _, at = ber.element(source, at, limit)
        rest = data[unsigned_at:at]
        if tag != _UNSIGNED_ATTRIBUTES or at != limit:
            raise Malformed(f"The SignerInfo at octet {node.start} has more in it than [1] unsigned attributes.")
    if (node.tag, version) != (ber.SEQUENCE, ber.INTEGER):
        raise ber.unexpected(node, "a SignerInfo, a SEQUENCE beginning with a version,")
    return SignerInfo(issuer, serial, ski, digest_algorithm, signature_algorithm, signed_attributes, covered, signature, rest)
