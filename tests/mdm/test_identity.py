"""Mdm-Signature and TLS: only a key whose certificate chains to our identity CA, and is valid now, makes a signer.

Forged signatures of every kind are in `test_hostile_signatures`.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.mdm.errors import Refusal, Refused
from bramley.mdm.identity import MAX_HEADER_BYTES, IdentityTrust, Method, verify_signature, verify_tls
from bramley.pki import certificates, chains, cms, names
from bramley.pki.ca.authority import Authority, issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY, IDENTITY_CA, CertificateProfile

from .kit import NOW, Orchard, sign

BODY = b"<plist><dict><key>Status</key><string>Idle</string></dict></plist>"

SHAPES: dict[str, dict[str, Any]] = {
    "attributes": {},
    "bare": {"signed_attributes": False},
    "bare-sha1": {"signed_attributes": False, "digest": "sha1", "allow_sha1": True},
}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    """With signed attributes, and without, as macOS sends it."""
    return SHAPES[request.param]


@pytest.fixture
def trust(orchard: Orchard) -> IdentityTrust:
    return IdentityTrust([orchard.identity_ca.certificate])


@pytest.fixture(scope="session")
def certificate(orchard: Orchard) -> x509.Certificate:
    return made(orchard.identity_ca, orchard)


def made(authority: Authority, orchard: Orchard, profile: CertificateProfile = DEVICE_IDENTITY, **span: Any) -> x509.Certificate:
    return issue(authority, profile, orchard.device_key.public_key(), subject=names.make("F2LX0001"), now=NOW, **span)


def refused(reason: Refusal, call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.reason is reason, str(caught.value)
    return caught.value


def test_a_device_signs_and_is_believed(
    orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, shape: dict[str, Any]
) -> None:
    header = sign(BODY, certificate, orchard.device_key, **shape)
    for given in (header, header.encode()):
        signer = verify_signature(given, BODY, trust, now=NOW)
        assert signer.sha256 == certificates.sha256(certificate)
        assert signer.certificate == certificates.der(certificate)
        assert signer.method is Method.SIGNATURE


def test_openssl_signs_and_is_believed(
    orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here to sign with")
    key = orchard.device_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "certificate.pem").write_bytes(certificates.pem(certificate))
    (tmp_path / "body").write_bytes(BODY)
    command = "openssl cms -sign -binary -in body -signer certificate.pem -inkey key.pem -outform DER -out signature"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    header = base64.b64encode((tmp_path / "signature").read_bytes())
    assert verify_signature(header, BODY, trust, now=NOW).sha256 == certificates.sha256(certificate)


def test_swapped_bodies_are_refused(
    orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, shape: dict[str, Any]
) -> None:
    header = sign(BODY, certificate, orchard.device_key, **shape)
    for other in (BODY.replace(b"Idle", b"idle"), BODY + b"\n", b""):
        with pytest.raises(Refused) as caught:
            verify_signature(header, other, trust, now=NOW)
        assert caught.value.reason is Refusal.BAD_SIGNATURE


@pytest.mark.parametrize("header", [None, "", b""])
def test_no_header_is_no_signature(trust: IdentityTrust, header: str | bytes | None) -> None:
    refused(Refusal.NO_SIGNATURE, lambda: verify_signature(header, BODY, trust, now=NOW))


@pytest.mark.parametrize(
    "header",
    [
        "garbage!",
        "MIAG",
        "é",
        "A" * (MAX_HEADER_BYTES + 4),
        base64.b64encode(b"\x30" * 10_000),
        base64.b64encode(b"\x30\x80" * 5_000),
        base64.b64encode(cms.certs_only([])),
    ],
)
def test_garbage_is_refused(trust: IdentityTrust, header: str | bytes) -> None:
    with pytest.raises(Refused) as caught:
        verify_signature(header, BODY, trust, now=NOW)
    assert caught.value.reason is Refusal.BAD_SIGNATURE


def test_base64_is_strict(orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust) -> None:
    header = sign(BODY, certificate, orchard.device_key)
    for changed in (header + "\n", " " + header, header[:100] + "\n" + header[100:], header + "AAAA"):
        with pytest.raises(Refused) as caught:
            verify_signature(changed, BODY, trust, now=NOW)
        assert caught.value.reason is Refusal.BAD_SIGNATURE


def test_two_signers_are_refused(orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here to sign twice with")
    other = made(orchard.identity_ca, orchard)
    key = orchard.device_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, one in (("a", certificate), ("b", other)):
        (tmp_path / f"{name}.pem").write_bytes(certificates.pem(one) + key)
    (tmp_path / "body").write_bytes(BODY)
    command = "openssl cms -sign -binary -in body -signer a.pem -signer b.pem -outform DER -out signature"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    header = base64.b64encode((tmp_path / "signature").read_bytes())
    refused(Refusal.SEVERAL_SIGNERS, lambda: verify_signature(header, BODY, trust, now=NOW))


@pytest.mark.parametrize("remembered", [False, True])
def test_validity_is_judged_at_every_request(
    orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, remembered: bool
) -> None:
    header = sign(BODY, certificate, orchard.device_key)
    if remembered:
        verify_signature(header, BODY, trust, now=NOW)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    for inside in (begin - timedelta(minutes=4), begin, end, end + timedelta(minutes=4)):
        asked = trust if remembered else IdentityTrust([orchard.identity_ca.certificate])
        verify_signature(header, BODY, asked, now=inside)
    late, early = end + timedelta(minutes=6), begin - timedelta(minutes=6)
    refused(Refusal.EXPIRED, lambda: verify_signature(header, BODY, trust, now=late))
    refused(Refusal.NOT_YET_VALID, lambda: verify_signature(header, BODY, trust, now=early))


def test_when_the_ca_ends_so_do_those_it_vouched_for(orchard: Orchard) -> None:
    profile = replace(DEVICE_IDENTITY, lifetime=timedelta(days=3650))
    certificate = made(orchard.identity_ca, orchard, profile)
    assert certificate.not_valid_after_utc == orchard.identity_ca.certificate.not_valid_after_utc
    trust = IdentityTrust([orchard.identity_ca.certificate])
    assert verify_tls(certificates.der(certificate), trust, now=NOW).method is Method.TLS
    late = orchard.identity_ca.certificate.not_valid_after_utc + timedelta(hours=1)
    refused(Refusal.EXPIRED, lambda: verify_tls(certificates.der(certificate), trust, now=late))


class TestACertificateThatHasEnded:
    """Is let through to those who ask for it, under a CA that is in its dates."""

    DAY = timedelta(days=1)

    @staticmethod
    def ask(certificate: x509.Certificate, trust: IdentityTrust, now: datetime) -> datetime:
        return verify_tls(certificates.der(certificate), trust, now=now, ended_too=True).not_after

    @pytest.mark.parametrize("remembered", [False, True])
    def test_for_those_who_ask_and_for_nobody_else(
        self, orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, remembered: bool
    ) -> None:
        end, header = certificate.not_valid_after_utc, sign(BODY, certificate, orchard.device_key)
        if remembered:
            verify_signature(header, BODY, trust, now=NOW)
        late = end + self.DAY
        assert verify_signature(header, BODY, trust, now=late, ended_too=True).not_after == end
        assert self.ask(certificate, trust, late) == end
        refused(Refusal.EXPIRED, lambda: verify_signature(header, BODY, trust, now=late))
        refused(Refusal.EXPIRED, lambda: verify_tls(certificates.der(certificate), trust, now=late))
        refused(Refusal.BAD_SIGNATURE, lambda: verify_signature(header, BODY + b" ", trust, now=late, ended_too=True))

    @pytest.mark.parametrize("remembered", [False, True])
    def test_never_the_ca(self, orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, remembered: bool) -> None:
        end = orchard.identity_ca.certificate.not_valid_after_utc
        if remembered:
            self.ask(certificate, trust, end)
        refused(Refusal.EXPIRED, lambda: self.ask(certificate, trust, end + timedelta(minutes=6)))

    def test_another_certificate_of_the_cas_key_vouches_for_it(self, orchard: Orchard, certificate: x509.Certificate) -> None:
        """As after a rollover to the same key: found whichever comes first, also once the former has ended."""
        former = orchard.identity_ca
        renewed = issue(
            orchard.root,
            IDENTITY_CA,
            former.key.public_key(),
            subject=former.certificate.subject,
            now=NOW + 100 * self.DAY,
            lifetime=former.certificate.not_valid_after_utc - former.certificate.not_valid_before_utc + 100 * self.DAY,
        )
        assert renewed.not_valid_after_utc > former.certificate.not_valid_after_utc
        late = former.certificate.not_valid_after_utc + self.DAY
        for authorities in ([former.certificate, renewed], [renewed, former.certificate]):
            trust = IdentityTrust(authorities)
            self.ask(certificate, trust, NOW)
            assert self.ask(certificate, trust, late) == certificate.not_valid_after_utc
            assert self.ask(certificate, IdentityTrust(authorities), late) == certificate.not_valid_after_utc

    def test_a_stranger_stays_one(self, orchard: Orchard, trust: IdentityTrust) -> None:
        stranger = made(orchard.look_alike, orchard)
        refused(Refusal.UNKNOWN_ISSUER, lambda: self.ask(stranger, trust, stranger.not_valid_after_utc + self.DAY))


@pytest.fixture
def chained(monkeypatch: pytest.MonkeyPatch) -> list[x509.Certificate]:
    """Every leaf whose chain is really verified."""
    leaves: list[x509.Certificate] = []
    real = chains.verify

    def watched(leaf: x509.Certificate, **options: Any) -> Any:
        leaves.append(leaf)
        return real(leaf, **options)

    monkeypatch.setattr(chains, "verify", watched)
    return leaves


def test_a_chain_is_verified_once_and_signatures_every_time(
    orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust, chained: list[x509.Certificate]
) -> None:
    header = sign(BODY, certificate, orchard.device_key)
    for _ in range(3):
        verify_signature(header, BODY, trust, now=NOW)
    refused(Refusal.BAD_SIGNATURE, lambda: verify_signature(header, BODY + b" ", trust, now=NOW))
    assert chained == [certificate]


def test_a_refused_certificate_is_not_remembered(orchard: Orchard, trust: IdentityTrust) -> None:
    stranger = certificates.der(made(orchard.look_alike, orchard))
    for _ in range(2):
        refused(Refusal.UNKNOWN_ISSUER, lambda: verify_tls(stranger, trust, now=NOW))


def test_the_least_recently_used_chain_is_forgotten_first(orchard: Orchard, chained: list[x509.Certificate]) -> None:
    trust = IdentityTrust([orchard.identity_ca.certificate], remembered=2)
    first, second, third = (made(orchard.identity_ca, orchard) for _ in range(3))
    for one in (first, second, first, third, first, second):
        verify_tls(certificates.der(one), trust, now=NOW)
    assert chained == [first, second, third, second]


def test_tls_certificates_chain_too(orchard: Orchard, certificate: x509.Certificate, trust: IdentityTrust) -> None:
    signer = verify_tls(certificates.der(certificate), trust, now=NOW)
    assert (signer.sha256, signer.method) == (certificates.sha256(certificate), Method.TLS)
    refused(Refusal.UNKNOWN_ISSUER, lambda: verify_tls(certificates.der(made(orchard.look_alike, orchard)), trust, now=NOW))
    refused(Refusal.UNKNOWN_ISSUER, lambda: verify_tls(b"no certificate", trust, now=NOW))


class TestRecordedOnARealMac:
    """Its CA is not on record, so its own certificate is made the anchor: the chain is aside here, everything else is real."""

    THEN = datetime(2022, 1, 1, tzinfo=UTC)

    @pytest.fixture
    def recorded(self, vectors: Path) -> tuple[bytes, bytes]:
        folder = vectors / "mdm-signature"
        return (folder / "idle.header.b64").read_bytes().strip(), (folder / "idle.body.plist").read_bytes()

    @pytest.fixture
    def pinned(self, recorded: tuple[bytes, bytes]) -> IdentityTrust:
        (der,) = cms.parse_signed_data(base64.b64decode(recorded[0])).certificates
        return IdentityTrust([certificates.load(der)])

    def test_is_believed_where_trusted(self, recorded: tuple[bytes, bytes], pinned: IdentityTrust) -> None:
        header, body = recorded
        signer = verify_signature(header, body, pinned, now=self.THEN)
        assert names.text(certificates.load(signer.certificate).subject) == names.EMPTY

    def test_is_refused_where_not(self, recorded: tuple[bytes, bytes], trust: IdentityTrust) -> None:
        refused(Refusal.UNKNOWN_ISSUER, lambda: verify_signature(*recorded, trust, now=self.THEN))

    def test_one_changed_byte_of_body_signature_or_certificate_is_refused(
        self, recorded: tuple[bytes, bytes], pinned: IdentityTrust
    ) -> None:
        header, body = recorded
        message = base64.b64decode(header)
        (der,) = cms.parse_signed_data(message).certificates
        signature = cms.parse_signed_data(message).signers[0].signature
        for part in (der, signature):
            place = message.index(part) + len(part) // 2
            changed = message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]
            with pytest.raises(Refused):
                verify_signature(base64.b64encode(changed), body, pinned, now=self.THEN)
        changed_body = body.replace(b"Idle", b"Idlf")
        refused(Refusal.BAD_SIGNATURE, lambda: verify_signature(header, changed_body, pinned, now=self.THEN))
