"""Keys and certificates as people keep them: what others write is read; every other file gets one clear error."""

from __future__ import annotations

import re
import subprocess
import time
from base64 import encodebytes
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from bramley.pki import certificates, keys, names, oids, pkcs12
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.pki.cms import certs_only, der, sign
from bramley.pki.errors import (
    BadArchive,
    BadCertificate,
    BadFile,
    BadKey,
    NoCertificate,
    NoPrivateKey,
    PairMismatch,
    PasswordNeeded,
    PKIError,
    SeveralKeys,
    SeveralMatches,
    WrongPassword,
)
from bramley.pki.keys import KeyAlgorithm
from bramley.pki.pairs import LARGEST, read_key, read_pair
from bramley.pki.pkcs12 import Bundle

from .conftest import NOW

OpenSSL = Callable[..., subprocess.CompletedProcess[str]]
Files = dict[str, bytes]

WAYS = {
    "PKCS#1": ["rsa", "-traditional"],
    "PKCS#1 DER": ["rsa", "-traditional", "-outform", "DER"],
    "PKCS#8": ["pkcs8", "-topk8", "-nocrypt"],
    "PKCS#8 DER": ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"],
    "legacy DES-EDE3": ["rsa", "-traditional", "-des3"],
    "legacy AES-128": ["rsa", "-traditional", "-aes128"],
    "legacy AES-256": ["rsa", "-traditional", "-aes256"],
    "PBES2 AES-256": ["pkcs8", "-topk8", "-v2", "aes256"],
    "PBES2 AES-256 DER": ["pkcs8", "-topk8", "-v2", "aes256", "-outform", "DER"],
    "PBES2 DES-EDE3": ["pkcs8", "-topk8", "-v2", "des3"],
    "PBES2 SHA-512": ["pkcs8", "-topk8", "-v2", "aes128", "-v2prf", "hmacWithSHA512"],
    "PBES2 scrypt": ["pkcs8", "-topk8", "-scrypt"],
    "old PBE, triple DES": ["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"],
}


def pem(label: str, content: bytes, headers: str = "") -> bytes:
    return f"-----BEGIN {label}-----\n{headers}".encode() + encodebytes(content) + f"-----END {label}-----\n".encode()


def pem_key(key: Any, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return written


@pytest.fixture(scope="session")
def bundle(hierarchy: Any) -> Bundle:
    return Bundle(hierarchy.device_key, hierarchy.device, (hierarchy.identity_ca.certificate, hierarchy.root.certificate))


@pytest.fixture(scope="session")
def files(bundle: Bundle, hierarchy: Any, key_of: Callable[..., Any]) -> Files:
    """Good and bad files by name, made once."""
    key, other = bundle.key, key_of(KeyAlgorithm.RSA_2048, "other")
    request = x509.CertificateSigningRequestBuilder().subject_name(bundle.certificate.subject).sign(key, hashes.SHA256())
    revocations = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(bundle.certificate.issuer)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
        .sign(hierarchy.identity_ca.key, hashes.SHA256())
    )
    again = issue(hierarchy.identity_ca, DEVICE_IDENTITY, key.public_key(), subject=names.make("again"), now=NOW)
    made = {
        "key": pem_key(key),
        "key.der": keys.to_pkcs8(key),
        "locked": pem_key(key, b"secret"),
        "other key": pem_key(other),
        "certificate": certificates.pem(bundle.certificate),
        "certificate.der": certificates.der(bundle.certificate),
        "again": certificates.pem(again),
        "chain": b"".join(map(certificates.pem, bundle.others)),
        "p7b": certs_only([*bundle.others, bundle.certificate]),
        "p12": pkcs12.write(bundle, "secret"),
        "request": request.public_bytes(Encoding.PEM),
        "request.der": request.public_bytes(Encoding.DER),
        "crl": revocations.public_bytes(Encoding.PEM),
        "crl.der": revocations.public_bytes(Encoding.DER),
        "public": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "public.der": key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1),
        "ssh": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "ssh public": key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "signed": sign(b"<plist/>", certificate=bundle.certificate, key=key, signing_time=NOW),
        "html": b"\n <!DOCTYPE HTML><html><body>Sign in</body></html>",
        "html with PEM": b"<html><pre>" + certificates.pem(bundle.certificate) + b"</pre></html>",
        "xhtml": b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0"><html/>',
        "json": b'{"token": "secret"}',
        "mobileconfig": b'<?xml version="1.0"?><plist version="1.0"><dict/></plist>',
        "utf-16": certificates.pem(bundle.certificate).decode().encode("utf-16"),
        "zeros": bytes(4096),
        "base64": encodebytes(certificates.der(bundle.certificate)),
        "hex": certificates.der(bundle.certificate).hex().encode(),
        "empty": b" \r\n",
        "text": "Zertifikat für später".encode(),
        "large": certificates.pem(bundle.certificate).ljust(LARGEST + 1),
        "two keys": pem_key(key) + pem_key(other),
        "nul": b"\0" + certificates.der(bundle.certificate),
    }
    made["all"] = made["key"] + made["chain"] + made["certificate"]
    return made


# --- keys


@pytest.mark.parametrize("way", WAYS)
def test_openssl_writes_a_key_and_we_read_it(way: str, bundle: Bundle, openssl: OpenSSL, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem_key(bundle.key))
    verb, *options = WAYS[way]
    openssl(verb, "-in", tmp_path / "key.pem", "-out", tmp_path / "out", "-passout", "pass:secret", *options)
    data = (tmp_path / "out").read_bytes()
    assert keys.to_pkcs8(read_key(data, "secret")) == keys.to_pkcs8(bundle.key)
    if "legacy" in way or "PBE" in way:
        with pytest.raises(PasswordNeeded):
            read_key(data, None)
        with pytest.raises(WrongPassword) as told:
            read_key(data, "Secret")
        assert "Secret" not in str(told.value)
    else:
        assert keys.to_pkcs8(read_key(data, None)) == keys.to_pkcs8(bundle.key)


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1"])
def test_keys_on_curves_come_with_their_parameters_before_them(curve: str, openssl: OpenSSL, tmp_path: Path) -> None:
    openssl("ecparam", "-name", curve, "-genkey", "-out", tmp_path / "key.pem")
    data = (tmp_path / "key.pem").read_bytes()
    assert b"EC PARAMETERS" in data
    key = read_key(data, None)
    openssl("ec", "-in", tmp_path / "key.pem", "-outform", "DER", "-out", tmp_path / "key.der")
    assert keys.to_pkcs8(read_key((tmp_path / "key.der").read_bytes(), None)) == keys.to_pkcs8(key)
    openssl("ec", "-in", tmp_path / "key.pem", "-aes256", "-passout", "pass:pässwörd", "-out", tmp_path / "locked.pem")
    assert keys.to_pkcs8(read_key((tmp_path / "locked.pem").read_bytes(), "pässwörd")) == keys.to_pkcs8(key)


def info(*, count: int = 2048, scheme: str = "1.2.840.113549.1.5.13", cipher: str = oids.AES_256_CBC, scrypt: Any = ()) -> bytes:
    """An EncryptedPrivateKeyInfo that no password opens."""
    kdf, costs = ("1.3.6.1.4.1.11591.4.11", scrypt) if scrypt else ("1.2.840.113549.1.5.12", (count,))
    derivation = der.sequence(der.oid(kdf), der.sequence(der.octet_string(bytes(8)), *map(der.integer, costs)))
    parameters = der.sequence(derivation, der.sequence(der.oid(cipher), der.octet_string(bytes(16))))
    if scheme != "1.2.840.113549.1.5.13":
        parameters = der.sequence(der.octet_string(bytes(8)), der.integer(count))
    return der.sequence(der.sequence(der.oid(scheme), parameters), der.octet_string(bytes(32)))


LEGACY = "Proc-Type: 4,ENCRYPTED\nDEK-Info: {},00112233445566778899AABBCCDDEEFF\n\n"
LOCKED = {
    "PBKDF2 of a billion": (info(count=10**9), BadFile, "at most 5000000 iterations to open; it asks for 1000000000"),
    "PBKDF2 of a giant": (info(count=1 << 99_999), BadFile, "a number of 100000 bits"),
    "PBKDF2 of none": (info(count=0), BadKey, "not positive"),
    "old PBE of a billion": (info(count=10**9, scheme="1.2.840.113549.1.12.1.3"), BadFile, "it asks for 1000000000"),
    "scrypt of 16 GB": (info(scrypt=(1 << 24, 8, 1)), BadFile, "it asks for 134217728"),
    "scrypt of a negative": (info(scrypt=(1 << 24, -8, -1)), BadKey, "not positive"),
    "an unknown scheme": (info(scheme="1.2.3.4"), BadFile, "a way that is not read here (1.2.3.4)"),
    "single DES": (info(cipher=oids.DES_CBC), BadFile, "a way that is not read here"),
    "legacy single DES": (pem("RSA PRIVATE KEY", bytes(64), LEGACY.format("DES-CBC")), BadFile, "header says 'DES-CBC'"),
    "legacy without DEK-Info": (pem("RSA PRIVATE KEY", bytes(64), "Proc-Type: 4,ENCRYPTED\n\n"), BadFile, "header says ''"),
    "whole but garbage": (info(), WrongPassword, "does not open"),
    "a needless header": (pem("ENCRYPTED PRIVATE KEY", info(), "Comment: mine\n\n"), WrongPassword, "does not open"),
    "legacy garbage": (pem("RSA PRIVATE KEY", bytes(64), LEGACY.format("AES-128-CBC")), WrongPassword, "does not open"),
}


@pytest.mark.parametrize("case", LOCKED)
def test_what_no_password_should_be_tried_on_is_refused_in_time(case: str) -> None:
    data, error, phrase = LOCKED[case]
    began = time.process_time()
    with pytest.raises(error) as told:
        read_key(data, "secret")
    assert phrase in told.value.message
    assert time.process_time() - began < 2


def test_half_a_surrogate_pair_opens_nothing(files: Files) -> None:
    with pytest.raises(WrongPassword):
        read_key(files["locked"], "\ud800")


def inconsistent(key: Any, **changes: int) -> bytes:
    numbers = key.private_numbers()
    public = numbers.public_numbers
    held = {"n": public.n, "e": public.e, "d": numbers.d, "p": numbers.p, "q": numbers.q}
    held |= {"dmp1": numbers.dmp1, "dmq1": numbers.dmq1, "iqmp": numbers.iqmp} | changes
    return der.sequence(der.integer(0), *(der.integer(held[each]) for each in ("n", "e", "d", "p", "q", "dmp1", "dmq1", "iqmp")))


KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "Ed25519": (lambda: pem_key(ed25519.Ed25519PrivateKey.generate()), "this one is Ed25519"),
    "DSA": (lambda: pem_key(dsa.generate_private_key(2048)), "this one is DSA"),
    "RSA-1024": (lambda: pem_key(rsa.generate_private_key(65537, 1024)), "this one is RSA, 1024 bits"),
    "exponent 3": (lambda: pem_key(rsa.generate_private_key(3, 2048)), "exponent 3"),
    "P-521": (lambda: pem_key(ec.generate_private_key(ec.SECP521R1())), "secp521r1"),
    "an unknown kind": (
        lambda: der.sequence(der.integer(0), der.sequence(der.oid("1.2.3.4")), der.octet_string(b"")),
        "not known here",
    ),
    "a block of nothing": (lambda: pem("PRIVATE KEY", b"nothing"), "cannot be read"),
}


@pytest.mark.parametrize("case", KINDS)
def test_kinds_of_key_that_are_not_used_are_named(case: str) -> None:
    make, phrase = KINDS[case]
    with pytest.raises(BadKey) as told:
        read_key(make(), None)
    assert phrase in told.value.message


@pytest.mark.parametrize(
    ("changes", "phrase"), [({"d": 65539}, "belong together"), ({"p": (1 << 60_000) + 1}, "at most 4096 bits, in two halves")]
)
def test_numbers_of_an_rsa_key_must_belong_together(changes: dict[str, int], phrase: str, bundle: Bundle) -> None:
    began = time.process_time()
    with pytest.raises(BadKey, match=phrase):
        read_key(inconsistent(bundle.key, **changes), None)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("name", ["key", "all", "key.der", "locked"])
def test_a_key_is_found_among_other_things_and_a_needless_password_left_alone(name: str, files: Files, bundle: Bundle) -> None:
    assert keys.to_pkcs8(read_key(files[name], "secret")) == keys.to_pkcs8(bundle.key)


# --- pairs

GOOD: dict[str, tuple[list[str], str | None]] = {
    "PEM, certificate first": (["certificate", "key"], None),
    "PEM, key first": (["key", "certificate"], None),
    "one file": (["all"], None),
    "a file of both beside a chain": (["all", "chain"], None),
    "DER": (["key.der", "certificate.der"], None),
    "a password for the key alone": (["certificate", "locked"], "secret"),
    "a password for nothing": (["key", "certificate"], "secret"),
    "PKCS#12": (["p12"], "secret"),
    "PKCS#12 and its chain once more": (["p12", "chain"], "secret"),
    "PKCS#12 and its key once more": (["p12", "key"], "secret"),
    "PKCS#7": (["p7b", "key"], None),
    "the same key twice, once encrypted": (["key", "locked", "certificate"], "secret"),
    "certificate and request": (["all", "certificate"], None),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_pair_is_found_in_any_order_and_form(case: str, files: Files, bundle: Bundle) -> None:
    chosen, password = GOOD[case]
    found = read_pair([files[name] for name in chosen], password)
    assert keys.to_pkcs8(found.key) == keys.to_pkcs8(bundle.key)
    assert found.certificate == bundle.certificate
    assert set(found.others) <= set(bundle.others)
    if {"all", "p12", "p7b"} & set(chosen):
        assert found.others == bundle.others


TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "Windows line ends": lambda text: text.replace(b"\n", b"\r\n"),
    "old Mac line ends": lambda text: text.replace(b"\n", b"\r"),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
    "text around": lambda text: b"Bag Attributes\n    friendlyName: Jo\xc3\xa9\n" + text + b"\nthe end\n",
    "text between": lambda text: text.replace(b"-----BEGIN", b"subject=CN = a\nissuer=b: c\n-----BEGIN"),
    "one long line for each block": lambda text: re.sub(rb"(?<=[A-Za-z0-9+/])\n(?=[A-Za-z0-9+/=])", b"", text),
    "indented": lambda text: b"".join(b"   " + line + b"\n" for line in text.splitlines()),
}


@pytest.mark.parametrize("change", TEXTS)
def test_how_the_text_is_laid_out_does_not_matter(change: str, files: Files, bundle: Bundle) -> None:
    assert read_pair([TEXTS[change](files["all"])], None).certificate == bundle.certificate


def test_what_openssl_writes_of_an_archive_is_read(files: Files, bundle: Bundle, openssl: OpenSSL, tmp_path: Path) -> None:
    """Bag attributes around PEM, and a PKCS#7 bundle in PEM and DER."""
    (tmp_path / "a.p12").write_bytes(files["p12"])
    (tmp_path / "chain.pem").write_bytes(files["certificate"] + files["chain"])
    said = openssl("pkcs12", "-in", tmp_path / "a.p12", "-passin", "pass:secret", "-passout", "pass:secret", "-legacy").stdout
    assert "Bag Attributes" in said
    assert read_pair([said.encode()], "secret").certificate == bundle.certificate
    for form in ("PEM", "DER"):
        openssl("crl2pkcs7", "-nocrl", "-certfile", tmp_path / "chain.pem", "-outform", form, "-out", tmp_path / "a.p7b")
        found = read_pair([files["key"], (tmp_path / "a.p7b").read_bytes()], None)
        assert (found.certificate, found.others) == (bundle.certificate, bundle.others)


BAD: dict[str, tuple[list[str], str | None, type[PKIError], str]] = {
    "key alone": (["key"], None, NoCertificate, "found a key alone"),
    "certificate alone": (["certificate"], None, NoPrivateKey, "the certificate of 'F2LX0001' and no key"),
    "swapped": (["certificate", "other key"], None, PairMismatch, "the certificate of 'F2LX0001', for another key"),
    "a chain and no leaf": (["chain", "key"], None, PairMismatch, "2 certificates of 'Orchard Identity CA', 'Orchard Root'"),
    "two keys in one file": (["certificate", "two keys"], None, SeveralKeys, "2 different"),
    "two keys in two files": (["all", "other key"], None, SeveralKeys, "2 different"),
    "archive and another key": (["p12", "other key"], "secret", SeveralKeys, "2 different"),
    "two certificates of one key": (["all", "again"], None, SeveralMatches, "found 2, which end on"),
    "locked key": (["certificate", "locked"], None, PasswordNeeded, "key is encrypted"),
    "locked key, wrong password": (["certificate", "locked"], "Secret", WrongPassword, "does not open this private key"),
    "archive, no password": (["p12"], None, PasswordNeeded, "archive is encrypted"),
    "archive, wrong password": (["p12"], "Secret", WrongPassword, "does not open this PKCS#12 archive"),
    "request": (["request"], None, BadFile, "holds a certificate signing request"),
    "request instead of the certificate": (["key", "request.der"], None, BadFile, "File 2 of 2: Expected a certificate"),
    "CRL": (["crl", "key"], None, BadFile, "holds a certificate revocation list"),
    "CRL, DER": (["crl.der"], None, BadFile, "holds a certificate revocation list"),
    "public key": (["public"], None, BadFile, "holds a public key"),
    "public key, DER": (["public.der"], None, BadFile, "holds a public key"),
    "OpenSSH key": (["ssh"], None, BadFile, "holds an SSH key"),
    "OpenSSH public key": (["ssh public"], None, BadFile, "holds an SSH key"),
    "signed message": (["signed"], None, BadFile, "SignedData"),
    "web page": (["html"], None, BadFile, "holds a web page"),
    "web page that shows PEM": (["html with PEM"], None, BadFile, "holds a web page"),
    "XHTML": (["xhtml"], None, BadFile, "holds a web page"),
    "JSON": (["json"], None, BadFile, "holds JSON"),
    "mobileconfig": (["mobileconfig"], None, BadFile, "holds a property list"),
    "UTF-16": (["utf-16"], None, BadFile, "holds text in UTF-16"),
    "zeros": (["zeros"], None, BadFile, "nothing but zero bytes"),
    "base64 alone": (["base64"], None, BadFile, "base64 text, which stands for a certificate"),
    "hex": (["hex"], None, BadFile, "hexadecimal text, which stands for a certificate"),
    "empty": (["empty"], None, BadFile, "the file holds nothing"),
    "some text": (["text"], None, BadFile, "something unknown"),
    "NUL before DER": (["nul"], None, BadFile, "something unknown"),
    "too large": (["large"], None, BadFile, "at most 1048576 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_everything_else_gets_one_clear_error(case: str, files: Files) -> None:
    chosen, password, kind, phrase = BAD[case]
    with pytest.raises(kind) as told:
        read_pair([files[name] for name in chosen], password)
    assert phrase in told.value.message
    assert told.value.advice
    assert "secret" not in str(told.value).lower()
    if type(told.value) is BadFile:
        with pytest.raises(BadFile):
            read_key(files[chosen[-1]], password) if "key" not in chosen[1:] else read_key(files[chosen[0]], password)


CUT: dict[str, tuple[str, Callable[[bytes], bytes], type[PKIError], str]] = {
    "PEM in its base64": ("certificate", lambda data: data[:300], BadFile, "a BEGIN and an END line"),
    "PEM in its END line": ("certificate", lambda data: data[:-8], BadFile, "a BEGIN and an END line"),
    "PEM in its BEGIN line": ("certificate", lambda data: data[:18], BadFile, "a BEGIN and an END line"),
    "PEM without its BEGIN line": ("all", lambda data: data[30:], BadFile, "a BEGIN and an END line"),
    "PEM without any good mark": ("certificate", lambda data: data[30:-9], BadFile, "a BEGIN and an END line"),
    "PEM without its middle": ("certificate", lambda data: data[:93] + data[-26:], BadCertificate, "Expected a certificate"),
    "base64 with a hole": ("certificate", lambda data: data[:100] + data[101:], BadFile, "Expected base64 between"),
    "base64 with a quote": ("certificate", lambda data: data[:100] + b'"' + data[101:], BadFile, "Expected base64 between"),
    "another END": ("certificate", lambda data: data.replace(b"END CERT", b"END X509 CERT"), BadFile, "line END CERTIFICATE"),
    "BEGIN in a block": ("certificate", lambda data: data[:100] + b"\n" + data, BadFile, "a BEGIN and an END line"),
    "DER after a byte": ("certificate.der", lambda data: data[:1], BadFile, "something unknown"),
    "DER after a header": ("certificate.der", lambda data: data[:4], BadFile, "; 4 came"),
    "DER half way": ("certificate.der", lambda data: data[: len(data) // 2], BadFile, "cut short"),
    "DER without its last byte": ("certificate.der", lambda data: data[:-1], BadFile, "cut short"),
    "DER with a line feed": ("certificate.der", lambda data: data + b"\n", BadFile, "1 more follow"),
    "PKCS#12 half way": ("p12", lambda data: data[: len(data) // 2], BadFile, "cut short"),
    "PKCS#12 with garbage": ("p12", lambda data: data + bytes(9), BadFile, "9 more follow"),
    "PKCS#12 with a changed byte": ("p12", lambda data: data[:200] + bytes((data[200] ^ 1,)) + data[201:], BadArchive, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CUT)
def test_what_breaks_off_or_was_changed_is_told(case: str, files: Files) -> None:
    name, change, kind, phrase = CUT[case]
    for others in ([], [files["key"]]):
        with pytest.raises(kind) as told:
            read_pair([change(files[name]), *others], "secret")
        assert phrase in str(told.value)
        assert told.value.message.startswith("File 1 of 2: ") == bool(others)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(["key", "locked", "certificate.der", "p7b", "all", "crl", "ssh", "signed", "key.der", "request.der"]),
    changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=3),
    kept=st.none() | st.floats(0, 1),
)
def test_no_change_of_bytes_makes_anything_but_a_clear_error(
    name: str, changes: list[tuple[float, int]], kept: float | None, files: Files
) -> None:
    octets = bytearray(files[name])
    for place, octet in changes:
        octets[int(place * len(octets))] = octet
    with suppress(PKIError):  # any other error fails the test
        read_pair([bytes(octets if kept is None else octets[: int(kept * len(octets))])], "secret")
