"""What a PKCS#12 archive holds for us."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from bramley.pki import keys


@dataclass(frozen=True, slots=True)
class Bundle:
    """A private key, the certificate of that key, and whatever other certificates are there, in the archive's order."""

    key: keys.PrivateKey = field(repr=False)
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...] = ()
