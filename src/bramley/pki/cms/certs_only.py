"""Certificates and CRLs without content or signers: the degenerate SignedData that SCEP hands out (RFC 5652 section 5)."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import oids
from bramley.pki.cms import ber, content_info, der
from bramley.pki.cms.ber import Limits
from bramley.pki.cms.errors import Malformed
from bramley.pki.cms.signed_data import parse_signed_data


def certs_only(certificates: Sequence[x509.Certificate], *, crls: Sequence[bytes] = ()) -> bytes:
    """A ContentInfo that carries the certificates in the caller's order (see `der.set_in_order`), and the CRLs (DER)."""
    signed_data = der.sequence(
        der.integer(1),
        der.set_of([]),
        der.sequence(der.oid(oids.DATA)),
        der.set_in_order([one.public_bytes(Encoding.DER) for one in certificates], tag=0xA0) if certificates else b"",
        der.set_in_order(crls, tag=0xA1) if crls else b"",
        der.set_of([]),
    )
    return content_info.wrap(oids.SIGNED_DATA, signed_data)


def parse_certs_only(data: bytes, *, limits: Limits = ber.DEFAULT_LIMITS) -> tuple[bytes, ...]:
    """The certificates of such a message, DER, in its order; `Malformed` when it has signers or content."""
    signed = parse_signed_data(data, limits=limits)
    if signed.signers or signed.content:
        raise Malformed(f"Expected certificates only; the message has {len(signed.signers)} signers or content.")
    return signed.certificates
