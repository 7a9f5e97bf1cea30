"""The file for identity.apple.com: a vendor-signed request, as Apple reads it and nothing else.

Apple, "Setting up push notifications for your MDM customers": a property list of three strings, the whole of it in base64.
Apple is strict about the PEM text of the chain, 64 columns a line, so reading is as strict: what differs is refused here
rather than at Apple's, with a reason.
"""

from __future__ import annotations

import plistlib
import textwrap
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.parsers.expat import ExpatError

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push_certificate.errors import BadRequestFile
from bramley.pki import certificates
from bramley.pki.errors import BadCertificate

LARGEST: Final = 256 * 1024
"""Most octets of a file that is read; real ones have about twelve thousand."""

_CHAIN: Final = "PushCertCertificateChain"
_CSR: Final = "PushCertRequestCSR"
_SIGNATURE: Final = "PushCertSignature"

_HEAD: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
"""
_TAIL: Final = "</dict>\n</plist>\n"
_MAKE_AGAIN: Final = "Give the file that the vendor's signing step wrote, unchanged."


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request with a vendor's signature over its DER; that the signature is good, `verify_request` says.

    `chain` starts with the vendor certificate and ends with Apple's root.
    """

    csr: x509.CertificateSigningRequest
    chain: tuple[x509.Certificate, ...]
    signature: bytes = field(repr=False)

    def to_file(self) -> bytes:
        """The file to upload: base64 in one line, without a line feed, of the property list in XML."""
        strings = {
            _CHAIN: _pem(self.chain),
            _CSR: b64encode(csr_der(self.csr)).decode(),
            _SIGNATURE: b64encode(self.signature).decode(),
        }
        # base64 and PEM have no character that XML would want escaped
        body = "".join(f"  <key>{key}</key>\n  <string>{value}</string>\n" for key, value in strings.items())
        return b64encode(f"{_HEAD}{body}{_TAIL}".encode())


def csr_der(csr: x509.CertificateSigningRequest) -> bytes:
    """The octets that the vendor signs."""
    return csr.public_bytes(Encoding.DER)


def read_request(data: bytes) -> SignedRequest:
    """The request in a file: base64 with any white space, or the XML in it. Nothing in it is verified yet.

    Raises BadRequestFile for everything else: over 256 kB, another property list, another key or kind of value, a CSR that
    is not DER, a chain that is not PEM of 64 columns.
    """
    if len(data) > LARGEST:
        raise _bad(f"Expected at most {LARGEST} octets; {len(data)} came.")
    strings = _strings(_xml(data))
    return SignedRequest(_csr(strings[_CSR]), _chain(strings[_CHAIN]), _base64(strings[_SIGNATURE], _SIGNATURE))


def _xml(data: bytes) -> bytes:
    """The property list as ASCII, and nothing of XML in it that could cost more than it shows."""
    xml = data.strip()
    if not xml.startswith(b"<"):
        try:
            xml = b64decode(b"".join(xml.split()), validate=True).strip()
        except ValueError:
            raise _bad("Expected base64, or the XML of a property list; what came is neither.") from None
    if not xml.startswith((b"<?xml", b"<!DOCTYPE plist", b"<plist")):
        raise _bad("Expected the XML of a property list; what came is something else.")
    # Apple's file is ASCII throughout, and in no other encoding can the words looked for here hide
    if b"<!ENTITY" in xml or b"<?" in xml[1:] or b"\0" in xml or not xml.isascii():
        raise _bad("The property list declares entities, holds processing instructions or is not plain ASCII.")
    return xml


def _strings(xml: bytes) -> Mapping[str, str]:
    try:
        found = plistlib.loads(xml, fmt=plistlib.FMT_XML)
    except (ExpatError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        raise _bad("Expected the XML of a property list; what came cannot be read, and may be cut off.") from None
    wanted = {_CHAIN, _CSR, _SIGNATURE}
    if not isinstance(found, dict) or set(found) != wanted:
        has = ", ".join(sorted(map(repr, found)))[:200] if isinstance(found, dict) else f"a {type(found).__name__}"
        raise _bad(f"Expected a property list with exactly {', '.join(sorted(wanted))}; this one has {has or 'nothing'}.")
    for key, value in found.items():
        if not isinstance(value, str):
            raise _bad(f"Expected {key} as a <string>; it is a {type(value).__name__}.")
    return found


def _csr(text: str) -> x509.CertificateSigningRequest:
    der = _base64(text, _CSR)
    try:
        csr = x509.load_der_x509_csr(der)
        _ = csr.subject
    except (ValueError, TypeError, x509.InvalidVersion):
        raise _bad(f"Expected {_CSR} to be a DER certification request in base64; it is something else.") from None
    if csr_der(csr) != der:
        raise _bad(f"The certification request in {_CSR} is not DER, so no signature over it can be checked.")
    return csr


def _chain(text: str) -> tuple[x509.Certificate, ...]:
    try:
        chain = certificates.load_chain(text.encode())
    except BadCertificate as error:
        raise _bad(f"{_CHAIN}: {error.message}") from None
    lines = [line for line in text.split("\n") if line]
    if _pem(chain) != "".join(f"{line}\n" for line in lines):
        raise _bad(
            f"{_CHAIN} should be PEM certificates and nothing between, each line of exactly 64 characters but the last; "
            "Apple refuses any other."
        )
    return chain


def _base64(text: str, key: str) -> bytes:
    try:
        return b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise _bad(f"Expected base64 in {key}; what came is not.") from None


def _pem(chain: Sequence[x509.Certificate]) -> str:
    """RFC 7468 text, written here so that the 64 columns depend on no library."""
    blocks: list[str] = []
    for certificate in chain:
        body = textwrap.wrap(b64encode(certificates.der(certificate)).decode(), 64)
        blocks += ["-----BEGIN CERTIFICATE-----", *body, "-----END CERTIFICATE-----"]
    return "".join(f"{line}\n" for line in blocks)


def _bad(reason: str) -> BadRequestFile:
    return BadRequestFile(f"This is not a push certificate request that Apple would read. {reason}", advice=_MAKE_AGAIN)
