"""mdmcert.download: a vendor for organisations that have none. The request goes there as JSON and comes back by mail.

Neither Apple nor the service documents the form; it is that of micromdm's client, which the service was made for.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from bramley.apple.errors import ServiceTrouble
from bramley.apple.http import HTTP, exchange
from bramley.apple.push_certificate.errors import (
    BadApplicant,
    BadReply,
    BadRequestFile,
    MdmcertRefused,
    ReplyForAnother,
)
from bramley.apple.push_certificate.request_file import read_request
from bramley.apple.push_certificate.requests import require_email
from bramley.pki import certificates, cms, keys, names
from bramley.pki.errors import BadKey

SERVICE_URL: Final = "https://mdmcert.download/api/v1/signrequest"
COMMON_NAME: Final = "mdmcert.download"
VALIDITY: Final = timedelta(days=365)

LARGEST_ANSWER: Final = 64 * 1024
LARGEST_REPLY: Final = 1024 * 1024
"""Most octets of a mailed file; real ones have about forty thousand."""

_LONGEST_REASON: Final = 300
_CMS_LIMITS: Final = cms.Limits(size=LARGEST_REPLY, depth=16, elements=2_000)
_SEQUENCE: Final = 0x30


def encryption_certificate(key: keys.PrivateKey, now: datetime) -> x509.Certificate:
    """A self-signed certificate for the service to encrypt its answer to: RSA, keyEncipherment, 365 days from `now`.

    Raises BadApplicant for a key that is not RSA of 2048 bits or more.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadApplicant(f"Expected an RSA key to encrypt to; this one is {keys.describe(key.public_key())}.")
    try:
        keys.require_strong(key.public_key())
    except BadKey as error:
        raise BadApplicant(error.message, advice=error.advice) from None
    name = names.make(COMMON_NAME)
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + VALIDITY)
        .add_extension(_key_encipherment(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(COMMON_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )


def sign_request_body(csr: x509.CertificateSigningRequest, encryption: x509.Certificate, *, email: str, client_key: str) -> bytes:
    """What is posted to the service: JSON with the CSR and the certificate as base64 of their PEM text. Holds the client key.

    Raises BadApplicant where the address is no mail address or the client key is empty or not printable ASCII.
    """
    if not client_key or not client_key.isascii() or not client_key.isprintable() or " " in client_key:
        raise BadApplicant(
            "Expected the client key of mdmcert.download as printable ASCII without spaces.",
            advice="Ask the service for a key of your own and put it in the settings.",
        )
    body = {
        "csr": b64encode(csr.public_bytes(Encoding.PEM)).decode(),
        "email": require_email(email),
        "key": client_key,
        "encrypt": b64encode(certificates.pem(encryption)).decode(),
    }
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


async def submit(
    body: bytes, *, url: str = SERVICE_URL, ca_pem: bytes | None = None, proxy: str | None = None, seconds: float = 30.0
) -> None:
    """Posts what `sign_request_body` made; returns once the service has taken it and will send its mail.

    Raises MdmcertRefused with the service's reason; ServiceTrouble for every other answer or none.
    """
    http = HTTP(ca_pem, proxy, seconds)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = await exchange(http, "POST", url, headers=headers, content=body, limit=LARGEST_ANSWER)
    if answer.status != 200:
        raise ServiceTrouble(
            f"mdmcert.download answered with status {answer.status}; 200 was expected.", advice="Try again later."
        )
    said = _object(answer.body)
    if said.get("result") == "success":
        return
    if said.get("result") != "failure":
        raise ServiceTrouble(
            "mdmcert.download answered with something that is not its JSON of result and reason.",
            advice="Check the address in the settings: a proxy's or another server's page may have come.",
        )
    raise MdmcertRefused(_reason(said.get("reason"), hidden=str(_object(body).get("key", ""))))


def decrypt(data: bytes, recipients: Sequence[tuple[x509.Certificate, keys.PrivateKey]]) -> bytes:
    """The request file in the answer that came by mail: CMS EnvelopedData as hexadecimal text with any white space, or DER.

    `recipients` are the encryption certificates still waiting, each with its key. What comes out has been read as a request
    and not verified. Raises ReplyForAnother where none of them is meant, BadReply for everything else.
    """
    if len(data) > LARGEST_REPLY:
        raise _bad(f"Expected at most {LARGEST_REPLY} octets; {len(data)} came.")
    content = _open(_der(data), recipients)
    try:
        read_request(content)
    except BadRequestFile as error:
        raise _bad(f"It opens, but what is in it cannot be used. {error.message}") from None
    return content


def _open(der: bytes, recipients: Sequence[tuple[x509.Certificate, keys.PrivateKey]]) -> bytes:
    for certificate, key in recipients:
        if not isinstance(key, rsa.RSAPrivateKey):
            continue
        try:
            # Go's CMS library, which the service uses, encrypts with single DES unless told otherwise. What is hidden here
            # is no secret: a signed request is public the moment it is uploaded.
            return cms.decrypt(der, key=key, certificate=certificate, allow_single_des=True, limits=_CMS_LIMITS).content
        except cms.NotForUs:
            continue
        except cms.CMSError as error:
            raise _bad(error.message) from None
    raise ReplyForAnother(
        f"This answer of mdmcert.download is encrypted to none of the {len(recipients)} certificates waiting for one.",
        advice="Decrypt it where the request was made, or make a new request and use the answer to that.",
    )


def _der(data: bytes) -> bytes:
    """The octets of the message. DER begins with SEQUENCE and a long length; no hexadecimal text does."""
    if len(data) > 1 and data[0] == _SEQUENCE and data[1] >= 0x80:
        der = data
    else:
        try:
            text = "".join(data.decode("utf-8-sig").split())
            der = bytes.fromhex(text[: len(text) & ~1])
        except ValueError:
            raise _bad("Expected hexadecimal text; what came is something else.") from None
        if not der or der[0] != _SEQUENCE:
            raise _bad("Expected hexadecimal text of a CMS message (RFC 5652), which starts with 30; this does not.")
        if len(text) % 2:
            raise _cut_off()
    if _announced(der) > len(der):
        raise _cut_off()
    return der


def _announced(der: bytes) -> int:
    """How many octets the message has by its own header (X.690 8.1.3); where that does not say, no more than the header."""
    octets = der[1] & 0x7F if len(der) > 1 and der[1] > 0x80 else 0
    return 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _reason(given: object, *, hidden: str) -> str:
    """The service's own words, short and printable; should they repeat the client key, without it."""
    text = given if isinstance(given, str) else ""
    shown = text.replace(hidden, "…") if hidden else text
    return "".join(character if character.isprintable() else " " for character in shown[:_LONGEST_REASON]).strip()


def _key_encipherment() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _cut_off() -> BadReply:
    return _bad("It is cut off: the end of the message is missing.")


def _bad(reason: str) -> BadReply:
    return BadReply(
        f"This is not an answer of mdmcert.download that can be used. {reason}",
        advice="Save the attachment of the service's mail again, unchanged, and give that file.",
    )
