"""The server's side of SCEP without HTTP: what each operation (RFC 8894 section 3.5 and 4) answers, from octets to octets.

`open_message` and the replies (`success`, `pending`, `failure`, `crl`) are PKIOperation; between them the caller decides and
issues.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from cryptography import x509

from bramley.pki import certificates, cms
from bramley.pki.ca.authority import Authority
from bramley.pki.scep.errors import MalformedMessage
from bramley.pki.scep.messages import (
    CA_CERTIFICATE_TYPE,
    CA_RA_CERTIFICATES_TYPE,
    NEXT_CA_CERTIFICATES_TYPE,
    PKI_MESSAGE_TYPE,
)
from bramley.pki.scep.queries import open_message
from bramley.pki.scep.replies import crl, failure, pending, success
from bramley.pki.scep.requests import Responder, open_request, read_message

__all__ = [
    "CAPABILITIES",
    "CA_CERTIFICATE_TYPE",
    "CA_RA_CERTIFICATES_TYPE",
    "NEXT_CA_CERTIFICATES_TYPE",
    "PKI_MESSAGE_TYPE",
    "Responder",
    "ca_certificates",
    "capabilities",
    "crl",
    "decode_get_message",
    "failure",
    "next_ca_certificates",
    "open_message",
    "open_request",
    "pending",
    "read_message",
    "success",
]

CAPABILITIES: Final = ("AES", "SHA-256", "SHA-384", "SHA-512", "SHA-1", "DES3", "POSTPKIOperation", "SCEPStandard", "Renewal")
"""What every client needs to see. strongSwan 5.9.8 takes AES only beside SHA-384; without Renewal, macOS says it cannot renew,
and then renews with a PKCSReq all the same."""

_NEXT_CA: Final = "GetNextCACert"
_ESCAPE_ROUNDS: Final = 3
_ALPHABETS: Final = bytes.maketrans(b"-_ ", b"+/+")


def capabilities(*, next_ca: bool = False) -> bytes:
    """The answer to GetCACaps (RFC 8894 section 3.5.2), text/plain: one capability a line; `next_ca` where one is prepared."""
    return "\n".join((*CAPABILITIES, _NEXT_CA) if next_ca else CAPABILITIES).encode("ascii")


def ca_certificates(
    chain: Sequence[x509.Certificate], *, registration_authority: x509.Certificate | None = None
) -> tuple[str, bytes]:
    """The answer to GetCACert (RFC 8894 section 4.2): content type and body. `chain` begins with the issuing CA.

    Without an RA that one certificate is sent by itself, whatever stands above it: offered several, Apple's clients look for
    an RA among them and fail (-67731). With an RA, its certificate comes first, then the chain.
    """
    if registration_authority is None:
        return CA_CERTIFICATE_TYPE, certificates.der(chain[0])
    return CA_RA_CERTIFICATES_TYPE, cms.certs_only([registration_authority, *chain])


def next_ca_certificates(authority: Authority, chain: Sequence[x509.Certificate], *, now: datetime) -> tuple[str, bytes]:
    """The answer to GetNextCACert (RFC 8894 section 4.7): content type and body. `chain` begins with the CA to come.

    The CA in force signs it, and its signature is all that vouches for the next one: a client takes the certificates inside
    once it has checked it.
    """
    signed = cms.sign(
        cms.certs_only(chain),
        key=authority.key,
        certificate=authority.certificate,
        signing_time=now,
    )
    return NEXT_CA_CERTIFICATES_TYPE, signed


def decode_get_message(raw_query_value: bytes) -> bytes:
    """The pkiMessage in `message=` of a GET (RFC 8894 section 4.1), from the RAW query value: nothing unescaped by the caller.

    Takes each form that clients send: everything escaped, padding alone escaped (macOS), escaped twice, the URL-safe
    alphabet, no padding, line breaks; and a space, which is what a careless form decoder on the way makes of '+'. Raises
    MalformedMessage for anything else.
    """
    text = raw_query_value
    for _ in range(_ESCAPE_ROUNDS):
        if b"%" not in text:
            break
        text = unquote_to_bytes(text)
    text = text.translate(_ALPHABETS, b"\r\n\t").rstrip(b"=")
    try:
        message = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise MalformedMessage(
            f"Expected a base64 pkiMessage in the query; {len(raw_query_value)} octets came that are not ({error}).",
            advice="Send it by POST (GetCACaps lists POSTPKIOperation).",
        ) from None
    if not message:
        raise MalformedMessage("Expected a base64 pkiMessage in the query; it is empty.", advice="Send it as message=.")
    return message
