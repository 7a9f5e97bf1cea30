"""From a key to a request that Apple accepts: the customer's CSR, the vendor's signature, and Apple's checks before Apple.

Apple, "Setting up push notifications for your MDM customers": PKCS#10 (RFC 2986) with an RSA key, signed by the vendor with
RSASSA-PKCS1-v1_5 and SHA-256 (RFC 8017 8.2) over the DER.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from bramley.apple.push_certificate.apple_cas import check_chain
from bramley.apple.push_certificate.errors import BadApplicant, BadChain, RequestRefused
from bramley.apple.push_certificate.request_file import SignedRequest, csr_der
from bramley.apple.push_certificate.vendor import VendorIdentity, check_vendor
from bramley.pki import keys
from bramley.pki.errors import BadKey

_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL: Final = re.compile(rf"[a-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}}@(?:{_LABEL}\.)+{_LABEL}")
_LONGEST_EMAIL: Final = 254
_LONGEST_NAME: Final = 64


def customer_request(
    key: keys.PrivateKey, *, common_name: str, email: str, country: str = "US"
) -> x509.CertificateSigningRequest:
    """A request for the key: subject C, CN, emailAddress in that order, no attributes, signed with SHA-256.

    The same serves for the vendor's own certificate at the developer portal. The country is upper-cased, the mail address
    lower-cased. Raises BadApplicant for a key that is not RSA of 2048 bits or more, a name that is empty, over 64 octets or
    not printable, an address that is not exactly one mail address in ASCII, and a country that is not two letters.
    """
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadApplicant(
            f"Expected an RSA key; this one is {keys.describe(key.public_key())}.",
            advice="Make an RSA key of 2048 bits: Apple's push certificates are for RSA keys only.",
        )
    try:
        keys.require_strong(key.public_key())
    except BadKey as error:
        raise BadApplicant(error.message, advice=error.advice) from None
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, require_country(country)),
            x509.NameAttribute(NameOID.COMMON_NAME, _require_common_name(common_name)),
            x509.NameAttribute(NameOID.EMAIL_ADDRESS, require_email(email)),
        ]
    )
    return x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256())


def require_email(email: str) -> str:
    """The mail address in lower case. Raises BadApplicant where it is not exactly one, in ASCII."""
    lower = email.lower()
    local = lower.partition("@")[0]
    dotted = local.startswith(".") or local.endswith(".") or ".." in local
    if not email.isascii() or dotted or len(lower) > _LONGEST_EMAIL or not _EMAIL.fullmatch(lower):
        raise BadApplicant(
            f"Expected one mail address such as push@example.org; {email[:80]!r} came.",
            advice="Give one address, without a name around it, of whoever looks after the certificate.",
        )
    return lower


def require_country(country: str) -> str:
    """The country code in upper case. Raises BadApplicant where it is not two letters (ISO 3166-1)."""
    upper = country.upper()
    if not country.isascii() or not _COUNTRY.fullmatch(upper):
        raise BadApplicant(f"Expected a country as two letters, such as US or DE; {country[:80]!r} came.")
    return upper


def sign_request(
    csr: x509.CertificateSigningRequest,
    vendor: VendorIdentity,
    chain: Sequence[x509.Certificate],
    *,
    roots: frozenset[str],
    now: datetime,
) -> SignedRequest:
    """The request with the vendor's signature and `chain`, which leads from the vendor certificate to a root among `roots`.

    It has passed `verify_request` when it is returned; raises what that raises.
    """
    if not chain or chain[0] != vendor.certificate:
        raise BadChain(
            "The chain does not begin with the vendor certificate that signs.",
            advice="Build the chain from that certificate.",
        )
    signature = vendor.key.sign(csr_der(csr), padding.PKCS1v15(), hashes.SHA256())
    signed = SignedRequest(csr, tuple(chain), signature)
    verify_request(signed, roots=roots, now=now)
    return signed


def verify_request(signed: SignedRequest, *, roots: frozenset[str], now: datetime) -> None:
    """Returns for a request that passes what Apple checks at `now`; `roots` are SHA-256 fingerprints of what may end a chain.

    Raises RequestRefused for the CSR (its own signature, RSA of 2048 bits or more) and for a vendor signature that does not
    verify over its DER; BadVendor for the vendor certificate; BadChain for the certificates above it.
    """
    _check_csr(signed.csr)
    if not signed.chain:
        raise BadChain("The request has no certificate chain.", advice="Sign it again with the vendor's chain.")
    vendor_key = check_vendor(signed.chain[0], now)
    check_chain(signed.chain, roots=roots, now=now)
    if _verifies(signed, vendor_key, hashes.SHA256()):
        return
    if _verifies(signed, vendor_key, hashes.SHA1()):  # noqa: S303 - only to tell why it is refused
        raise RequestRefused(
            "The vendor signed this request with SHA-1, which Apple no longer accepts.",
            advice="Sign it again with SHA-256.",
        )
    raise RequestRefused(
        "The vendor's signature does not fit this request: another request or another key was signed, or it was changed.",
        advice="Sign the request again with the key of the first certificate of the chain.",
    )


def _check_csr(csr: x509.CertificateSigningRequest) -> None:
    make_new = "Make a new request with an RSA key of 2048 bits."
    try:
        public_key: object = csr.public_key()
        proven = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RequestRefused(
            f"The key or signature of the customer's request cannot be read: {error}.", advice=make_new
        ) from None
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise RequestRefused(
            f"Expected a customer's request for an RSA key; it is for {keys.describe(public_key)}.", advice=make_new
        )
    try:
        keys.require_strong(public_key)
    except BadKey as error:
        raise RequestRefused(f"The customer's request is for a weak key. {error.message}", advice=make_new) from None
    if not proven:
        raise RequestRefused("The customer's request is not signed by its own key, or was changed since.", advice=make_new)


def _verifies(signed: SignedRequest, key: rsa.RSAPublicKey, digest: hashes.HashAlgorithm) -> bool:
    try:
        key.verify(signed.signature, csr_der(signed.csr), padding.PKCS1v15(), digest)
    except InvalidSignature:
        return False
    return True


def _require_common_name(common_name: str) -> str:
    stripped = common_name.strip()
    if not stripped or not stripped.isprintable() or len(stripped.encode("utf-8", "replace")) > _LONGEST_NAME:
        raise BadApplicant(
            f"Expected a name of 1 to {_LONGEST_NAME} printable octets; {common_name[:80]!r} came.",
            advice="Name the organisation or the server, such as 'Orchard School MDM'.",
        )
    return stripped
