"""OCSP requests (RFC 6960 section 4.1) of one certificate or several; cryptography reads those of one only."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bramley.pki import oids
from bramley.pki.cms import algorithms, ber, der, values
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import Malformed, TooLarge
from bramley.pki.revocation.issuer import IssuerName

REQUEST_TYPE: Final = "application/ocsp-request"

NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
_NONCE_OCTETS: Final = range(1, 128 + 1)
"""RFC 9654 section 2.1."""

_HASHES: Final = MappingProxyType({oids.SHA1: "sha1", oids.SHA256: "sha256"})
_ELEMENTS: Final = 2_000
_DEPTH: Final = 16
_TRUE: Final = b"\xff"

_VERSION: Final = 0xA0
_REQUEST_LIST: Final = ber.SEQUENCE
_EXTENSIONS: Final = 0xA2
_ORDER: Final = (_VERSION, 0xA1, _REQUEST_LIST, _EXTENSIONS)
"""The fields of a TBSRequest; 0xA1 is the requestor's name, which nobody here asks for."""


@dataclass(frozen=True, slots=True)
class CertID:
    """Which certificate is asked about: its issuer by hashes, and its serial number. `der` is what the answer repeats.

    `digest` is None for a hash that is unknown here, which names no issuer of ours.
    """

    digest: str | None
    name_hash: bytes
    key_hash: bytes
    serial: int
    der: bytes

    def issued_by(self, issuer: IssuerName) -> bool:
        return self.digest is not None and issuer.hashes(self.digest) == (self.name_hash, self.key_hash)


@dataclass(frozen=True, slots=True)
class OCSPRequest:
    """What is asked in one message; at least one certificate. `nonce` is its value without the OCTET STRING around it."""

    certificates: tuple[CertID, ...]
    nonce: bytes | None


def decode_path(text: str) -> bytes:
    """The DER behind the path of a GET (RFC 6960 appendix A.1), percent-decoded before. Raises Malformed.

    Base64 as clients write it: with or without padding, with `+` and `/` or `-` and `_`.
    """
    try:
        plain = text.rstrip("=").encode("ascii").translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise Malformed("Expected an OCSP request in base64 as the last part of the path; what came is not base64.") from None


def read(data: bytes, *, most: int) -> OCSPRequest:
    """The request. A signature on it is not looked at: everyone may ask.

    Raises Malformed for what is no request, asks about more than `most` certificates, has a nonce of a length that RFC 9654
    forbids, or insists on an extension that is unknown here.
    """
    parts = ber.sequence(ber.parse(data, ber.Limits(depth=_DEPTH, elements=_ELEMENTS)), "OCSPRequest")
    if not 1 <= len(parts) <= 2:
        raise Malformed(f"An OCSPRequest should have one or two elements; this one has {len(parts)}.")
    fields = _fields(parts[0])
    asked = ber.sequence(fields[_REQUEST_LIST], "requestList")
    if not asked:
        raise Malformed("An OCSP request should ask about a certificate; this one asks about none.")
    if len(asked) > most:
        raise TooLarge(f"An OCSP request may ask about {most} certificates; this one asks about {len(asked)}.")
    return OCSPRequest(tuple(_request(node) for node in asked), _nonce(fields.get(_EXTENSIONS)))


def _fields(tbs: Node) -> dict[int, Node]:
    """The fields of a TBSRequest by their tags: each at most once, in their order, and none besides."""
    fields = {node.tag: node for node in ber.sequence(tbs, "TBSRequest")}
    if list(fields) != [tag for tag in _ORDER if tag in fields] or len(fields) != len(tbs.children):
        raise Malformed("A TBSRequest should have its fields in their order, each at most once; this one does not.")
    if _REQUEST_LIST not in fields:
        raise Malformed("A TBSRequest should hold a list of requests; this one does not.")
    version = fields.get(_VERSION)
    if version is not None and [values.integer(node) for node in version.children] != [0]:
        raise Malformed("An OCSP request should be of version 1 (RFC 6960 section 4.1.1); this one is not.")
    return fields


def _request(node: Node) -> CertID:
    parts = ber.sequence(node, "Request")
    if not parts:
        raise Malformed("A Request should hold a CertID; this one is empty.")
    for further in parts[1:]:
        _extensions(further, known=frozenset())
    fields = ber.sequence(parts[0], "CertID")
    if len(fields) != 4:
        raise Malformed(f"A CertID should have four fields; this one has {len(fields)}.")
    algorithm, name_hash, key_hash, serial = fields
    oid, parameters = algorithms.read_identifier(algorithm)
    name, key, number = values.octets(name_hash), values.octets(key_hash), values.integer(serial)
    # Written anew, so that the answer is DER whatever the request was; for a request in DER these are its very octets.
    kept = b"" if parameters is None else parameters.raw
    written = der.sequence(algorithms.identifier(oid, kept), der.octet_string(name), der.octet_string(key), der.integer(number))
    return CertID(_HASHES.get(oid), name, key, number, written)


def _nonce(node: Node | None) -> bytes | None:
    found = _extensions(node, known=frozenset({NONCE})) if node is not None else {}
    if NONCE not in found:
        return None
    nonce = values.octets(ber.parse(found[NONCE]))
    if len(nonce) not in _NONCE_OCTETS:
        raise Malformed(f"A nonce should have 1 to 128 octets (RFC 9654 section 2.1); this one has {len(nonce)}.")
    return nonce


def _extensions(explicit: Node, *, known: frozenset[str]) -> dict[str, bytes]:
    """The known ones by identifier; others are passed over, unless they are critical (RFC 6960 section 4.4)."""
    inside = explicit.children
    if len(inside) != 1:
        raise Malformed(f"Expected one list of extensions at octet {explicit.start}; found {len(inside)}.")
    found: dict[str, bytes] = {}
    for node in ber.sequence(inside[0], "Extensions"):
        fields = ber.sequence(node, "Extension")
        if not 2 <= len(fields) <= 3:
            raise Malformed(f"An Extension should have two or three fields; this one has {len(fields)}.")
        oid, value = values.oid(fields[0]), values.octets(fields[-1])
        if oid in found:
            raise Malformed(f"The extension {oid} comes twice.")
        if oid in known:
            found[oid] = value
        elif len(fields) == 3 and fields[1].content == _TRUE:
            raise Malformed(f"The critical extension {oid} is unknown here.")
    return found
