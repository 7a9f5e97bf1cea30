"""Chains that hold and chains that do not; where the rules are the same, `openssl verify` must say what we say."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.pki import certificates, chains, names, oids
from bramley.pki.errors import BadCertificate, ChainError, ChainReason
from bramley.pki.keys import KeyAlgorithm, PrivateKey

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]
KeyOf = Callable[..., PrivateKey]

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
CA = x509.BasicConstraints(ca=True, path_length=None)
CLIENT = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oids.CLIENT_AUTH)])
SERVER = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oids.SERVER_AUTH)])
ANY = x509.ExtendedKeyUsage([x509.ObjectIdentifier("2.5.29.37.0")])


@dataclass(frozen=True)
class Issued:
    certificate: x509.Certificate
    key: PrivateKey


@dataclass(frozen=True)
class Case:
    """What a device presents, whom we trust, and what is to come of it."""

    leaf: Issued
    intermediates: Sequence[Issued]
    anchors: Sequence[Issued]
    reason: ChainReason | None = None
    usage: str | None = oids.CLIENT_AUTH
    stricter_than_openssl: bool = False
    at: datetime = field(default=NOW)


@pytest.fixture(scope="session")
def forge(key_of: KeyOf) -> Callable[..., Issued]:
    """Makes any certificate, broken ones included; without an issuer, one that signs itself."""

    def forge(
        name: str,
        by: Issued | None = None,
        *extensions: x509.ExtensionType,
        key: PrivateKey | None = None,
        critical: bool = True,
        begin: datetime = NOW - DAY,
        end: datetime = NOW + DAY,
        digest: Any = None,
        issuer_name: str | None = None,
    ) -> Issued:
        own = key or key_of(KeyAlgorithm.P_256, name)
        issuer = names.make(issuer_name) if issuer_name else by.certificate.subject if by else names.make(name)
        builder = (
            x509.CertificateBuilder(issuer, names.make(name), own.public_key(), x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        )
        if by:
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return Issued(builder.sign(by.key if by else own, digest or hashes.SHA256()), own)

    return forge


def key_usage(**wanted: bool) -> x509.KeyUsage:
    every = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{usage: wanted.get(usage, False) for usage in every.split()})


Forge = Callable[..., Issued]


def good(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA)
    return Case(forge("device", ca, CLIENT), [ca], [root])


def good_in_any_order_among_strangers(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    one = forge("One", root, CA)
    two = forge("Two", one, CA)
    stranger = forge("Stranger", None, CA)
    return Case(forge("device", two, CLIENT), [stranger, one, root, two], [stranger, root])


def good_with_key_usage_and_limited_ca(forge: Forge) -> Case:
    root = forge("Root", None, x509.BasicConstraints(True, 1), key_usage(key_cert_sign=True))
    ca = forge("CA", root, x509.BasicConstraints(True, 0), key_usage(key_cert_sign=True), CLIENT)
    return Case(forge("device", ca, CLIENT, key_usage(digital_signature=True)), [ca], [root])


def unknown_issuer(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA)
    return Case(forge("device", ca, CLIENT), [ca], [forge("Another", None, CA)], ChainReason.UNKNOWN_ISSUER)


def no_anchors(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    return Case(forge("device", root, CLIENT), [root], [], ChainReason.UNKNOWN_ISSUER)


def self_signed_stranger(forge: Forge) -> Case:
    return Case(forge("device", None, CLIENT), [], [forge("Root", None, CA)], ChainReason.UNKNOWN_ISSUER)


def lookalike_ca(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    lookalike = forge("Root", None, CA, key=forge("Mallory").key)
    return Case(forge("device", lookalike, CLIENT), [lookalike], [root], ChainReason.BAD_SIGNATURE)


def lookalike_intermediate_under_a_known_root(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA)
    lookalike = forge("CA", None, CA, key=forge("Mallory").key, issuer_name="Root")
    return Case(forge("device", lookalike, CLIENT), [ca, lookalike], [root], ChainReason.BAD_SIGNATURE)


def lookalike_first_and_the_true_one_after(forge: Forge) -> Case:
    lookalike, root = forge("Root", None, CA, key=forge("Mallory").key), forge("Root", None, CA)
    return Case(forge("device", root, CLIENT), [], [lookalike, root])


def expired(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    leaf = forge("device", root, CLIENT, begin=NOW - 3 * DAY, end=NOW - timedelta(seconds=1))
    return Case(leaf, [], [root], ChainReason.EXPIRED)


def not_yet_valid(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    return Case(forge("device", root, CLIENT, begin=NOW + timedelta(seconds=1)), [], [root], ChainReason.NOT_YET_VALID)


def expired_ca(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA, begin=NOW - 3 * DAY, end=NOW - DAY)
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.EXPIRED)


def expired_root(forge: Forge) -> Case:
    root = forge("Root", None, CA, begin=NOW - 3 * DAY, end=NOW - DAY)
    return Case(forge("device", root, CLIENT), [], [root], ChainReason.EXPIRED)


def issued_by_a_device(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    device = forge("device", root, CLIENT, x509.BasicConstraints(False, None))
    return Case(forge("friend", device, CLIENT), [device], [root], ChainReason.NOT_A_CA)


def issued_by_a_device_without_constraints(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    device = forge("device", root, CLIENT)
    return Case(forge("friend", device, CLIENT), [device], [root], ChainReason.NOT_A_CA)


def ca_without_cert_sign(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA, key_usage(crl_sign=True))
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.NOT_A_CA)


def path_too_long(forge: Forge) -> Case:
    root = forge("Root", None, x509.BasicConstraints(True, 0))
    ca = forge("CA", root, CA)
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.PATH_TOO_LONG)


def path_too_long_below_an_intermediate(forge: Forge) -> Case:
    root = forge("Root", None, x509.BasicConstraints(True, 5))
    one = forge("One", root, x509.BasicConstraints(True, 0))
    two = forge("Two", one, CA)
    return Case(forge("device", two, CLIENT), [two, one], [root], ChainReason.PATH_TOO_LONG)


def wrong_usage(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    return Case(forge("device", root, SERVER), [], [root], ChainReason.WRONG_USAGE)


def silent_about_usage(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    return Case(forge("device", root), [], [root], ChainReason.WRONG_USAGE, stricter_than_openssl=True)


def any_usage(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    return Case(forge("device", root, ANY), [], [root], ChainReason.WRONG_USAGE)


def ca_of_another_usage(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA, SERVER)
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.WRONG_USAGE)


def no_usage_demanded(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    return Case(forge("device", root, SERVER), [], [root], usage=None)


def unknown_critical_extension(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return Case(forge("device", root, CLIENT, odd), [], [root], ChainReason.UNKNOWN_EXTENSION)


def unknown_critical_extension_of_a_ca(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA, x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"))
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.UNKNOWN_EXTENSION)


def unknown_extension_that_is_not_critical(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    return Case(forge("device", root, CLIENT, odd, critical=False), [], [root])


def name_constraints_that_we_do_not_apply(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    limits = x509.NameConstraints([x509.DNSName("example.org")], None)
    ca = forge("CA", root, CA, limits, critical=False)
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.UNKNOWN_EXTENSION, stricter_than_openssl=True)


def weak_leaf_key(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return Case(forge("device", root, CLIENT, key=weak), [], [root], ChainReason.WEAK_ALGORITHM)


def weak_ca_key(forge: Forge) -> Case:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA, key=rsa.generate_private_key(public_exponent=65537, key_size=1024))
    return Case(forge("device", ca, CLIENT), [ca], [root], ChainReason.WEAK_ALGORITHM)


def anchor_presented_as_leaf(forge: Forge) -> Case:
    pinned = forge("pinned", None, CLIENT)
    return Case(pinned, [], [pinned])


def self_issued_rollover_does_not_count_for_the_path(forge: Forge) -> Case:
    old = forge("Root", None, x509.BasicConstraints(True, 0))
    new = forge("Root", old, CA, key=forge("Root, new").key)
    return Case(forge("device", new, CLIENT), [new], [old])


CASES = [
    good,
    good_in_any_order_among_strangers,
    good_with_key_usage_and_limited_ca,
    unknown_issuer,
    no_anchors,
    self_signed_stranger,
    lookalike_ca,
    lookalike_intermediate_under_a_known_root,
    lookalike_first_and_the_true_one_after,
    expired,
    not_yet_valid,
    expired_ca,
    expired_root,
    issued_by_a_device,
    issued_by_a_device_without_constraints,
    ca_without_cert_sign,
    path_too_long,
    path_too_long_below_an_intermediate,
    wrong_usage,
    silent_about_usage,
    any_usage,
    ca_of_another_usage,
    no_usage_demanded,
    unknown_critical_extension,
    unknown_critical_extension_of_a_ca,
    unknown_extension_that_is_not_critical,
    name_constraints_that_we_do_not_apply,
    weak_leaf_key,
    weak_ca_key,
    anchor_presented_as_leaf,
    self_issued_rollover_does_not_count_for_the_path,
]


def verify(case: Case, **options: Any) -> tuple[x509.Certificate, ...]:
    return chains.verify(
        case.leaf.certificate,
        intermediates=[each.certificate for each in case.intermediates],
        anchors=[each.certificate for each in case.anchors],
        at=case.at,
        extended_key_usage=case.usage,
        **options,
    )


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_a_chain_holds_or_breaks_the_rule_it_should(make: Callable[[Forge], Case], forge: Forge) -> None:
    case = make(forge)

    if case.reason is None:
        chain = verify(case)
        assert chain[0] == case.leaf.certificate
        assert chain[-1] in [each.certificate for each in case.anchors]
        for child, parent in pairwise(chain):
            child.verify_directly_issued_by(parent)
    else:
        with pytest.raises(ChainError) as caught:
            verify(case)
        assert caught.value.reason is case.reason, caught.value


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_openssl_says_the_same_unless_we_mean_to_be_stricter(
    make: Callable[[Forge], Case], forge: Forge, openssl: OpenSSL, tmp_path: Path
) -> None:
    case = make(forge)
    for name, several in (("anchors", case.anchors), ("others", case.intermediates), ("leaf", [case.leaf])):
        (tmp_path / name).write_bytes(b"".join(certificates.pem(each.certificate) for each in several))

    purpose = ["-purpose", "sslclient"] if case.usage else []
    anchors = ["-CAfile", tmp_path / "anchors"] if case.anchors else ["-no-CAfile"]
    others = ["-untrusted", tmp_path / "others"] if case.intermediates else []
    done = openssl(
        *("verify", "-auth_level", 2, "-attime", int(case.at.timestamp()), *purpose, *anchors, *others),
        *("-no-CApath", "-no-CAstore", tmp_path / "leaf"),
        check=False,
    )

    assert (done.returncode == 0) == (case.reason is None or case.stricter_than_openssl), done.stderr


def test_the_chain_is_given_from_leaf_to_anchor(hierarchy: Any) -> None:
    ca, root = hierarchy.identity_ca.certificate, hierarchy.root.certificate

    assert chains.verify(
        hierarchy.device, intermediates=[root, ca], anchors=[root], at=NOW, extended_key_usage=oids.CLIENT_AUTH
    ) == (hierarchy.device, ca, root)


def test_an_intermediate_may_be_an_anchor_itself(hierarchy: Any) -> None:
    ca = hierarchy.identity_ca.certificate

    assert chains.verify(hierarchy.device, intermediates=[], anchors=[ca], at=NOW) == (hierarchy.device, ca)


def test_clocks_may_differ_by_the_skew_and_no_more(forge: Forge) -> None:
    for case in (expired(forge), not_yet_valid(forge)):
        assert verify(case, skew=timedelta(seconds=1))
        with pytest.raises(ChainError):
            verify(case, skew=timedelta(milliseconds=999))


def test_both_ends_of_the_validity_are_inside_it(forge: Forge) -> None:
    root = forge("Root", None, CA, begin=NOW, end=NOW)
    assert verify(Case(forge("device", root, CLIENT, begin=NOW, end=NOW), [], [root]))


@pytest.mark.parametrize("digest", [hashes.SHA224(), hashes.SHA3_256()])
def test_a_signature_with_a_hash_that_is_not_allowed_is_refused(forge: Forge, digest: hashes.HashAlgorithm) -> None:
    root = forge("Root", None, CA)

    with pytest.raises(ChainError, match="is not RSA or ECDSA with SHA-256") as caught:
        verify(Case(forge("device", root, CLIENT, digest=digest), [], [root]))
    assert caught.value.reason is ChainReason.WEAK_ALGORITHM


def test_a_sha1_signature_is_refused(openssl: OpenSSL, tmp_path: Path) -> None:
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.pem"),
        *("-subj", "/CN=Old CA", "-days", 36500),
    )
    openssl(
        *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key", "-out", tmp_path / "csr"),
        *("-subj", "/CN=device"),
    )
    openssl(
        *("x509", "-req", "-in", tmp_path / "csr", "-CA", tmp_path / "ca.pem", "-CAkey", tmp_path / "ca.key", "-sha1"),
        *("-days", 36500, "-out", tmp_path / "device.pem"),
    )
    ca, device = (certificates.load((tmp_path / name).read_bytes()) for name in ("ca.pem", "device.pem"))

    with pytest.raises(ChainError) as caught:
        chains.verify(device, intermediates=[], anchors=[ca], at=ca.not_valid_before_utc + DAY)
    assert caught.value.reason is ChainReason.WEAK_ALGORITHM
    assert "1.2.840.113549.1.1.5" in str(caught.value)


def test_apples_old_chain_with_its_1024_bit_ca_is_refused(vectors: Path) -> None:
    device_ca, *above = certificates.load_chain((vectors / "apple-ca" / "apple-iphone-device-ca-chain.pem").read_bytes())

    with pytest.raises(ChainError) as caught:
        chains.verify(device_ca, intermediates=above[:1], anchors=above[1:], at=device_ca.not_valid_before_utc + DAY)
    assert caught.value.reason is ChainReason.WEAK_ALGORITHM


def test_an_even_exponent_is_refused(forge: Forge, hierarchy: Any) -> None:
    der = certificates.der(hierarchy.device)
    even = certificates.load(der.replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x02"))

    with pytest.raises(ChainError) as caught:
        chains.verify(even, intermediates=[], anchors=[hierarchy.identity_ca.certificate], at=NOW)
    assert caught.value.reason is ChainReason.WEAK_ALGORITHM


def test_no_byte_of_a_certificate_can_change(hierarchy: Any) -> None:
    ca = hierarchy.identity_ca.certificate
    der = certificates.der(hierarchy.device)
    for position in (len(der) - 1, der.index(b"F2LX0001"), der.index(b"device-1")):
        changed = bytearray(der)
        changed[position] ^= 1
        with pytest.raises(ChainError) as caught:
            chains.verify(certificates.load(bytes(changed)), intermediates=[], anchors=[ca], at=NOW)
        assert caught.value.reason is ChainReason.BAD_SIGNATURE


def test_a_name_that_is_not_utf8_is_refused(hierarchy: Any) -> None:
    der = certificates.der(hierarchy.device).replace(b"F2LX0001", b"F2LX000\xff")

    with pytest.raises(BadCertificate, match="names that cannot be read"):
        certificates.load(der)
    with pytest.raises(ChainError) as caught:
        chains.verify(x509.load_der_x509_certificate(der), intermediates=[], anchors=[], at=NOW)
    assert caught.value.reason is ChainReason.MALFORMED


def test_extensions_that_come_twice_are_refused(hierarchy: Any) -> None:
    der = certificates.der(hierarchy.device)
    # subjectKeyIdentifier 2.5.29.14 renamed to authorityKeyIdentifier 2.5.29.35, which is there already
    twice = certificates.load(der.replace(b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x23"))

    with pytest.raises(ChainError) as caught:
        chains.verify(twice, intermediates=[], anchors=[hierarchy.identity_ca.certificate], at=NOW)
    assert caught.value.reason is ChainReason.MALFORMED


def test_a_chain_that_is_too_long_is_refused(forge: Forge) -> None:
    root = forge("Root", None, CA)
    line = [root]
    for number in range(chains.LONGEST - 2):
        line.append(forge(f"CA {number}", line[-1], CA))
    assert len(verify(Case(forge("device", line[-1], CLIENT), line[1:], [root]))) == chains.LONGEST

    line.append(forge("One more", line[-1], CA))
    with pytest.raises(ChainError) as caught:
        verify(Case(forge("device", line[-1], CLIENT), line[1:], [root]))
    assert caught.value.reason is ChainReason.PATH_TOO_LONG


def test_a_maze_of_intermediates_costs_a_bounded_number_of_signature_checks(forge: Forge) -> None:
    root = forge("Root", None, CA)
    maze = [forge("Root", root, CA) for _ in range(chains.MOST_SIGNATURE_CHECKS)]
    leaf = forge("device", maze[0], CLIENT)
    mallory = forge("Root", None, CA, key=forge("Mallory").key)

    with pytest.raises(ChainError, match="too many certificates"):
        verify(Case(leaf, maze, [mallory]))


def test_a_chain_is_put_in_order_and_an_issuer_is_a_ca_that_signed(forge: Forge) -> None:
    root, stranger = (forge("Root", None, CA, key=forge(each).key) for each in ("a", "b"))
    middle = forge("Middle", root, CA)
    namesake, no_ca = forge("Middle", stranger, CA, key=forge("c").key), forge("Middle", root, key=middle.key)
    leaf = forge("leaf", middle)

    def chain(*others: Issued) -> tuple[x509.Certificate, ...]:
        return chains.chain_of(leaf.certificate, [each.certificate for each in others])

    whole = (leaf.certificate, middle.certificate, root.certificate)
    assert chain(stranger, root, namesake, no_ca, middle) == whole
    assert chain(middle) == whole[:2]
    assert chain(root, stranger, namesake, no_ca) == whole[:1]
    assert chains.chain_of(root.certificate, [middle.certificate, root.certificate]) == (root.certificate,)
    line = [root]
    for number in range(chains.LONGEST):
        line.append(forge(f"CA {number}", line[-1], CA))
    assert len(chains.chain_of(line[-1].certificate, [each.certificate for each in line])) == chains.LONGEST


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ("1.2.840.113635.100.6.1.13", None),
        ("1.2.840.113635.100.6.1.14", None),
        ("1.2.840.113635.100.6.1.15", ChainReason.UNKNOWN_EXTENSION),
    ],
)
def test_apples_marks_of_developer_id_are_known_though_they_are_critical(
    mark: str, reason: ChainReason | None, forge: Forge
) -> None:
    root = forge("Root", None, CA)
    ca = forge("CA", root, CA, x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113635.100.6.2.6"), b"\5\0"))
    leaf = forge("leaf", ca, x509.UnrecognizedExtension(x509.ObjectIdentifier(mark), b"\5\0"))
    case = Case(leaf, [ca], [root], reason, usage=None)
    if reason is None:
        assert len(verify(case)) == 3
        return
    with pytest.raises(ChainError) as caught:
        verify(case)
    assert caught.value.reason is reason
