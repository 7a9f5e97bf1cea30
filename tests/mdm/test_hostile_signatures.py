"""Every way we know to speak for a device without its identity, in every shape of signature, and what refuses it.

One table: each row makes a header and a body, and names the rule that it breaks. They go the way of a request: the signature
first, then the binding of its signer to the device that the body names.
"""

from __future__ import annotations

import base64
import plistlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ObjectIdentifier

from bramley.mdm.binding import AuthenticatedDevice, authenticate
from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.identity import IdentityTrust, verify_signature
from bramley.mdm.report import parse_report
from bramley.model.enrollments import EnrollmentID, EnrollmentKey, EnrollmentState, Presented, Purpose
from bramley.model.lineages import VersionID, VersionState
from bramley.pki import certificates, cms, keys, names, oids
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, HTTPS_CA, PROFILE_SIGNER, ROOT_CA
from bramley.pki.cms import der
from bramley.sandbox.signature import Identity, SignatureStyle
from bramley.sandbox.signature import sign as sign_as_a_device

from .forging import (
    ATTRIBUTED,
    BARE,
    RSA,
    RSASSA_PSS,
    SHAPES,
    Shape,
    attributes,
    certify,
    element,
    message,
    signature,
    signer_info,
)
from .kit import NOW, UDID, Orchard

OTHER_UDID = "4B1E1D4F-0000-4A0A-9C57-6C3D1F7C2B55"
DAY = timedelta(days=1)
AFTER_END = timedelta(days=400)
"""For how long an identity that has ended may fetch its renewal, where it may."""


def report(udid: str, status: str = "Idle") -> bytes:
    return plistlib.dumps({"UDID": udid, "Status": status})


BODY, OTHER_BODY = report(UDID), report(OTHER_UDID)


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys of the run: two devices' of each kind, and those that are too weak."""

    rsa: keys.PrivateKey
    curve: keys.PrivateKey
    weak_rsa: keys.PrivateKey
    weak_curve: keys.PrivateKey


@pytest.fixture(scope="session")
def keyring(orchard: Orchard) -> Keyring:
    return Keyring(
        orchard.device_key,
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP224R1()),
    )


class Stage:
    """One device that is enrolled and active, in one shape, and what storage knows; a row changes what it likes."""

    def __init__(self, orchard: Orchard, keyring: Keyring, shape: Shape) -> None:
        self.orchard, self.keyring, self.shape = orchard, keyring, shape
        self.ca = orchard.identity_ca
        self.key = keyring.curve if shape.curve else keyring.rsa
        self.record: dict[str, Presented] = {}
        self.now: datetime = NOW
        self.certificate = self.issued(UDID)

    def issued(self, udid: str) -> x509.Certificate:
        """An identity by our CA, on record as active, of the device of this UDID."""
        certificate = issue(self.ca, DEVICE_IDENTITY, self.key.public_key(), subject=names.make("F2LX0001"), now=NOW)
        return self.recorded(certificate, udid)

    def recorded(self, certificate: x509.Certificate, udid: str = UDID) -> x509.Certificate:
        """The certificate, put on record: so that nothing but the rule in question can refuse it."""
        presented = Presented(
            certificate_sha256=certificates.sha256(certificate),
            version_id=VersionID("version"),
            version_state=VersionState.ACTIVE,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            purpose=Purpose.ENROLL,
            enrollment_key=EnrollmentKey(udid),
            enrollment_id=EnrollmentID(udid),
            enrollment_state=EnrollmentState.ACTIVE,
            channel_key=EnrollmentKey(udid),
            channel_state=EnrollmentState.ACTIVE,
            next_command=None,
            deferred=False,
        )
        self.record[presented.certificate_sha256] = presented
        return certificate

    def become(self, state: VersionState) -> None:
        sha256 = certificates.sha256(self.certificate)
        self.record[sha256] = replace(self.record[sha256], version_state=state)

    def signed(self, body: bytes, certificate: x509.Certificate | None = None, key: keys.PrivateKey | None = None) -> bytes:
        """A good message over the body, by this device unless another is given."""
        who = certificate or self.certificate
        return message(self.shape, [signer_info(self.shape, body, who, key or self.key)], [who])

    def authenticate(self, header: bytes, body: bytes, after_end: timedelta | None = None) -> AuthenticatedDevice:
        trust = IdentityTrust([self.ca.certificate])
        ended_too = after_end is not None
        signer = verify_signature(base64.b64encode(header), body, trust, now=self.now, ended_too=ended_too)
        record = self.record.get(signer.sha256)
        return authenticate(signer, record, parse_report(body), now=self.now, after_end=after_end)


Attempt = tuple[bytes, bytes]
"""A message, and the body that comes with it."""


# --- controls


def good(stage: Stage) -> Attempt:
    return stage.signed(BODY), BODY


def good_as_the_sandbox_signs(stage: Stage) -> Attempt:
    assert isinstance(stage.key, rsa.RSAPrivateKey)
    style = SignatureStyle.DER if stage.shape.attributes else SignatureStyle.APPLE
    return sign_as_a_device(BODY, Identity(stage.certificate, stage.key), style, now=NOW) or b"", BODY


def good_while_superseded(stage: Stage) -> Attempt:
    stage.become(VersionState.SUPERSEDED)
    return good(stage)


# --- the body


def replaced_body(stage: Stage) -> Attempt:
    return stage.signed(BODY), report(UDID, "Acknowledged")


def body_with_one_more_octet(stage: Stage) -> Attempt:
    return stage.signed(BODY), BODY + b"\n"


def attached_content(stage: Stage) -> Attempt:
    """What it signs is inside; what is acted upon would be the body."""
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key)
    return message(stage.shape, [info], [stage.certificate], content=BODY), OTHER_BODY


def attached_content_that_is_the_body(stage: Stage) -> Attempt:
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key)
    return message(stage.shape, [info], [stage.certificate], content=BODY), BODY


def attributes_as_body(stage: Stage) -> Attempt:
    """The signature over somebody's signed attributes holds over those octets as a body as well."""
    covered = der.set_of(attributes(BODY, stage.shape.digest))
    return stage.signed(covered), covered


# --- who issued


def self_made(stage: Stage) -> Attempt:
    root = self_signed(ROOT_CA, stage.key, names.make("F2LX0001"), now=NOW)
    certificate = certify(Authority(root, stage.key), stage.key.public_key(), NOW - DAY, NOW + DAY)
    return stage.signed(BODY, stage.recorded(certificate)), BODY


def look_alike(stage: Stage) -> Attempt:
    certificate = certify(stage.orchard.look_alike, stage.key.public_key(), NOW - DAY, NOW + DAY)
    return stage.signed(BODY, stage.recorded(certificate)), BODY


def look_alike_that_sends_its_ca(stage: Stage) -> Attempt:
    certificate = stage.recorded(certify(stage.orchard.look_alike, stage.key.public_key(), NOW - DAY, NOW + DAY))
    info = signer_info(stage.shape, BODY, certificate, stage.key)
    return message(stage.shape, [info], [certificate, stage.orchard.look_alike.certificate]), BODY


def sibling_ca(stage: Stage) -> Attempt:
    """Our HTTPS CA, say: under the same root, and not for devices."""
    key = stage.orchard.look_alike.key
    sibling = issue(stage.orchard.root, HTTPS_CA, key.public_key(), subject=names.make("Orchard HTTPS CA"), now=NOW)
    certificate = certify(Authority(sibling, key), stage.key.public_key(), NOW - DAY, NOW + DAY)
    return stage.signed(BODY, stage.recorded(certificate)), BODY


def below_a_device(stage: Stage) -> Attempt:
    """A device issues an identity to itself, and sends its own along as the CA."""
    made = certify(Authority(stage.certificate, stage.key), stage.key.public_key(), NOW - DAY, NOW + DAY)
    certificate = stage.recorded(made)
    info = signer_info(stage.shape, BODY, certificate, stage.key)
    return message(stage.shape, [info], [certificate, stage.certificate]), BODY


# --- what it was issued for, and when


def ours(stage: Stage, begin: datetime, end: datetime, **wrong: str | None) -> Attempt:
    certificate = certify(stage.ca, stage.key.public_key(), begin, end, **wrong)  # type: ignore[arg-type]
    return stage.signed(BODY, stage.recorded(certificate)), BODY


def expired(stage: Stage) -> Attempt:
    return ours(stage, NOW - 2 * DAY, NOW - timedelta(minutes=6))


def not_yet_valid(stage: Stage) -> Attempt:
    return ours(stage, NOW + timedelta(minutes=6), NOW + DAY)


def under_an_expired_ca(stage: Stage) -> Attempt:
    stage.now = stage.ca.certificate.not_valid_after_utc + DAY
    return ours(stage, NOW, stage.now + 2 * DAY)


def for_servers(stage: Stage) -> Attempt:
    return ours(stage, NOW - DAY, NOW + DAY, usage=oids.SERVER_AUTH)


def for_anything(stage: Stage) -> Attempt:
    return ours(stage, NOW - DAY, NOW + DAY, usage="2.5.29.37.0")


def for_nothing_said(stage: Stage) -> Attempt:
    return ours(stage, NOW - DAY, NOW + DAY, usage=None)


def profile_signer(stage: Stage) -> Attempt:
    key, subject = stage.key.public_key(), names.make("Profiles")
    return stage.signed(BODY, stage.recorded(issue(stage.ca, PROFILE_SIGNER, key, subject=subject, now=NOW))), BODY


def the_ca_itself(stage: Stage) -> Attempt:
    return stage.signed(BODY, stage.recorded(stage.ca.certificate), stage.ca.key), BODY


# --- weak keys and digests


def weak_key(stage: Stage) -> Attempt:
    """RSA with 1024 bits, or a curve of 224."""
    key = stage.keyring.weak_curve if stage.shape.curve else stage.keyring.weak_rsa
    certificate = stage.recorded(certify(stage.ca, key.public_key(), NOW - DAY, NOW + DAY))
    return stage.signed(BODY, certificate, key), BODY


def certificate_signed_with_sha1(stage: Stage) -> Attempt:
    certificate = certify(stage.ca, stage.key.public_key(), NOW - DAY, NOW + DAY, digest="sha1")
    return stage.signed(BODY, stage.recorded(certificate)), BODY


def certificate_signed_with_md5(stage: Stage) -> Attempt:
    certificate = certify(stage.ca, stage.key.public_key(), NOW - DAY, NOW + DAY, digest="md5")
    return stage.signed(BODY, stage.recorded(certificate)), BODY


def built(stage: Stage, **wrong: object) -> Attempt:
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key, **wrong)  # type: ignore[arg-type]
    return message(stage.shape, [info], [stage.certificate]), BODY


def md5(stage: Stage) -> Attempt:
    return built(stage, digest="md5")


def said_digest_is_not_the_one_used(stage: Stage) -> Attempt:
    return built(stage, said_digest="sha1" if stage.shape.digest == "sha256" else "sha256")


def algorithm_of_another_digest(stage: Stage) -> Attempt:
    other = {"sha1": oids.SHA256_WITH_RSA, "sha256": oids.SHA1_WITH_RSA}
    return built(stage, algorithm=oids.ECDSA_WITH_SHA1 if stage.shape.curve else other[stage.shape.digest])


def algorithm_of_another_key(stage: Stage) -> Attempt:
    return built(stage, algorithm=oids.RSA_ENCRYPTION if stage.shape.curve else oids.ECDSA_WITH_SHA256)


def pss(stage: Stage) -> Attempt:
    assert isinstance(stage.key, rsa.RSAPrivateKey)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    return built(stage, algorithm=RSASSA_PSS, value=stage.key.sign(BODY, scheme, hashes.SHA256()))


def empty_signature(stage: Stage) -> Attempt:
    return built(stage, value=b"")


# --- signed attributes


def digest_of_another_body(stage: Stage) -> Attempt:
    """The attributes are truly signed, and speak of another body."""
    return built(stage, signed=attributes(OTHER_BODY, stage.shape.digest))


def attribute_of_another_type(stage: Stage) -> Attempt:
    return built(stage, signed=attributes(BODY, stage.shape.digest, oids.SIGNED_DATA))


def attributes_without_digest(stage: Stage) -> Attempt:
    return built(stage, signed=attributes(BODY, stage.shape.digest)[:1])


def attributes_twice(stage: Stage) -> Attempt:
    """Which of two message digests counts, two readers might decide differently."""
    return built(stage, signed=attributes(BODY, stage.shape.digest) + attributes(OTHER_BODY, stage.shape.digest)[1:])


def no_attributes_at_all(stage: Stage) -> Attempt:
    return built(stage, signed=[])


def attributes_in_ber(stage: Stage) -> Attempt:
    """The signature over the DER is good; what is sent has an indefinite length."""
    content = b"".join(sorted(attributes(BODY, stage.shape.digest)))
    return built(stage, sent=b"\xa0\x80" + content + b"\0\0")


def attributes_in_ber_within(stage: Stage) -> Attempt:
    """The same inside: the digest's string in pieces, the outer lengths in DER."""
    type_attribute, digest_attribute = attributes(BODY, stage.shape.digest)
    string = digest_attribute[digest_attribute.rindex(b"\x04") :]
    assert len(string) == 2 + string[1]
    pieces = element(replace(stage.shape, indefinite=True), 0x24, string)
    loose = der.sequence(der.oid(oids.MESSAGE_DIGEST), der.set_of([pieces]))
    return built(stage, sent=der.context(0, type_attribute + loose))


def attributes_in_ber_and_signed_so(stage: Stage) -> Attempt:
    """Not even where the signature covers the BER as sent: RFC 5652 section 5.3 demands DER."""
    content = b"".join(sorted(attributes(BODY, stage.shape.digest)))
    long_form = b"\x82" + len(content).to_bytes(2, "big") + content
    info = signer_info(replace(stage.shape, attributes=False), b"\x31" + long_form, stage.certificate, stage.key)
    # between the digest's algorithm and the signature's is where attributes go
    digest = der.sequence(der.oid(oids.SHA256), der.null())
    at = info.index(digest) + len(digest)
    outer = 4 if info[1] == 0x82 else 3
    return message(stage.shape, [der.sequence(info[outer:at] + b"\xa0" + long_form + info[at:])], [stage.certificate]), BODY


def signed_under_the_tag_sent(stage: Stage) -> Attempt:
    """The signature has to be over SET OF, not over [0] (RFC 5652 section 5.4)."""
    covered = b"\xa0" + der.set_of(attributes(BODY, stage.shape.digest))[1:]
    return built(stage, value=signature(stage.key, stage.shape.digest, covered))


# --- signers, certificates, content type


def two_signers(stage: Stage) -> Attempt:
    other = stage.issued(OTHER_UDID)
    infos = [signer_info(stage.shape, BODY, one, stage.key) for one in (stage.certificate, other)]
    return message(stage.shape, infos, [stage.certificate, other]), BODY


def the_same_signer_twice(stage: Stage) -> Attempt:
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key)
    return message(stage.shape, [info, info], [stage.certificate]), BODY


def no_signer(stage: Stage) -> Attempt:
    return message(stage.shape, [], [stage.certificate]), BODY


def no_certificate(stage: Stage) -> Attempt:
    return message(stage.shape, [signer_info(stage.shape, BODY, stage.certificate, stage.key)], []), BODY


def certificate_of_a_victim(stage: Stage) -> Attempt:
    """An enrolled device signs with its own key under the name and certificate of another."""
    thief = ec.generate_private_key(ec.SECP256R1()) if stage.shape.curve else stage.orchard.look_alike.key
    return stage.signed(BODY, stage.certificate, thief), BODY


def two_certificates_of_one_name(stage: Stage) -> Attempt:
    """Issuer and serial number of ours, under another CA of the same name: which of the two is meant?"""
    double = (
        x509.CertificateBuilder()
        .subject_name(stage.certificate.subject)
        .issuer_name(stage.certificate.issuer)
        .public_key(stage.key.public_key())
        .serial_number(stage.certificate.serial_number)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(stage.orchard.look_alike.key, hashes.SHA256())
    )
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key)
    return message(stage.shape, [info], [double, stage.certificate]), BODY


def certificate_that_nobody_reads(stage: Stage) -> Attempt:
    """The signer is named by its key identifier, in a certificate with a kind of name that cannot be read (X.400)."""
    address = x509.UnrecognizedExtension(ObjectIdentifier(oids.SUBJECT_ALTERNATIVE_NAME), der.sequence(der.context(3, b"")))
    name, public_key = stage.ca.certificate.subject, stage.key.public_key()
    builder = x509.CertificateBuilder(name, name, public_key, 1, NOW - DAY, NOW + DAY).add_extension(address, critical=False)
    odd = builder.sign(stage.ca.key, hashes.SHA256())
    made = cms.sign(BODY, key=stage.key, certificate=stage.certificate, detached=True, signer_id="ski", certificates=[odd])
    return made, BODY


def certificate_of_no_version(stage: Stage) -> Attempt:
    """Version 5: the reader of certificates has an error of its own for it."""
    return stage.signed(BODY).replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04"), BODY


def wrong_content_type(stage: Stage) -> Attempt:
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key)
    return message(stage.shape, [info], [stage.certificate], content_type=oids.SIGNED_DATA), BODY


def wrong_content_type_all_over(stage: Stage) -> Attempt:
    signed = attributes(BODY, stage.shape.digest, oids.ENVELOPED_DATA)
    info = signer_info(stage.shape, BODY, stage.certificate, stage.key, signed=signed)
    return message(stage.shape, [info], [stage.certificate], content_type=oids.ENVELOPED_DATA), BODY


def octets_after_the_message(stage: Stage) -> Attempt:
    return stage.signed(BODY) + b"\0\0", BODY


# --- whose identity it is


def speaks_for_another(stage: Stage) -> Attempt:
    """A device in good standing signs a message that names somebody else."""
    stage.issued(OTHER_UDID)
    return stage.signed(OTHER_BODY), OTHER_BODY


def on_no_record(stage: Stage) -> Attempt:
    stage.record.clear()
    return good(stage)


def revoked(stage: Stage) -> Attempt:
    stage.become(VersionState.REVOKED)
    return good(stage)


def suspended(stage: Stage) -> Attempt:
    stage.become(VersionState.SUSPENDED)
    return good(stage)


def retired(stage: Stage) -> Attempt:
    stage.become(VersionState.RETIRED)
    return good(stage)


def over_by_the_record_alone(stage: Stage) -> Attempt:
    """The record is believed too, not the certificate alone."""
    sha256 = certificates.sha256(stage.certificate)
    stage.record[sha256] = replace(stage.record[sha256], not_after=NOW - DAY)
    return good(stage)


ALL = frozenset(SHAPES)
BAD = Refusal.BAD_SIGNATURE

Row = tuple[Callable[[Stage], Attempt], Refusal | None, frozenset[str]]

TABLE: tuple[Row, ...] = (
    (good, None, ALL),
    (good_as_the_sandbox_signs, None, RSA),
    (good_while_superseded, None, ALL),
    (replaced_body, BAD, ALL),
    (body_with_one_more_octet, BAD, ALL),
    (attached_content, BAD, ALL),
    (attached_content_that_is_the_body, BAD, ALL),
    (attributes_as_body, BAD, BARE),
    (self_made, Refusal.UNKNOWN_ISSUER, ALL),
    (look_alike, Refusal.UNKNOWN_ISSUER, ALL),
    (look_alike_that_sends_its_ca, Refusal.UNKNOWN_ISSUER, ALL),
    (sibling_ca, Refusal.UNKNOWN_ISSUER, ALL),
    (below_a_device, Refusal.UNKNOWN_ISSUER, ALL),
    (expired, Refusal.EXPIRED, ALL),
    (not_yet_valid, Refusal.NOT_YET_VALID, ALL),
    (under_an_expired_ca, Refusal.EXPIRED, ALL),
    (for_servers, Refusal.WRONG_USAGE, ALL),
    (for_anything, Refusal.WRONG_USAGE, ALL),
    (for_nothing_said, Refusal.WRONG_USAGE, ALL),
    (profile_signer, Refusal.WRONG_USAGE, ALL),
    (the_ca_itself, Refusal.WRONG_USAGE, RSA),
    (weak_key, Refusal.UNKNOWN_ISSUER, ALL),
    (certificate_signed_with_sha1, Refusal.UNKNOWN_ISSUER, ALL),
    (certificate_signed_with_md5, Refusal.UNKNOWN_ISSUER, ALL),
    (md5, BAD, ALL),
    (said_digest_is_not_the_one_used, BAD, ALL),
    (algorithm_of_another_digest, BAD, ALL),
    (algorithm_of_another_key, BAD, ALL),
    (pss, BAD, RSA),
    (empty_signature, BAD, ALL),
    (digest_of_another_body, BAD, ATTRIBUTED),
    (attribute_of_another_type, BAD, ATTRIBUTED),
    (attributes_without_digest, BAD, ATTRIBUTED),
    (attributes_twice, BAD, ATTRIBUTED),
    (no_attributes_at_all, BAD, ATTRIBUTED),
    (attributes_in_ber, BAD, ATTRIBUTED),
    (attributes_in_ber_within, BAD, ATTRIBUTED),
    (attributes_in_ber_and_signed_so, BAD, ATTRIBUTED),
    (signed_under_the_tag_sent, BAD, ATTRIBUTED),
    (two_signers, Refusal.SEVERAL_SIGNERS, ALL),
    (the_same_signer_twice, Refusal.SEVERAL_SIGNERS, ALL),
    (no_signer, BAD, ALL),
    (no_certificate, BAD, ALL),
    (certificate_of_a_victim, BAD, ALL),
    (two_certificates_of_one_name, BAD, ALL),
    (certificate_that_nobody_reads, BAD, ATTRIBUTED),
    (certificate_of_no_version, Refusal.UNKNOWN_ISSUER, ALL),
    (wrong_content_type, BAD, ALL),
    (wrong_content_type_all_over, BAD, ALL),
    (octets_after_the_message, BAD, ALL),
    (speaks_for_another, Refusal.NOT_THIS_DEVICE, ALL),
    (on_no_record, Refusal.UNKNOWN_IDENTITY, ALL),
    (revoked, Refusal.REVOKED, ALL),
    (suspended, Refusal.SUSPENDED, ALL),
    (retired, Refusal.RETIRED, ALL),
    (over_by_the_record_alone, Refusal.EXPIRED, ALL),
)
CASES: Mapping[str, tuple[Callable[[Stage], Attempt], Refusal | None, Shape]] = {
    f"{row.__name__}, {name}": (row, expected, SHAPES[name]) for row, expected, shapes in TABLE for name in sorted(shapes)
}


@pytest.mark.parametrize("case", CASES)
def test_only_a_device_speaks_for_itself(case: str, orchard: Orchard, keyring: Keyring) -> None:
    row, expected, shape = CASES[case]
    stage = Stage(orchard, keyring, shape)
    header, body = row(stage)
    if expected is None:
        device = stage.authenticate(header, body)
        assert (device.enrollment_id, device.signer.certificate) == (UDID, certificates.der(stage.certificate))
        return
    with pytest.raises(Refused) as caught:
        stage.authenticate(header, body)
    assert caught.value.reason is expected, str(caught.value)


COMES_FOR_ITS_RENEWAL = frozenset({expired, over_by_the_record_alone})
"""All that is let in where an identity that has ended may fetch its renewal: as one that has ended."""


@pytest.mark.parametrize("case", CASES)
def test_where_renewals_are_fetched_after_the_end_nothing_else_is_let_in(case: str, orchard: Orchard, keyring: Keyring) -> None:
    row, expected, shape = CASES[case]
    stage = Stage(orchard, keyring, shape)
    header, body = row(stage)
    if expected is None or row in COMES_FOR_ITS_RENEWAL:
        assert stage.authenticate(header, body, AFTER_END).has_ended is (expected is not None)
        return
    with pytest.raises(Refused) as caught:
        stage.authenticate(header, body, AFTER_END)
    assert caught.value.reason is expected, str(caught.value)


# --- having ended, besides


def ended_yesterday(stage: Stage, *, authority: Authority | None = None, usage: str = oids.CLIENT_AUTH) -> x509.Certificate:
    stage.now = NOW + 2 * DAY
    return stage.recorded(certify(authority or stage.ca, stage.key.public_key(), NOW, NOW + DAY, usage=usage))


def ended_under_the_look_alike(stage: Stage) -> Attempt:
    return stage.signed(BODY, ended_yesterday(stage, authority=stage.orchard.look_alike)), BODY


def ended_with_its_ca(stage: Stage) -> Attempt:
    """Both have ended, the certificate first."""
    stage.now = stage.ca.certificate.not_valid_after_utc + DAY
    return ours(stage, NOW, stage.ca.certificate.not_valid_after_utc - DAY)


def ended_before_its_ca_began(stage: Stage) -> Attempt:
    begin = stage.ca.certificate.not_valid_before_utc
    return ours(stage, begin - 2 * DAY, begin - DAY)


def ended_too_long_ago(stage: Stage) -> Attempt:
    stage.now = NOW + DAY + AFTER_END + timedelta(minutes=1)
    return ours(stage, NOW, NOW + DAY)


def ended_and_for_servers(stage: Stage) -> Attempt:
    return stage.signed(BODY, ended_yesterday(stage, usage=oids.SERVER_AUTH)), BODY


def ended_and(state: VersionState) -> Callable[[Stage], Attempt]:
    def attempt(stage: Stage) -> Attempt:
        certificate = ended_yesterday(stage)
        sha256 = certificates.sha256(certificate)
        stage.record[sha256] = replace(stage.record[sha256], version_state=state)
        return stage.signed(BODY, certificate), BODY

    return attempt


ENDED: Mapping[str, tuple[Callable[[Stage], Attempt], Refusal | None]] = {
    "in force": (ended_and(VersionState.ACTIVE), None),
    "under the look-alike": (ended_under_the_look_alike, Refusal.UNKNOWN_ISSUER),
    "with its CA": (ended_with_its_ca, Refusal.EXPIRED),
    "before its CA began": (ended_before_its_ca_began, Refusal.EXPIRED),
    "too long ago": (ended_too_long_ago, Refusal.EXPIRED),
    "for servers": (ended_and_for_servers, Refusal.WRONG_USAGE),
    "revoked": (ended_and(VersionState.REVOKED), Refusal.REVOKED),
    "suspended": (ended_and(VersionState.SUSPENDED), Refusal.SUSPENDED),
    "retired": (ended_and(VersionState.RETIRED), Refusal.RETIRED),
    "superseded": (ended_and(VersionState.SUPERSEDED), Refusal.EXPIRED),
    "never used": (ended_and(VersionState.ISSUED), Refusal.EXPIRED),
}


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("case", ENDED)
def test_an_identity_that_has_ended_is_judged_all_the_same(case: str, shape: str, orchard: Orchard, keyring: Keyring) -> None:
    attempt, expected = ENDED[case]
    stage = Stage(orchard, keyring, SHAPES[shape])
    header, body = attempt(stage)
    if expected is None:
        assert stage.authenticate(header, body, AFTER_END).has_ended
        return
    with pytest.raises(Refused) as caught:
        stage.authenticate(header, body, AFTER_END)
    assert caught.value.reason is expected, str(caught.value)


def test_every_shape_has_a_control_row() -> None:
    """Or a table of refusals would say nothing: everything might be refused for a reason of its own."""
    passing = {shape for row, expected, shapes in TABLE if expected is None for shape in shapes if row is good}
    assert passing == ALL
