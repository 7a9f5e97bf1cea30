"""Certification requests: ours read by OpenSSL, OpenSSL's read by us, and those that devices really send."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bramley.pki import csr, keys, names, oids
from bramley.pki.cms import der
from bramley.pki.errors import BadKey, BadRequest
from bramley.pki.keys import KeyAlgorithm, PrivateKey

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]
KeyOf = Callable[..., PrivateKey]

SUBJECT = names.make("F2LX0001", organization="Orchard")
SANS = (
    x509.DNSName("device.example.org"),
    x509.RFC822Name("it@example.org"),
    x509.UniformResourceIdentifier("urn:uuid:1"),
    x509.IPAddress(ip_address("192.0.2.7")),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), der.utf8_string("it@example.org")),
)
CHALLENGE = der.sequence(der.oid(oids.CHALLENGE_PASSWORD), der.set_of([der.printable_string("correct horse")]))
UNSTRUCTURED_NAME = der.sequence(der.oid("1.2.840.113549.1.9.2"), der.set_of([der.utf8_string("a"), der.utf8_string("b")]))
EC_KEY = ec.derive_private_key(4711, ec.SECP256R1())


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def san_request(*general_names: bytes) -> bytes:
    extension = der.sequence(der.oid("2.5.29.17"), der.octet_string(der.sequence(*general_names)))
    return der.sequence(der.oid(oids.EXTENSION_REQUEST), der.set_of([der.sequence(extension)]))


def signed(info: bytes, key: PrivateKey, digest: hashes.HashAlgorithm, algorithm: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(info, padding.PKCS1v15(), digest)
    else:
        signature = key.sign(info, ec.ECDSA(digest))
    return der.sequence(info, algorithm, der.element(0x03, b"\0" + signature))


def handmade(
    key: PrivateKey = EC_KEY,
    *,
    version: int = 0,
    subject: bytes = SUBJECT.public_bytes(),
    public_key: bytes | None = None,
    attributes: Sequence[bytes] | None = (CHALLENGE,),
    digest: hashes.HashAlgorithm | None = None,
    algorithm: bytes | None = None,
) -> bytes:
    """A request put together by hand, signed as it stands: attributes in the order given, or no field for them at all."""
    ours = oids.SHA256_WITH_RSA if isinstance(key, rsa.RSAPrivateKey) else oids.ECDSA_WITH_SHA256
    info = der.sequence(
        der.integer(version),
        subject,
        public_key or spki(key),
        b"" if attributes is None else der.context(0, b"".join(attributes)),
    )
    return signed(info, key, digest or hashes.SHA256(), algorithm or der.sequence(der.oid(ours)))


# --- ours and OpenSSL's


def test_what_was_built_is_read_again(any_key: PrivateKey) -> None:
    built = csr.build(any_key, SUBJECT, challenge_password="correct horse", sans=SANS)
    request = csr.load(built)

    assert request.der == built
    assert request.subject == SUBJECT
    assert keys.spki_sha256(request.public_key) == keys.spki_sha256(any_key.public_key())
    assert request.challenge_password == "correct horse"
    assert request.sans == SANS


def test_openssl_verifies_and_shows_ours(any_key: PrivateKey, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "request").write_bytes(csr.build(any_key, SUBJECT, challenge_password="correct horse", sans=SANS))
    done = openssl("req", "-inform", "DER", "-in", tmp_path / "request", "-verify", "-noout", "-text")

    assert "verify OK" in done.stderr
    assert "Version: 1 (0x0)" in done.stdout
    assert "challengePassword        :correct horse" in done.stdout
    assert "DNS:device.example.org, email:it@example.org, URI:urn:uuid:1, IP Address:192.0.2.7" in done.stdout


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_we_read_openssls(any_key: PrivateKey, openssl: OpenSSL, tmp_path: Path, digest: str) -> None:
    (tmp_path / "key").write_bytes(keys.to_pkcs8(any_key))
    (tmp_path / "config").write_text(
        "[req]\nprompt = no\ndistinguished_name = dn\nattributes = attributes\nreq_extensions = extensions\n"
        "string_mask = default\n"
        "[dn]\nC = GB\nCN = F2LX0001\n[attributes]\nchallengePassword = correct horse\n"
        "[extensions]\nkeyUsage = critical, digitalSignature\nsubjectAltName = critical, DNS:device.example.org\n"
    )
    openssl(
        *("req", "-new", "-config", tmp_path / "config", "-keyform", "DER", "-key", tmp_path / "key", f"-{digest}"),
        *("-outform", "DER", "-out", tmp_path / "request"),
    )
    request = csr.load((tmp_path / "request").read_bytes())

    assert names.text(request.subject) == "CN=F2LX0001,C=GB"
    assert request.challenge_password == "correct horse"
    assert request.sans == (x509.DNSName("device.example.org"),)
    assert keys.spki_sha256(request.public_key) == keys.spki_sha256(any_key.public_key())


def test_a_bare_request_has_neither_password_nor_names() -> None:
    request = csr.load(csr.build(EC_KEY, x509.Name([])))

    assert (request.challenge_password, request.sans) == (None, ())
    assert names.text(request.subject) == "(empty)"


# --- what devices send


def test_the_request_of_a_real_mac_is_read(vectors: Path, openssl: OpenSSL, tmp_path: Path) -> None:
    """macOS 2016: version 2, SHA-1, RSA-1024. OpenSSL takes it out of the message that carried it."""
    scep = vectors / "scep"
    openssl(
        *("cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", scep / "macos-2016-PKCSReq.der"),
        *("-out", tmp_path / "envelope"),
    )
    openssl(
        *("cms", "-decrypt", "-binary", "-inform", "DER", "-in", tmp_path / "envelope", "-out", tmp_path / "request"),
        *("-recip", scep / "macos-2016-ca.pem", "-inkey", scep / "macos-2016-ca.key", "-passin", "pass:"),
    )
    request = csr.load((tmp_path / "request").read_bytes())

    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_csr(request.der)
    assert isinstance(request.public_key, rsa.RSAPublicKey)
    assert request.public_key.key_size == 1024
    assert names.text(request.subject) == "CN=com.apple.security.scep.063D7953-1338-4BF0-8F99-913382996224"
    assert request.challenge_password is None


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_version_that_apple_sends_is_accepted(version: int) -> None:
    assert csr.load(handmade(version=version)).challenge_password == "correct horse"


@pytest.mark.parametrize("version", [-1, 3, 1 << 70])
def test_no_other_version_is(version: int) -> None:
    with pytest.raises(BadRequest, match="version should be 0"):
        csr.load(handmade(version=version))


def test_attributes_are_read_in_any_order() -> None:
    san = san_request(der.context(2, b"device.example.org", constructed=False))
    several = [san, UNSTRUCTURED_NAME, CHALLENGE]
    assert several != sorted(several)

    for attributes in (several, several[::-1], sorted(several)):
        request = csr.load(handmade(attributes=attributes))
        assert request.challenge_password == "correct horse"
        assert request.sans == (x509.DNSName("device.example.org"),)


def test_the_field_for_attributes_may_be_missing() -> None:
    assert csr.load(handmade(attributes=None)).challenge_password is None


def test_extensions_that_we_do_not_read_do_no_harm() -> None:
    odd = der.sequence(der.oid("2.5.29.15"), der.octet_string(b"no KeyUsage at all"))
    wanted = der.sequence(der.oid(oids.EXTENSION_REQUEST), der.set_of([der.sequence(odd)]))

    assert csr.load(handmade(attributes=[wanted])).sans == ()


def test_a_key_too_weak_to_certify_still_proves_possession() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    request = csr.load(handmade(weak))

    with pytest.raises(BadKey, match="1024 bits"):
        keys.require_strong(request.public_key)


def test_the_password_encodings_of_rfc_2985_are_understood() -> None:
    for tag, content in ((0x0C, "grün".encode()), (0x1E, "grün".encode("utf-16-be")), (0x14, "grün".encode("latin-1"))):
        password = der.sequence(der.oid(oids.CHALLENGE_PASSWORD), der.set_of([der.element(tag, content)]))
        assert csr.load(handmade(attributes=[password])).challenge_password == "grün"


# --- what is refused


def test_a_broken_signature_is_refused(any_key: PrivateKey) -> None:
    built = bytearray(csr.build(any_key, SUBJECT))
    built[-1] ^= 1

    with pytest.raises(BadRequest, match="signature"):
        csr.load(bytes(built))


def test_a_request_for_somebody_elses_key_is_refused(key_of: KeyOf) -> None:
    for other in (key_of(KeyAlgorithm.P_256, "other"), key_of(KeyAlgorithm.RSA_2048)):
        with pytest.raises(BadRequest):
            csr.load(handmade(public_key=spki(other)))


def test_a_change_of_subject_names_or_password_is_refused() -> None:
    built = csr.build(EC_KEY, SUBJECT, challenge_password="correct horse", sans=SANS)
    for text in (b"F2LX0001", b"correct horse", b"device.example.org"):
        with pytest.raises(BadRequest, match="proves no possession"):
            csr.load(built.replace(text, text.swapcase()))


def test_the_signature_covers_the_version_and_order_as_sent() -> None:
    request = handmade(version=2, attributes=[UNSTRUCTURED_NAME, CHALLENGE])
    for found, put in (
        (UNSTRUCTURED_NAME + CHALLENGE, CHALLENGE + UNSTRUCTURED_NAME),
        (b"\x02\x01\x02\x30", b"\x02\x01\x00\x30"),
    ):
        assert request.count(found) == 1
        with pytest.raises(BadRequest, match="proves no possession"):
            csr.load(request.replace(found, put))


def test_an_even_exponent_is_refused(key_of: KeyOf) -> None:
    key = key_of(KeyAlgorithm.RSA_2048)
    even = spki(key).replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x02")

    with pytest.raises(BadRequest, match="cannot be read"):
        csr.load(handmade(key, public_key=even))


def test_a_key_of_another_kind_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    request = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(key, None)

    with pytest.raises(BadRequest, match=r"1\.3\.101\.112"):
        csr.load(request.public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize(
    "algorithm",
    [
        der.sequence(der.oid("1.2.840.113549.1.1.4"), der.null()),  # MD5 with RSA
        der.sequence(der.oid("1.2.840.113549.1.1.10")),  # RSASSA-PSS
        der.sequence(der.oid(oids.RSA_ENCRYPTION)),
        der.sequence(der.oid(oids.ECDSA_WITH_SHA256)),
        der.sequence(der.oid(oids.SHA384_WITH_RSA), der.null()),
        der.sequence(der.oid(oids.SHA256_WITH_RSA), der.integer(1)),
        der.sequence(),
        der.null(),
    ],
)
def test_another_signature_algorithm_is_refused(key_of: KeyOf, algorithm: bytes) -> None:
    with pytest.raises(BadRequest):
        csr.load(handmade(key_of(KeyAlgorithm.RSA_2048), algorithm=algorithm))


def test_what_comes_twice_is_refused() -> None:
    name = der.context(2, b"device.example.org", constructed=False)
    extension = der.sequence(der.oid("2.5.29.17"), der.octet_string(der.sequence(name)))
    san_twice = der.sequence(der.oid(oids.EXTENSION_REQUEST), der.set_of([der.sequence(extension, extension)]))
    two_passwords = der.sequence(der.oid(oids.CHALLENGE_PASSWORD), der.set_of([der.utf8_string("a"), der.utf8_string("b")]))

    for attributes in ([CHALLENGE, CHALLENGE], [san_request(name)] * 2, [san_twice], [two_passwords]):
        with pytest.raises(BadRequest):
            csr.load(handmade(attributes=attributes))


@pytest.mark.parametrize(
    "name",
    [
        der.context(4, SUBJECT.public_bytes()),  # directoryName
        der.context(3, der.sequence()),  # x400Address
        der.context(2, b"\xff", constructed=False),
        der.context(7, b"\x01\x02\x03", constructed=False),
    ],
)
def test_alternative_names_that_we_cannot_certify_are_refused(name: bytes) -> None:
    with pytest.raises(BadRequest):
        csr.load(handmade(attributes=[san_request(name)]))


@pytest.mark.parametrize(
    ("oid", "value"), [("2.5.4.6", "GBR"), ("2.5.4.3", "x" * 65), ("2.5.4.3", ""), ("1.3.6.1.4.1.311.60.2.1.3", "G")]
)
def test_a_subject_beyond_the_bounds_of_x520_is_refused(oid: str, value: str) -> None:
    attribute = der.sequence(der.oid(oid), der.utf8_string(value))

    with pytest.raises(BadRequest, match="octets"):
        csr.load(handmade(subject=der.sequence(der.set_of([attribute]))))


def test_what_is_no_request_is_refused(key_of: KeyOf) -> None:
    built = csr.build(EC_KEY, SUBJECT)
    for data in (b"", b"hello", built[:-1], built + b"\0", b"-----BEGIN CERTIFICATE REQUEST-----", der.sequence()):
        with pytest.raises(BadRequest):
            csr.load(data)


def test_a_huge_or_deep_request_is_refused() -> None:
    for data in (der.octet_string(bytes(csr.LIMITS.size)), b"\x30\x80" * 10_000, b"\x30\x82\xff\xff" * 5_000):
        with pytest.raises(BadRequest):
            csr.load(data)


def test_neither_repr_nor_errors_show_the_password() -> None:
    built = csr.build(EC_KEY, SUBJECT, challenge_password="correct horse")

    assert "horse" not in repr(csr.load(built))
    for position in range(len(built)):
        changed = bytearray(built)
        changed[position] ^= 0x20
        with pytest.raises(BadRequest) as caught:
            csr.load(bytes(changed))
        assert "horse" not in str(caught.value)


# --- hostile input: only BadRequest may come out

SEEDS = [
    csr.build(EC_KEY, SUBJECT, challenge_password="correct horse", sans=SANS),
    handmade(version=2, attributes=[UNSTRUCTURED_NAME, CHALLENGE]),
    handmade(attributes=None),
    csr.build(EC_KEY, x509.Name([])),
]


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A request with a few octets changed, removed, put in or repeated."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(start + 8, len(data))))
        data[start:end] = draw(st.one_of(st.binary(max_size=4), st.just(bytes(data[start:end]) * 2)))
    return bytes(data)


@settings(deadline=None, max_examples=500)
@given(mutated(SEEDS))
@example(b"")
def test_a_mutated_request_is_refused_or_says_what_was_signed(data: bytes) -> None:
    try:
        request = csr.load(data)
    except BadRequest:
        return
    assert request.subject in (SUBJECT, x509.Name([]))
    assert keys.spki_sha256(request.public_key) == keys.spki_sha256(EC_KEY.public_key())
    assert request.challenge_password in (None, "correct horse")


INFOS = [x509.load_der_x509_csr(seed).tbs_certrequest_bytes for seed in (SEEDS[0], SEEDS[3])]


@settings(deadline=None, max_examples=500)
@given(mutated(INFOS))
def test_a_mutated_request_that_its_sender_signed_is_refused_or_read(info: bytes) -> None:
    data = signed(info, EC_KEY, hashes.SHA256(), der.sequence(der.oid(oids.ECDSA_WITH_SHA256)))
    try:
        request = csr.load(data)
    except BadRequest:
        return
    assert request.der == data


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        csr.load(data)
