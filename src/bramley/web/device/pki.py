"""GET /pki/…: the certificates of our CAs for whoever has to trust them, their CRLs, and OCSP by GET."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bramley.operations import issuers
from bramley.operations.live import Live
from bramley.pki import certificates
from bramley.web.asgi import Request, Response, text
from bramley.web.device.revocation import CRLs, OCSPOverHTTP

PREFIX: Final = "/pki/"
OCSP_PATH: Final = f"{PREFIX}ocsp"

_FORMS: Final = MappingProxyType(
    {
        "cer": ("application/x-x509-ca-cert", certificates.der),
        "pem": ("application/x-pem-file", certificates.pem),
    }
)


@dataclass(frozen=True, slots=True)
class PublicPKI:
    """Everything under the prefix."""

    live: Live
    crls: CRLs
    ocsp: OCSPOverHTTP

    async def __call__(self, request: Request) -> Response:
        # the base64 of an OCSP request may hold slashes
        if request.path.startswith(f"{OCSP_PATH}/"):
            return await self.ocsp.get(request, request.path.removeprefix(f"{OCSP_PATH}/"))
        name, _dot, form = request.path.removeprefix(PREFIX).rpartition(".")
        if form == "crl":
            return await self.crls.get(request, name)
        if form not in _FORMS:
            return _nothing()
        found = await self.live.installation.store.read(issuers.read)
        issuer = next((each for each in found if each.name == name), None)
        if issuer is None:
            return _nothing()
        content_type, write = _FORMS[form]
        return Response(200, write(issuer.x509), content_type)


def _nothing() -> Response:
    return text(404, "There is no such certificate.")
