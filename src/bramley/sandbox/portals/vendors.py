"""Certification requests as portals read them, and MDM vendors, who sign those of their customers."""

from __future__ import annotations

import base64
import plistlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import certificates
from bramley.sandbox.portals.errors import PortalRefused

SMALLEST_RSA: Final = 2048
_STRONG: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


@dataclass(frozen=True, slots=True)
class Vendor:
    """An MDM vendor certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey = field(repr=False)


def rsa_key(bits: int = SMALLEST_RSA) -> rsa.RSAPrivateKey:
    """A new key, of the only kind that these portals know."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def read_csr(data: bytes) -> tuple[x509.CertificateSigningRequest, rsa.RSAPublicKey]:
    """A PKCS#10 request, PEM or DER, and its key: RSA of 2048 bits or more, signed with SHA-2 by that key.

    Raises PortalRefused.
    """
    try:
        pem = data.lstrip().startswith(b"-----BEGIN")
        csr = x509.load_pem_x509_csr(data) if pem else x509.load_der_x509_csr(data)
        key, signed = csr.public_key(), csr.is_signature_valid
        strong = isinstance(csr.signature_hash_algorithm, _STRONG)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise PortalRefused("The file is not a valid certificate signing request (CSR).") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SMALLEST_RSA:
        raise PortalRefused("The CSR must be for an RSA key of 2048 bits or more.")
    if not strong:
        raise PortalRefused("The CSR is signed with an algorithm that is too weak.")
    if not signed:
        raise PortalRefused("The CSR is not signed by its own key.")
    return csr, key


def new_csr(key: rsa.RSAPrivateKey, common_name: str) -> bytes:
    """A DER request for the key."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def sign_request(csr: bytes, key: rsa.RSAPrivateKey, chain: Sequence[x509.Certificate]) -> bytes:
    """What a customer uploads to the push certificates portal: base64 of a property list, on one line.

    `csr` is the customer's request in DER, `key` the vendor's, `chain` the vendor certificate up to the root.
    """
    content = {
        "PushCertCertificateChain": b"".join(map(certificates.pem, chain)).decode(),
        "PushCertRequestCSR": base64.b64encode(csr).decode(),
        "PushCertSignature": base64.b64encode(key.sign(csr, padding.PKCS1v15(), hashes.SHA256())).decode(),
    }
    return base64.b64encode(plistlib.dumps(content))
