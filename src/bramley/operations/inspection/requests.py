"""Requests for certificates, the vendor-signed request for a push certificate among them; and revocation lists."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push_certificate import PushCertificateError, SignedRequest, read_request, verify_request
from bramley.operations.inspection.certificates import of_certificate
from bramley.operations.inspection.finding import MOST_INSIDE, Finding, Question, What, details, shown
from bramley.pki import certificates, csr, keys, names
from bramley.pki.errors import BadKey, BadRequest

MARK = b"PushCertRequestCSR"
"""The key that makes a property list such a request."""


def of_request(der: bytes) -> Finding:
    """A PKCS#10 request; `broken` where it does not prove that its sender has the key."""
    purpose = "Asks a CA for a certificate. An MDM vendor signs it, if it is for a push certificate, before Apple takes it."
    try:
        request = csr.load(der)
    except BadRequest as error:
        return Finding(What.REQUEST, purpose, warnings=(error.message,), broken=True)
    warnings: tuple[str, ...] = ()
    try:
        keys.require_strong(request.public_key)
    except BadKey as error:
        warnings = (error.message,)
    return Finding(
        What.REQUEST,
        purpose,
        owner=shown(names.text(request.subject)),
        command="bramley push sign",
        details=details(
            subject=shown(names.text(request.subject)),
            key=keys.describe(request.public_key),
            signature="good",
            challenge_password="present, not shown" if request.challenge_password is not None else None,
            alternative_names=len(request.sans) or None,
        ),
        warnings=warnings,
    )


def of_push_request(data: bytes, question: Question) -> Finding:
    """A request for identity.apple.com, as a file or as the property list in it, with the verdict that Apple would come to."""
    purpose = "Upload it at identity.apple.com/pushcert: Renew, under the Apple Account of the topic, unless it is the first."
    try:
        signed = read_request(data)
    except PushCertificateError as error:
        return Finding(What.PUSH_REQUEST, purpose, warnings=(error.message,))
    warnings: tuple[str, ...] = ()
    broken = not _signature_holds(signed)
    try:
        verify_request(signed, roots=question.roots, now=question.now)
    except PushCertificateError as error:
        warnings = (f"Apple would refuse it. {error.message}",)
    vendor = signed.chain[0] if signed.chain else None
    return Finding(
        What.PUSH_REQUEST,
        purpose,
        owner=shown(names.text(signed.csr.subject)),
        not_after=vendor.not_valid_after_utc if vendor else None,
        details=details(
            signed_by=shown(names.text(vendor.subject)) if vendor else None,
            signature="broken"
            if broken
            else "good; what Apple checks besides is not"
            if warnings
            else "good, up to Apple's root",
        ),
        warnings=warnings,
        inside=(
            of_request(signed.csr.public_bytes(Encoding.DER)),
            *(of_certificate(certificates.der(each), question.now) for each in signed.chain[:MOST_INSIDE]),
        ),
        broken=broken,
    )


def _signature_holds(signed: SignedRequest) -> bool:
    """Whether the vendor's key signed this request, whatever that vendor is worth."""
    try:
        key = signed.chain[0].public_key()
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signed.signature, signed.csr.public_bytes(Encoding.DER), padding.PKCS1v15(), hashes.SHA256())
            return True
    except (InvalidSignature, ValueError, UnsupportedAlgorithm, IndexError):
        pass
    return False


def of_revocation_list(der: bytes, now: datetime) -> Finding:
    """A CRL (RFC 5280 section 5). Its signature is for whoever has the issuer's certificate."""
    purpose = "Lists the certificates that a CA has revoked."
    try:
        crl = x509.load_der_x509_crl(der)
        issuer, entries, begin, end = names.text(crl.issuer), len(crl), crl.last_update_utc, crl.next_update_utc
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return Finding(What.CRL, purpose, warnings=("It cannot be read.",))
    stale = end is not None and now > end
    return Finding(
        What.CRL,
        purpose,
        owner=shown(issuer),
        not_before=begin,
        not_after=end,
        details=details(issuer=shown(issuer), entries=entries),
        warnings=("It is out of date: a newer one is due.",) if stale else (),
    )
