"""What stands for an issuer in CRLs and OCSP: its name and its key, octet by octet as its certificate has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from bramley.pki import certificates
from bramley.pki.cms import ber

_VERSION: Final = 0xA0
_SUBJECT: Final = 4
"""Its place in a TBSCertificate (RFC 5280 section 4.1), the version not counted; the key follows."""


@dataclass(frozen=True, slots=True)
class IssuerName:
    """`name` is the whole DER Name, `key` the contents of the subjectPublicKey BIT STRING: what a certID is hashed from."""

    name: bytes
    key: bytes

    @classmethod
    def of(cls, certificate: x509.Certificate) -> IssuerName:
        tbs, *_signature = ber.parse(certificates.der(certificate)).children
        fields = [field for field in tbs.children if field.tag != _VERSION]
        _algorithm, bits = fields[_SUBJECT + 1].children
        return cls(fields[_SUBJECT].raw, bits.content[1:])

    def hashes(self, digest: str) -> tuple[bytes, bytes]:
        """issuerNameHash and issuerKeyHash (RFC 6960 section 4.1.1) by the hash of this name."""
        return _hash(digest, self.name), _hash(digest, self.key)


def _hash(digest: str, octets: bytes) -> bytes:
    # names a CA, protects nothing: SHA-1 is what nearly every client sends (RFC 5019 section 2.1.1)
    return hashlib.new(digest, octets, usedforsecurity=False).digest()
