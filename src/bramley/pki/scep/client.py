"""A SCEP client over any transport (RFC 8894 section 4). What is sent and accepted is decided in `enrollment`."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import quote

from cryptography import x509

from bramley.errors import BadInput
from bramley.pki import cms, csr, keys
from bramley.pki.cms import certificate_ids
from bramley.pki.scep import enrollment
from bramley.pki.scep.enrollment import Enrollment, Signer
from bramley.pki.scep.errors import BadReply
from bramley.pki.scep.messages import CA_CERTIFICATE_TYPE, CA_RA_CERTIFICATES_TYPE, PKI_MESSAGE_TYPE

SKEW: Final = timedelta(minutes=5)
"""How far ahead a CA's clock may be: what it has just issued begins in its own now."""

_POST_CAPABILITIES: Final = frozenset({"POSTPKIOperation", "SCEPStandard"})


class Transport(Protocol):
    """HTTP to one SCEP URL. `query` is ready to follow the '?'; answers are content type and body of a 200, else it raises.

    It bounds time and size: nothing here does.
    """

    async def get(self, query: str) -> tuple[str, bytes]: ...

    async def post(self, query: str, body: bytes) -> tuple[str, bytes]: ...


class SCEPClient:
    """Asks one SCEP server. Keeps nothing between calls."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def capabilities(self) -> frozenset[str]:
        """What the server says it can do (GetCACaps), as it spells it."""
        _, body = await self._transport.get("operation=GetCACaps")
        return frozenset(body.decode("ascii", "replace").split())

    async def ca_certificates(self) -> tuple[x509.Certificate, ...]:
        """The server's CA certificate, or RA and CA certificates in its order (GetCACert). Nothing vouches for them yet.

        Raises BadReply.
        """
        content_type, body = await self._transport.get("operation=GetCACert")
        kind = _media_type(content_type)
        try:
            if kind == CA_CERTIFICATE_TYPE:
                return (certificate_ids.load(body),)
            if kind == CA_RA_CERTIFICATES_TYPE:
                return tuple(certificate_ids.load(der) for der in cms.parse_certs_only(body))
        except cms.CMSError as error:
            raise BadReply(f"Expected the CA's certificates. {error.message}") from error
        raise BadReply(f"Expected {CA_CERTIFICATE_TYPE} or {CA_RA_CERTIFICATES_TYPE}; {kind[:80]!r} came.")

    async def enroll(
        self,
        key: keys.PrivateKey,
        csr_der: bytes,
        *,
        ca: x509.Certificate,
        ra: x509.Certificate | None = None,
        signer: tuple[x509.Certificate, keys.PrivateKey] | None = None,
        renewal: bool = False,
        now: datetime,
        message_digest: str = "sha256",
        cipher: str = "aes-256-cbc",
        use_post: bool | None = None,
        allow_legacy: bool = False,
    ) -> tuple[x509.Certificate, ...]:
        """A certificate for `key`, first of those the CA sent, checked against `ca` (see `enrollment.accept`).

        `csr_der` is for `key`. `signer` is certificate and RSA key of who asks: the identity to be renewed for a `renewal`;
        left out, `key` signs for itself. `use_post` None asks the server what it can do. `allow_legacy` takes an answer in
        SHA-1 and single DES.

        Raises BadInput for arguments that do not go together, BadReply, Refused, Pending, and what the transport raises.
        """
        asked = csr.load(csr_der)
        if keys.spki(asked.public_key) != keys.spki(key.public_key()):
            raise BadInput("The CSR is for another key than the one given.", advice="Make the CSR with the key given.")
        who = enrollment.signer_for(key, asked.subject, signer, renewal=renewal, now=now)
        sent = enrollment.request(
            csr_der, signer=who, ca=ca, ra=ra, renewal=renewal, now=now, digest=message_digest, cipher=cipher
        )
        return await self._ask(sent, now, use_post=use_post, allow_legacy=allow_legacy)

    async def relay(
        self,
        csr_der: bytes,
        *,
        ca: x509.Certificate,
        ra: x509.Certificate | None = None,
        signer: Signer,
        now: datetime,
        allow_legacy: bool = False,
    ) -> tuple[x509.Certificate, ...]:
        """A certificate for the key of somebody else's CSR, asked for in one's own name, as an RA does.

        Checked, and raising, as `enroll`.
        """
        sent = enrollment.request(csr_der, signer=signer, ca=ca, ra=ra, now=now)
        return await self._ask(sent, now, use_post=None, allow_legacy=allow_legacy)

    async def _ask(
        self, sent: Enrollment, now: datetime, *, use_post: bool | None, allow_legacy: bool
    ) -> tuple[x509.Certificate, ...]:
        if use_post is None:
            use_post = not _POST_CAPABILITIES.isdisjoint(await self.capabilities())
        if use_post:
            content_type, reply = await self._transport.post("operation=PKIOperation", sent.message)
        else:
            encoded = quote(base64.b64encode(sent.message), safe="")
            content_type, reply = await self._transport.get(f"operation=PKIOperation&message={encoded}")
        if _media_type(content_type) != PKI_MESSAGE_TYPE:
            raise BadReply(f"Expected {PKI_MESSAGE_TYPE}; {content_type[:80]!r} came.")
        return enrollment.accept(reply, sent, now=now, skew=SKEW, allow_legacy=allow_legacy)


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
