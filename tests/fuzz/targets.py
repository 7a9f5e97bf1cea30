"""What is fuzzed: everything that reads the octets of strangers. One function a target, from octets to whether they were taken.

A target may raise nothing: what its package raises on purpose means that the octets were refused; any other error is a finding.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import io
from collections.abc import Callable
from dataclasses import dataclass

from bramley.mdm import plist
from bramley.mdm.errors import MDMError
from bramley.mdm.identity import IdentityTrust, verify_signature, verify_tls
from bramley.mdm.messages import parse_checkin
from bramley.mdm.report import parse_report
from bramley.pki import certificates, chains, cms, csr, keys, names, oids, pkcs12, xar
from bramley.pki.cms import attributes as signed_attributes
from bramley.pki.cms import ber, der
from bramley.pki.cms.algorithms import DIGESTS
from bramley.pki.cms.errors import CMSError
from bramley.pki.errors import PKIError
from bramley.pki.revocation import ocsp_requests
from bramley.pki.scep import attributes, enrollment, queries, server
from bramley.pki.scep.errors import SCEPError
from bramley.pki.scep.messages import MessageType
from bramley.pki.scep.requests import check_signature
from bramley.pki.xar import reading

from .world import BODY, NONCE, NOW, PASSWORD, world

MOST_BYTES = 16 * 1024
_ITERATIONS = 200
"""A stranger's archive may cost seconds; a fuzzer's must not."""

_MOST_ASKED = 20


@dataclass(frozen=True, slots=True)
class Target:
    """`take` returns for octets that are accepted, and raises one of `refusals` for others."""

    take: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]

    def __call__(self, data: bytes) -> bool:
        try:
            self.take(data)
        except self.refusals:
            return False
        return True


def _signed(data: bytes) -> None:
    signed = cms.parse_signed_data(data)
    content = BODY if signed.content is None else None
    for policy in (cms.DEVICE, cms.SCEP_REQUEST, cms.STRICT):
        try:
            proof = cms.verify(signed, content=content, policy=policy, content_type=None)
        except cms.SignatureInvalid:
            continue
        assert proof.certificate in signed.certificates
    cms.verify(signed, content=content, policy=cms.DEVICE)


def _enveloped(data: bytes) -> None:
    here = world()
    cms.decrypt(data, key=here.ca_key, certificate=here.ca, allow_single_des=True)


def _mdm_signature(data: bytes) -> None:
    """The header of a request, and the certificate of a TLS client, which the same trust judges."""
    trust = IdentityTrust([world().ca])
    with contextlib.suppress(MDMError):
        verify_tls(data, trust, now=NOW)
    verify_signature(base64.b64encode(data), BODY, trust, now=NOW)


def _certs_only(data: bytes) -> None:
    for der_certificate in cms.parse_certs_only(data):
        _certificate(der_certificate)


def _certificate(data: bytes) -> None:
    """A stranger's certificate, as far as it gets: read, shown, and chained to our CA."""
    here = world()
    certificate = certificates.load(data)
    names.text(certificate.subject)
    certificates.extensions(certificate)
    certificates.matches(certificate, here.device_key.public_key())
    keys.require_strong(certificates.public_key(certificate))
    usage = oids.CLIENT_AUTH
    chains.verify(certificate, intermediates=[here.device], anchors=[here.ca], at=NOW, extended_key_usage=usage)


def _scep_request(data: bytes) -> None:
    server.open_request(data, world().responder, now=NOW, allow_legacy=True)


def _scep_message(data: bytes) -> None:
    queries.open_message(check_signature(data), world().responder, now=NOW, allow_legacy=True)


def _scep_asked(data: bytes) -> None:
    """As from someone who signs and encrypts as they should: the first octet chooses the type, the rest is what is asked."""
    kinds = sorted(queries.SERVED)
    _scep_message(asking(kinds[data[0] % len(kinds)] if data else kinds[0], data[1:]))


def asking(kind: MessageType, content: bytes) -> bytes:
    """A pkiMessage of this type around these contents, by the device."""
    here = world()
    return cms.sign(
        cms.encrypt(content, recipients=[here.ca]),
        key=here.device_key,
        certificate=here.device,
        attributes=attributes.encode(transaction_id="TRANSACTION-1", message_type=kind, sender_nonce=NONCE),
    )


def _scep_reply(data: bytes) -> None:
    enrollment.accept(data, world().sent, now=NOW)


def _scep_attributes(data: bytes) -> None:
    """What is read once a signature held, so that changes of a whole message never reach it: signed attributes."""
    found = signed_attributes.read(ber.Source(data, ber.DEFAULT_LIMITS), 0, len(data))
    for oid in (oids.SCEP_MESSAGE_TYPE, oids.SCEP_TRANSACTION_ID, oids.SCEP_PKI_STATUS, oids.SCEP_FAIL_INFO_TEXT):
        attributes.text(found, oid)
    for oid in (oids.SCEP_SENDER_NONCE, oids.SCEP_RECIPIENT_NONCE):
        attributes.nonce(found, oid)


def _ocsp_request(data: bytes) -> None:
    asked = ocsp_requests.read(data, most=_MOST_ASKED).certificates
    # what an answer repeats says the same as what was asked
    repeated = der.sequence(der.sequence(der.sequence(*(der.sequence(each.der) for each in asked))))
    assert ocsp_requests.read(repeated, most=_MOST_ASKED).certificates == asked


def _plist(data: bytes) -> None:
    value = plist.loads(data, max_bytes=MOST_BYTES)
    written = plist.dumps(value)
    # as octets, because a real that is not a number differs from itself
    assert plist.dumps(plist.loads(written, max_bytes=8 * MOST_BYTES)) == written


def _checkin(data: bytes) -> None:
    try:
        parse_report(data)
    except MDMError:
        parse_checkin(data)


def _pkcs12(data: bytes) -> None:
    pkcs12.read(data, PASSWORD, most_iterations=_ITERATIONS)


def _pkcs12_inside(data: bytes) -> None:
    """As from someone who knows the password: the MAC fits whatever the parts are."""
    _pkcs12(archive(data))


def archive(parts: bytes, digest: str = "sha1") -> bytes:
    """A PKCS#12 archive around the parts of an AuthenticatedSafe, with a good MAC of one iteration (RFC 7292 section 4)."""
    salt, safe = bytes(8), der.sequence(parts)
    wide = PASSWORD.encode("utf-16-be") + b"\0\0"
    key = hashlib.new(digest, bytes((3,)) * 64 + salt * 8 + (wide * 64)[:64]).digest()
    algorithm = der.sequence(der.oid(DIGESTS[digest].oid), der.null())
    digest_info = der.sequence(algorithm, der.octet_string(hmac.digest(key, safe, digest)))
    content = der.sequence(der.oid(oids.DATA), der.context(0, der.octet_string(safe)))
    return der.sequence(der.integer(3), content, der.sequence(digest_info, der.octet_string(salt)))


def _xar(data: bytes) -> None:
    xar.verify(xar.read(io.BytesIO(data)), progress=lambda _done: None)


def _xar_table(data: bytes) -> None:
    """As from someone who makes sizes and checksum fit; what signing rewrites reads back as the same."""
    table = reading.parse(data)
    checksum = b'<checksum style="sha1"><offset>0</offset><size>20</size></checksum>'
    moved = reading.parse(table.rewritten(checksum, [each.offset + 1 for each in table.chunks]))
    assert [each.offset - 1 for each in moved.chunks] == [each.offset for each in table.chunks]
    assert not moved.is_signed


TARGETS = {
    "cms": Target(_signed, (CMSError,)),
    "cms-enveloped": Target(_enveloped, (CMSError,)),
    "mdm-signature": Target(_mdm_signature, (MDMError,)),
    "cms-certs-only": Target(_certs_only, (PKIError,)),
    "scep-request": Target(_scep_request, (SCEPError,)),
    "scep-message": Target(_scep_message, (SCEPError,)),
    "scep-asked": Target(_scep_asked, (SCEPError,)),
    "scep-reply": Target(_scep_reply, (SCEPError,)),
    "scep-attributes": Target(_scep_attributes, (SCEPError, CMSError)),
    "scep-get": Target(server.decode_get_message, (SCEPError,)),
    "ocsp-request": Target(_ocsp_request, (CMSError,)),
    "csr": Target(csr.load, (PKIError,)),
    "certificate": Target(_certificate, (PKIError,)),
    "pkcs12": Target(_pkcs12, (PKIError,)),
    "pkcs12-inside": Target(_pkcs12_inside, (PKIError,)),
    "xar": Target(_xar, (PKIError,)),
    "xar-table": Target(_xar_table, (PKIError,)),
    "plist": Target(_plist, (MDMError,)),
    "checkin": Target(_checkin, (MDMError,)),
}
