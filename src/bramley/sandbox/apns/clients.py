"""Who pushes: what a client certificate says to APNs, read once for each connection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.pki import certificates
from bramley.sandbox.apple_ca import PUSH_SERVICE


@dataclass(frozen=True, slots=True)
class Client:
    """`topic` is the subject UID, where there is exactly one. `pushes`: it is a push certificate, and no other kind."""

    sha256: str
    serial: int
    topic: str | None
    pushes: bool
    begins: datetime
    ends: datetime

    def is_valid(self, now: datetime) -> bool:
        """Whether the certificate is of the right kind and in date. Revocation is not decided here."""
        return self.pushes and self.topic is not None and self.begins <= now <= self.ends


def read_client(certificate: x509.Certificate, issuer: x509.Certificate) -> Client:
    """Reads a certificate that TLS has already verified up to the root. Only those that `issuer` gave out are for pushes."""
    uid = certificate.subject.get_attributes_for_oid(NameOID.USER_ID)
    return Client(
        sha256=certificates.sha256(certificate),
        serial=certificate.serial_number,
        topic=uid[0].value if len(uid) == 1 and isinstance(uid[0].value, str) else None,
        pushes=certificate.issuer == issuer.subject and any(each.oid == PUSH_SERVICE for each in certificate.extensions),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
    )
