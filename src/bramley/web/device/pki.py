"""GET /pki/NAME.cer and /pki/NAME.pem: the certificates of our authorities, for whoever has to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography import x509

from bramley.operations.live import Live, Snapshot
from bramley.pki import certificates
from bramley.web.asgi import Request, Response, text

PREFIX: Final = "/pki/"

_FORMS: Final = MappingProxyType(
    {
        "cer": ("application/x-x509-ca-cert", certificates.der),
        "pem": ("application/x-pem-file", certificates.pem),
    }
)


@dataclass(frozen=True, slots=True)
class AuthorityCertificates:
    live: Live

    async def __call__(self, request: Request) -> Response:
        name, _dot, form = request.path.removeprefix(PREFIX).rpartition(".")
        certificate = _named(self.live.current()).get(name)
        if certificate is None or form not in _FORMS:
            return text(404, "There is no such certificate.")
        content_type, write = _FORMS[form]
        return Response(200, write(certificate), content_type)


def _named(snapshot: Snapshot) -> Mapping[str, x509.Certificate]:
    held = snapshot.authorities
    return {
        "root": held.root.authority.certificate,
        "identity-ca": held.identity.authority.certificate,
        "https-ca": held.https.authority.certificate,
        "signer-ca": held.signer.authority.certificate,
    }
