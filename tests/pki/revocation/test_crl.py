"""CRLs, judged by OpenSSL, asn1crypto and cryptography."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asn1crypto.crl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.pki import certificates, keys, names
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, ROOT_CA
from bramley.pki.errors import CannotIssue
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from bramley.pki.revocation import crl
from bramley.pki.revocation.entries import CRLReason, Revocation

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]
DAY = timedelta(days=1)

FLAGS = {
    CRLReason.unspecified: None,
    CRLReason.keyCompromise: x509.ReasonFlags.key_compromise,
    CRLReason.affiliationChanged: x509.ReasonFlags.affiliation_changed,
    CRLReason.superseded: x509.ReasonFlags.superseded,
    CRLReason.cessationOfOperation: x509.ReasonFlags.cessation_of_operation,
    CRLReason.certificateHold: x509.ReasonFlags.certificate_hold,
    CRLReason.privilegeWithdrawn: x509.ReasonFlags.privilege_withdrawn,
}
SERIALS = [1, 0x7F, 0x80, 0xFFFF, (1 << 127) - 1, 1 << 127, (1 << 159) - 1]
"""Around the lengths where DER needs one octet more."""


def entries(now: datetime) -> list[Revocation]:
    return [
        Revocation(serial, now - number * DAY, reason)
        for number, (serial, reason) in enumerate(zip(SERIALS, CRLReason, strict=True))
    ]


def build(authority: Authority, revoked: list[Revocation], now: datetime, number: int = 1) -> bytes:
    return crl.build(authority, revoked, number=number, this_update=now, next_update=now + DAY)


def read(encoded: bytes) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(encoded)


def test_every_key_signs_what_openssl_verifies(any_key: PrivateKey, openssl: OpenSSL, tmp_path: Path, now: datetime) -> None:
    ca = Authority(self_signed(ROOT_CA, any_key, names.make("Root"), now=now), any_key)
    (tmp_path / "ca").write_bytes(certificates.pem(ca.certificate))
    (tmp_path / "crl").write_bytes(build(ca, entries(now), now))

    done = openssl("crl", "-inform", "DER", "-in", tmp_path / "crl", "-noout", "-verify", "-CAfile", tmp_path / "ca")

    assert "verify OK" in done.stderr
    digest = read((tmp_path / "crl").read_bytes()).signature_hash_algorithm
    assert digest is not None
    assert digest.name == ("sha384" if keys.algorithm_of(any_key.public_key()) is KeyAlgorithm.P_384 else "sha256")


def test_cryptography_reads_what_was_written(hierarchy: Any, now: datetime) -> None:
    ca, revoked = hierarchy.identity_ca, entries(now)

    found = read(build(ca, revoked, now, number=1 << 40))

    assert found.is_signature_valid(ca.certificate.public_key())
    assert found.issuer == ca.certificate.subject
    assert (found.last_update_utc, found.next_update_utc) == (now, now + DAY)
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1 << 40
    assert (
        found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        == ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )
    assert not any(extension.critical for extension in found.extensions)
    assert len(found.extensions) == 2
    for entry, each in zip(found, revoked, strict=True):
        assert (entry.serial_number, entry.revocation_date_utc) == (each.serial, each.since)
        reasons = [extension.value.reason for extension in entry.extensions if isinstance(extension.value, x509.CRLReason)]
        assert reasons == ([FLAGS[each.reason]] if FLAGS[each.reason] else [])


def test_asn1crypto_writes_the_very_same_octets(hierarchy: Any, now: datetime) -> None:
    encoded = build(hierarchy.identity_ca, entries(now), now)

    assert asn1crypto.crl.CertificateList.load(encoded, strict=True).copy().dump(force=True) == encoded


def test_nothing_revoked_is_no_list_at_all(hierarchy: Any, openssl: OpenSSL, tmp_path: Path, now: datetime) -> None:
    (tmp_path / "crl").write_bytes(build(hierarchy.identity_ca, [], now))

    shown = openssl("crl", "-inform", "DER", "-in", tmp_path / "crl", "-noout", "-text").stdout

    assert "No Revoked Certificates." in shown
    # RFC 5280 section 5.1.2.6: absent, not empty
    assert (
        asn1crypto.crl.CertificateList.load((tmp_path / "crl").read_bytes())["tbs_cert_list"]["revoked_certificates"].native
        is None
    )


def test_moments_beyond_2049_are_generalized_times(hierarchy: Any, now: datetime) -> None:
    late = datetime(2050, 1, 1, tzinfo=UTC)

    found = crl.build(
        hierarchy.identity_ca, [Revocation(5, late, CRLReason.superseded)], number=1, this_update=now, next_update=late
    )

    assert read(found).next_update_utc == late
    assert [entry.revocation_date_utc for entry in read(found)] == [late]
    assert found.count(b"\x18\x0f20500101000000Z") == 2


@pytest.mark.parametrize("revoked", [True, False])
def test_openssl_judges_a_device_by_it(hierarchy: Any, openssl: OpenSSL, tmp_path: Path, now: datetime, revoked: bool) -> None:
    serial = hierarchy.device.serial_number if revoked else hierarchy.device.serial_number + 1
    encoded = build(hierarchy.identity_ca, [Revocation(serial, now, CRLReason.keyCompromise)], now)
    (tmp_path / "crl").write_bytes(read(encoded).public_bytes(Encoding.PEM))
    chain = [hierarchy.root.certificate, hierarchy.identity_ca.certificate, hierarchy.device]
    for name, certificate in zip(("root", "ca", "device"), chain, strict=True):
        (tmp_path / name).write_bytes(certificates.pem(certificate))

    done = openssl(
        *("verify", "-x509_strict", "-crl_check", "-attime", int(now.timestamp()) + 60, "-CRLfile", tmp_path / "crl"),
        *("-CAfile", tmp_path / "root", "-untrusted", tmp_path / "ca", tmp_path / "device"),
        check=False,
    )

    assert (done.returncode, bool(re.search("certificate revoked", done.stderr))) == ((2, True) if revoked else (0, False))


def test_who_may_not_sign_crls_signs_none(hierarchy: Any, key_of: Any, now: datetime) -> None:
    key = key_of(KeyAlgorithm.P_256)
    leaf = issue(hierarchy.root, DEVICE_IDENTITY, key.public_key(), subject=names.make("leaf"), now=now)

    with pytest.raises(CannotIssue, match="cRLSign"):
        build(Authority(leaf, key), [], now)
