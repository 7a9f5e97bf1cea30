"""Where requests for push certificates are made: at Bramley, with a vendor certificate or mdmcert.download; and without it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.clock import Clock
from bramley.model.push import Route
from bramley.operations.installation import Installation
from bramley.operations.push import mdmcert, requests, vendor
from bramley.operations.push.requests import Asked, Wanted
from bramley.pki import certificates
from bramley.rehearsal.push_cycle.ways import ACCOUNT
from bramley.sandbox.kept_files import key_pem
from bramley.sandbox.portals import SandboxApple
from bramley.sandbox.portals.developer import StandingVendor, VendorRecords
from bramley.sandbox.portals.vendors import new_csr, rsa_key, sign_request

ACTOR: Final = "rehearsal"
ORGANIZATION: Final = "Orchard"
_DEVELOPER: Final = "developer@orchard.example"
_IN_TIME: Final = timedelta(days=60)


class VendorDesk:
    """Bramley makes the request and signs it with its vendor certificate, which is renewed in time as well."""

    def __init__(self, installation: Installation, apple: SandboxApple) -> None:
        self._installation, self._apple = installation, apple
        self._vendor_until: datetime | None = None
        apple.developer.sign_up(_DEVELOPER, organization=ORGANIZATION, enterprise=True)

    async def request(self, topic: str | None) -> bytes:
        if self._vendor_until is None or self._vendor_until - self._installation.clock.now() < _IN_TIME:
            self._vendor_until = await self._renew_vendor()
        asked = await _ask(self._installation, Route.VENDOR, topic)
        return await vendor.sign(self._installation, asked, actor=ACTOR)

    def pack(self, certificate: x509.Certificate) -> Sequence[bytes]:
        """The certificate alone: Bramley has the key."""
        return [certificates.pem(certificate)]

    async def _renew_vendor(self) -> datetime:
        asked = await vendor.ask(self._installation, account=_DEVELOPER, email=_DEVELOPER, actor=ACTOR)
        issued = certificates.load(self._apple.developer.issue_vendor(_DEVELOPER, asked.request.public_bytes(Encoding.PEM)))
        above = self._apple.ca.vendor_chain(issued)[1:]
        await vendor.import_certificate(self._installation, issued, None, cas=above, fetch=False, actor=ACTOR)
        return issued.not_valid_after_utc


class MdmcertDesk:
    """Bramley makes the request, and mdmcert.download signs it and mails the result."""

    def __init__(self, installation: Installation, apple: SandboxApple) -> None:
        self._installation, self._service = installation, apple.mdmcert
        self._service.register(ACCOUNT)

    async def request(self, topic: str | None) -> bytes:
        asked = await _ask(self._installation, Route.MDMCERT, topic)
        await mdmcert.submit(self._installation, asked, email=ACCOUNT, actor=ACTOR)
        mail = self._service.mail(ACCOUNT)[-1]
        opened = await mdmcert.open_answer(self._installation, mail.body.encode(), actor=ACTOR)
        return opened.file

    def pack(self, certificate: x509.Certificate) -> Sequence[bytes]:
        """The certificate alone: Bramley has the key."""
        return [certificates.pem(certificate)]


class HandDesk:
    """Key and request made by hand, for a server that makes none, and signed by a vendor who minds nothing else."""

    def __init__(self, apple: SandboxApple, clock: Clock) -> None:
        self._apple = apple
        self._vendor = StandingVendor(ORGANIZATION, apple.ca, apple.developer, clock, VendorRecords())
        self._key: rsa.RSAPrivateKey = rsa_key()

    async def request(self, topic: str | None) -> bytes:
        self._key = rsa_key()
        signer = self._vendor.current()
        return sign_request(new_csr(self._key, ORGANIZATION), signer.key, self._apple.ca.vendor_chain(signer.certificate))

    def pack(self, certificate: x509.Certificate) -> Sequence[bytes]:
        """The certificate and the key of the last request."""
        return [certificates.pem(certificate), key_pem(self._key)]


async def _ask(installation: Installation, route: Route, topic: str | None) -> Asked:
    return await requests.ask(installation, Wanted(route, ACCOUNT, ACCOUNT, topic=topic), actor=ACTOR)
