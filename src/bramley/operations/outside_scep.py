"""Identities from an outside CA, asked for by SCEP in the devices' place.

Devices speak to this server, which judges their right as ever, and stands before the CA as a registration authority (RFC 8894
section 2.1.2). So every identity is on record and bound, although another issued it. The CSR is the device's own and goes on
unchanged: where the CA wants a static challenge in it, the device gets that one in its profile, and its right in the URL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP, exchange
from bramley.mdm.errors import Refused as Unbelieved
from bramley.model.enrollments import IdentityRoute
from bramley.operations import setting_files
from bramley.operations.errors import NotReady
from bramley.operations.issuing import NotEntitled, Outside
from bramley.operations.live import Snapshot
from bramley.operations.trusted_cas import TrustedCA
from bramley.pki import certificates, chains, names
from bramley.pki.errors import PKIError
from bramley.pki.scep.client import SKEW, SCEPClient
from bramley.pki.scep.enrollment import Signer
from bramley.pki.scep.errors import BadReply
from bramley.pki.scep.messages import PKI_MESSAGE_TYPE, Request
from bramley.settings import SCEP

_SECONDS: Final = 20.0
_LARGEST: Final = 64 * 1024


def ca_of(snapshot: Snapshot, scep: SCEP) -> TrustedCA:
    """The outside CA that issues: the only one trusted, or the one that the settings name. NotReady where there is none."""
    wanted = scep.outside_ca.lower().replace(":", "")
    found = [each for each in snapshot.outside_cas if wanted in ("", certificates.sha256(each.certificate))]
    if len(found) != 1:
        raise NotReady(
            f"Expected one trusted outside CA to issue identities; there are {len(found)}.",
            advice="`bramley identity ca trust FILE` trusts one; scep.outside_ca names which, by its SHA-256.",
        )
    return found[0]


async def ask(snapshot: Snapshot, scep: SCEP, request: Request, now: datetime) -> Outside:
    """What the outside CA issues for a device's request: for its key, by the CA that is trusted, and good as an identity.

    NotEntitled for whatever keeps that from coming, a person's approval there too; the device may then try again.
    """
    try:
        ca, registration = ca_of(snapshot, scep), snapshot.responder
        if not isinstance(registration.key, rsa.RSAPrivateKey):
            raise AssertionError("an RA has an RSA key")
        client = SCEPClient(_OverHTTP(scep))
        issuer, registration_there = _told(await client.ca_certificates(), ca.certificate)
        issued = await client.relay(
            request.csr.der,
            ca=issuer,
            ra=registration_there,
            signer=Signer(registration.certificate, registration.key),
            now=now,
            allow_legacy=scep.outside_legacy,
        )
        # what would be refused at the device's first request is not handed out
        snapshot.trust.admit(certificates.der(issued[0]), now, SKEW)
    except (PKIError, ServiceTrouble, NotReady, Unbelieved) as error:
        raise NotEntitled("outside-ca", f"The outside CA was asked for an identity. {error.message}") from error
    return Outside(issued[0], ca.version, IdentityRoute.OUTSIDE_SCEP)


def _told(found: tuple[x509.Certificate, ...], trusted: x509.Certificate) -> tuple[x509.Certificate, x509.Certificate | None]:
    """The CA and the RA in front of it, from the answer to GetCACert: the CA has to be the one that is trusted."""
    if trusted not in found:
        shown = ", ".join(names.text(each.subject) for each in found[:4])
        raise BadReply(f"Expected the trusted CA {names.text(trusted.subject)} in the answer to GetCACert; {shown} came.")
    # an RA comes first, with the CA behind it (RFC 8894 section 4.2.1.2)
    return trusted, found[0] if found[0] != trusted and not chains.is_ca(found[0]) else None


@dataclass(frozen=True, slots=True)
class _OverHTTP:
    """The CA's SCEP URL."""

    scep: SCEP

    async def get(self, query: str) -> tuple[str, bytes]:
        return await self._exchange("GET", query, None)

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]:
        return await self._exchange("POST", query, body)

    async def _exchange(self, method: str, query: str, body: bytes | None) -> tuple[str, bytes]:
        roots = setting_files.read("scep.outside_ca_file", self.scep.outside_ca_file)
        http = HTTP(ca_pem=roots, seconds=_SECONDS, in_clear=True)
        url = f"{self.scep.outside_url}{'&' if '?' in self.scep.outside_url else '?'}{query}"
        headers = {} if body is None else {"Content-Type": PKI_MESSAGE_TYPE}
        answer = await exchange(http, method, url, headers=headers, limit=_LARGEST, content=body)
        if answer.status != 200:
            raise ServiceTrouble(f"It answered with status {answer.status}.")
        return answer.content_type, answer.body
