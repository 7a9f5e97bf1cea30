"""How a CMS message names a certificate: by issuer and serial number, or by subject key identifier (RFC 5652 section 10.2.4).

Names are compared octet by octet, as they stand in the certificate: no normalisation that two readers could do differently.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki.cms import ber, canonical, der
from bramley.pki.cms.ber import Source
from bramley.pki.cms.errors import Malformed, Refused

_VERSION: Final = 0xA0


def issuer_and_serial(certificate: bytes) -> tuple[bytes, int]:
    """The issuer (the whole Name as it stands) and serial number of a DER certificate (RFC 5280 section 4.1)."""
    _, body, limit = canonical.element(certificate, 0, len(certificate))
    _, position, limit = canonical.element(certificate, body, limit)
    tag, serial, stop = canonical.element(certificate, position, limit)
    if tag == _VERSION:
        tag, serial, stop = canonical.element(certificate, stop, limit)
    _, _, name = canonical.element(certificate, stop, limit)
    name_tag, _, name_stop = canonical.element(certificate, name, limit)
    if tag != ber.INTEGER or name_tag != ber.SEQUENCE:
        raise Malformed("A certificate should hold a serial number, an algorithm and an issuer; this one does not.")
    return certificate[name:name_stop], int.from_bytes(certificate[serial:stop], "big", signed=True)


def write_issuer_and_serial(certificate: x509.Certificate) -> bytes:
    """The IssuerAndSerialNumber that names a certificate."""
    issuer, serial = issuer_and_serial(certificate.public_bytes(Encoding.DER))
    return der.sequence(issuer, der.integer(serial))


def read_issuer_and_serial(source: Source, position: int, limit: int) -> tuple[bytes, int]:
    """The issuer (the whole Name as it stands) and serial number in an IssuerAndSerialNumber, given its contents' offsets."""
    name, _, _, at = ber.element(source, position, limit)
    number, serial, stop, end = ber.element(source, at, limit)
    if (name, number, end) != (ber.SEQUENCE, ber.INTEGER, limit) or serial == stop:
        raise Malformed(f"The IssuerAndSerialNumber at octet {position} should hold a Name and an INTEGER.")
    return source.data[position:at], int.from_bytes(source.data[serial:stop], "big", signed=True)


def load(certificate: bytes) -> x509.Certificate:
    """A DER certificate as an object; `Malformed` where it is none."""
    try:
        return x509.load_der_x509_certificate(certificate)
    except (ValueError, x509.InvalidVersion):
        raise Malformed(f"A certificate of the message, of {len(certificate)} octets, is not valid DER.") from None


def subject_key_identifier(certificate: x509.Certificate) -> bytes | None:
    """The subject key identifier extension (RFC 5280 section 4.2.1.2); `None` where there is none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return None
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise Malformed("The extensions of a certificate of the message cannot be read.") from None


def require_subject_key_identifier(certificate: x509.Certificate) -> bytes:
    """The subject key identifier of a certificate of ours; `Refused` where there is none."""
    found = subject_key_identifier(certificate)
    if found is None:
        raise Refused(
            "The certificate has no subject key identifier to name it by.", advice="Name it by issuer and serial number."
        )
    return found
