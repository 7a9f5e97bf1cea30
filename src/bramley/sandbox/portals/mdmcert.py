"""mdmcert.download: signs the push certificate requests of registered organizations, and mails the result encrypted.

`POST /api/v1/signrequest` takes a JSON object of four strings: `csr` and `encrypt` (base64 of a PEM request and of a PEM
certificate), `email`, `key` (which program is asking). What is mailed is hexadecimal text of a CMS EnvelopedData.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from bramley.clock import Clock
from bramley.errors import BramleyError
from bramley.pki import certificates, cms
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.portals.developer import DeveloperPortal, StandingVendor, VendorRecords
from bramley.sandbox.portals.errors import PortalRefused
from bramley.sandbox.portals.vendors import read_csr, sign_request

PATH: Final = "/api/v1/signrequest"
ORGANIZATION: Final = "mdmcert.download"
AES_256: Final = "aes-256-cbc"
TRIPLE_DES: Final = "des-ede3-cbc"

_COLUMNS: Final = 76


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail's only attachment."""

    filename: str
    body: str


@dataclass(slots=True)
class MdmcertRecords:
    """What the service remembers: programs by client key, addresses of organizations with their mail, its vendor certificate."""

    clients: dict[str, str] = field(default_factory=dict)
    mail: dict[str, list[Mail]] = field(default_factory=dict)
    vendor: VendorRecords = field(default_factory=VendorRecords)


class MdmcertService:
    """The service without its web server. `cipher` encrypts what it mails; `line_breaks` puts them into the hexadecimal text."""

    def __init__(
        self, ca: SandboxAppleCA, developer: DeveloperPortal, clock: Clock, records: MdmcertRecords | None = None
    ) -> None:
        self._ca, self._clock = ca, clock
        self._records = MdmcertRecords() if records is None else records
        self.vendor = StandingVendor(ORGANIZATION, ca, developer, clock, self._records.vendor)
        self.cipher = AES_256
        self.line_breaks = False

    def client_key(self, product: str) -> str:
        """The key by which the service knows a program, 64 hexadecimal digits: made when first asked for."""
        for key, known in self._records.clients.items():
            if known == product:
                return key
        key = secrets.token_hex(32)
        self._records.clients[key] = product
        return key

    def register(self, address: str) -> None:
        """An organization has registered this mail address."""
        self._records.mail.setdefault(address, [])

    def mail(self, address: str) -> list[Mail]:
        """What was mailed there, oldest first."""
        return list(self._records.mail.get(address, ()))

    def every_mail(self) -> list[Mail]:
        """What was mailed to anybody."""
        return [mail for mailbox in self._records.mail.values() for mail in mailbox]

    def answer(self, body: bytes) -> dict[str, str]:
        """The JSON answer to a request's body, `result` being success or failure; after success the mail is there."""
        try:
            self._sign(_read(body))
        except BramleyError as error:
            return {"result": "failure", "reason": error.message}
        return {"result": "success"}

    def _sign(self, asked: Mapping[str, str]) -> None:
        if asked["key"] not in self._records.clients:
            raise PortalRefused("The client key is unknown.")
        mailbox = self._records.mail.get(asked["email"])
        if mailbox is None:
            raise PortalRefused("The mail address is not registered.")
        csr, _ = read_csr(_pem(asked, "csr"))
        recipient = certificates.load(_pem(asked, "encrypt"))
        vendor = self.vendor.current()
        signed = sign_request(csr.public_bytes(Encoding.DER), vendor.key, self._ca.vendor_chain(vendor.certificate))
        text = cms.encrypt(signed, recipients=[recipient], cipher=self.cipher).hex()
        if self.line_breaks:
            text = "".join(f"{text[at : at + _COLUMNS]}\n" for at in range(0, len(text), _COLUMNS))
        number = len(self.every_mail()) + 1
        filename = f"mdm_signed_request.{self._clock.now():%Y%m%d_%H%M%S}_{number}.plist.b64.p7"
        mailbox.append(Mail(filename, text))


def _read(body: bytes) -> Mapping[str, str]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise PortalRefused("The request is not a JSON object.")
    for name in ("csr", "email", "key", "encrypt"):
        if not isinstance(asked.get(name), str):
            raise PortalRefused(f"The request lacks {name}, a string.")
    return asked


def _pem(asked: Mapping[str, str], name: str) -> bytes:
    try:
        pem = base64.b64decode(asked[name], validate=True)
    except (binascii.Error, ValueError):
        pem = b""
    if not pem.lstrip().startswith(b"-----BEGIN"):
        raise PortalRefused(f"The request's {name} is not the base64 of a PEM text.")
    return pem
