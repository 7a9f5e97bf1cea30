"""Making SignedData (RFC 5652 section 5), always DER."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import oids
from bramley.pki.cms import algorithms, ber, certificate_ids, content_info, der
from bramley.pki.cms.algorithms import DIGESTS, Digest
from bramley.pki.cms.errors import Refused
from bramley.pki.keys import PrivateKey

SignerId = Literal["issuer-serial", "ski"]
"""How a message names its signer's certificate."""

_UNSIGNED: Final = 0xA1
_OURS: Final = frozenset({oids.CONTENT_TYPE, oids.MESSAGE_DIGEST, oids.SIGNING_TIME})


def sign(
    content: bytes,
    *,
    key: PrivateKey,
    certificate: x509.Certificate,
    others: Sequence[x509.Certificate] = (),
    digest: str = "sha256",
    detached: bool = False,
    signed_attributes: bool = True,
    attributes: Sequence[tuple[str, bytes]] = (),
    signing_time: datetime | None = None,
    content_type: str = oids.DATA,
    signer_id: SignerId = "issuer-serial",
    certificates: Sequence[x509.Certificate] | None = None,
    allow_sha1: bool = False,
) -> bytes:
    """A ContentInfo with a SignedData of one signer.

    `certificate` and `others` go into the message in this order; `certificates` replaces the whole list. `attributes` are
    signed besides the obligatory ones: dotted type and one value as a whole element. `signing_time` is aware; None leaves it
    out. Raises `Refused` for SHA-1 (unless a stand-in for an old device asks with `allow_sha1`), for a key that is not the
    certificate's, and for what RFC 5652 forbids: other content than id-data, or attributes, without signed attributes.
    """
    chosen = _digest(digest, allow_sha1)
    if key.public_key() != certificate.public_key():
        raise Refused("The key and the signer's certificate do not belong together.")
    covered, encoded_attributes = content, b""
    if signed_attributes:
        covered = der.set_of(_attributes(content, content_type, chosen, signing_time, attributes))
        # signed under the tag SET, sent under [0] (RFC 5652 section 5.4)
        encoded_attributes = b"\xa0" + covered[1:]
    elif content_type != oids.DATA or attributes or signing_time is not None:
        raise Refused("Without signed attributes only id-data can be signed, and neither attributes nor a time can be added.")
    signer_info = der.sequence(
        der.integer(3 if signer_id == "ski" else 1),
        _signer_identifier(certificate, signer_id),
        algorithms.identifier(chosen.oid, der.null()),
        encoded_attributes,
        algorithms.signature_identifier(key, chosen),
        der.octet_string(algorithms.sign(key, covered, chosen)),
    )
    enclosed = (certificate, *others) if certificates is None else certificates
    signed_data = der.sequence(
        # RFC 5652 section 5.1: 3 when the content is not id-data or a signer is named by key identifier
        der.integer(3 if content_type != oids.DATA or signer_id == "ski" else 1),
        der.set_of([algorithms.identifier(chosen.oid, der.null())]),
        der.sequence(der.oid(content_type), b"" if detached else der.context(0, der.octet_string(content))),
        der.set_in_order([one.public_bytes(Encoding.DER) for one in enclosed], tag=0xA0) if enclosed else b"",
        der.set_of([signer_info]),
    )
    return content_info.wrap(oids.SIGNED_DATA, signed_data)


def with_unsigned_attribute(message: bytes, kind: str, value: bytes) -> bytes:
    """A message of `sign` with one unsigned attribute: dotted type and one value as a whole element (RFC 5652 section 5.3).

    Signature and everything else stay as they are. Raises `Refused` where the message has such attributes already.
    """
    signed_data = ber.parse(message).children[1].children[0]
    *head, signers = signed_data.children
    (signer,) = signers.children
    if signer.children[-1].tag == _UNSIGNED:
        raise Refused("The message has unsigned attributes already.")
    changed = der.sequence(signer.content, der.context(1, _attribute(kind, value)))
    return content_info.wrap(oids.SIGNED_DATA, der.sequence(*[part.raw for part in head], der.set_of([changed])))


def _digest(name: str, allow_sha1: bool) -> Digest:
    chosen = DIGESTS.get(name)
    if chosen is None or (name == "sha1" and not allow_sha1):
        raise Refused(f"Cannot sign with {name}.", advice="Use sha256, sha384 or sha512.")
    return chosen


def _signer_identifier(certificate: x509.Certificate, signer_id: SignerId) -> bytes:
    if signer_id == "ski":
        return der.context(0, certificate_ids.require_subject_key_identifier(certificate), constructed=False)
    return certificate_ids.write_issuer_and_serial(certificate)


def _attributes(
    content: bytes, content_type: str, digest: Digest, when: datetime | None, others: Sequence[tuple[str, bytes]]
) -> Iterator[bytes]:
    """The signed attributes (RFC 5652 section 11), each type once."""
    yield _attribute(oids.CONTENT_TYPE, der.oid(content_type))
    yield _attribute(oids.MESSAGE_DIGEST, der.octet_string(digest.new(content).digest()))
    if when is not None:
        yield _attribute(oids.SIGNING_TIME, der.time(when))
    seen = set(_OURS)
    for kind, value in others:
        if kind in seen:
            raise Refused(f"The signed attribute {kind} is given twice, or is one that sign() writes itself.")
        seen.add(kind)
        yield _attribute(kind, value)


def _attribute(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.set_of([value]))
