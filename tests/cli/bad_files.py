"""Files that people give by mistake, made at test time: push certificates with one fault each, and other things altogether."""

from __future__ import annotations

import io
import json
import zipfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bramley.apple.push_certificate import SignedRequest, customer_request
from bramley.pki import cms, names, oids
from bramley.pki.cms import der
from tests.pki.pkcs12 import kit

PASSWORD = kit.PASSWORD
TOPIC = "com.apple.mgmt.External.tests"
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
VENDOR = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.113635.100.4.12"), b"\x05\x00")
CA = x509.BasicConstraints(ca=True, path_length=None)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Bad:
    """Files to import at once, the password given with them (None: none), and what the error must say."""

    files: tuple[str, ...]
    says: str
    password: str | None = None


ROWS: dict[str, Bad] = {
    "PEM cut in its base64": Bad(("cut.pem", "good.key"), "a BEGIN and an END line"),
    "PEM cut in its END line": Bad(("cut-end.pem", "good.key"), "a BEGIN and an END line"),
    "PEM cut in its BEGIN line": Bad(("cut-begin.pem", "good.key"), "a BEGIN and an END line"),
    "PEM without its BEGIN line": Bad(("headless.pem", "good.key"), "a BEGIN and an END line"),
    "key cut in its base64": Bad(("good.pem", "cut.key"), "a BEGIN and an END line"),
    "DER cut": Bad(("cut.der", "good.key"), "300 came"),
    "DER key cut": Bad(("good.pem", "cut.key.der"), "300 came"),
    "PKCS#12 cut at its beginning": Bad(("cut-10.p12",), "10 came", PASSWORD),
    "PKCS#12 cut half way": Bad(("cut-half.p12",), "as the beginning of the file says", PASSWORD),
    "PKCS#12 without its last byte": Bad(("cut-last.p12",), "as the beginning of the file says", PASSWORD),
    "trailing garbage": Bad(("garbage.der", "good.key"), "9 more follow"),
    "trailing garbage after PKCS#12": Bad(("garbage.p12",), "9 more follow", PASSWORD),
    "broken base64": Bad(("broken.pem", "good.key"), "Expected base64 between BEGIN CERTIFICATE"),
    "another END": Bad(("other-end.pem", "good.key"), "END X509 CRL came"),
    "NUL bytes": Bad(("nul.pem", "good.key"), "nothing but zero bytes"),
    "NUL bytes inside": Bad(("nul-inside.pem", "good.key"), "Expected base64 between"),
    "UTF-16": Bad(("utf-16.pem", "good.key"), "text in UTF-16"),
    "empty": Bad(("empty.pem", "good.key"), "the file holds nothing"),
    "web page": Bad(("page.pem", "good.key"), "a web page"),
    "50 MB": Bad(("50MB.pem", "good.key"), "larger than 1048576 bytes"),
    "directory": Bad(("folder.pem", "good.key"), "Is a directory"),
    "missing": Bad(("nowhere.pem", "good.key"), "No such file"),
    "unreadable": Bad(("loop.pem", "good.key"), "symbolic links"),
    "zip": Bad(("archive.zip",), "something unknown"),
    "PKCS#12, wrong password": Bad(("good.p12",), "The password does not open this PKCS#12 archive", "Correct horse"),
    "PKCS#12, no password": Bad(("good.p12",), "no password was given"),
    "locked key, wrong password": Bad(("good.pem", "locked.key"), "The password does not open this private key", "Correct horse"),
    "locked key, no password": Bad(("good.pem", "locked.key"), "encrypted, and no password was given"),
    "locked key, huge count": Bad(("good.pem", "costly.key"), "it asks for 1000000000", PASSWORD),
    "PKCS#12, huge count": Bad(("costly.p12",), "asks for", PASSWORD),
    "PKCS#12 without a key": Bad(("keyless.p12",), "holds 1 certificates and no key", PASSWORD),
    "PKCS#12 of a swapped pair": Bad(("swapped.p12",), "one certificate for the archive's key", PASSWORD),
    "swapped pair": Bad(("good.pem", "other.key"), "for another key"),
    "certificate alone": Bad(("good.pem",), "key"),
    "key alone": Bad(("good.key",), "a key alone"),
    "two keys": Bad(("good.pem", "good.key", "other.key"), "2 different"),
    "two keys in one file": Bad(("good.pem", "two.key"), "2 different"),
    "two certificates of one key": Bad(("good.pem", "again.pem", "good.key"), "found 2, which end on"),
    "public key instead": Bad(("good.pem", "public.pem"), "a public key"),
    "OpenSSH key instead": Bad(("good.pem", "ssh.key"), "an SSH key"),
    "DSA key": Bad(("good.pem", "dsa.key"), "this one is DSA"),
    "Ed25519 key": Bad(("ed25519.pem", "ed25519.key"), "this one is Ed25519"),
    "RSA-1024": Bad(("rsa-1024.pem", "rsa-1024.key"), "RSA, 1024 bits"),
    "EC": Bad(("ec.pem", "ec.key"), "RSA key, as Apple issues them"),
    "certificate for Ed25519, key RSA": Bad(("ed25519.pem", "good.key"), "for another key"),
    "app push certificate": Bad(("app.pem", "good.key"), "'com.example'"),
    "two UIDs": Bad(("two-uids.pem", "good.key"), "one UID that starts with com.apple.mgmt."),
    "no UID": Bad(("no-uid.pem", "good.key"), "this one has none"),
    "topic without its rest": Bad(("prefix.pem", "good.key"), "one UID that starts with com.apple.mgmt."),
    "topic in another case": Bad(("case.pem", "good.key"), "'COM.APPLE.MGMT.External.tests'"),
    "another topic": Bad(("other-topic.pem", "good.key"), "com.apple.mgmt.External.other"),
    "vendor certificate": Bad(("vendor.pem", "good.key"), "vendor certificate of the developer portal"),
    "CA certificate": Bad(("ca.pem", "good.key"), "certificate of a CA"),
    "server certificate": Bad(("server.pem", "good.key"), "for TLS clients"),
    "no usage": Bad(("no-usage.pem", "good.key"), "this one names none"),
    "expired": Bad(("expired.pem", "good.key"), "expired on"),
    "not yet valid": Bad(("early.pem", "good.key"), "is valid from"),
    "request instead": Bad(("request.pem", "good.key"), "a certificate signing request"),
    "CRL instead": Bad(("crl.pem", "good.key"), "a certificate revocation list"),
    "JSON": Bad(("token.json", "good.key"), "holds JSON"),
    "mobileconfig": Bad(("profile.mobileconfig",), "a property list"),
    "signed mobileconfig": Bad(("signed.mobileconfig",), "SignedData"),
    "binary property list": Bad(("binary.plist",), "a binary property list"),
    "push request": Bad(("request.plist", "good.key"), "base64 text, which stands for a property list"),
    "reply of mdmcert.download": Bad(("reply.p7", "good.key"), "hexadecimal text, which stands for an encrypted CMS message"),
    "ADE token": Bad(("token.p7m", "good.key"), "a mail message"),
    "encrypted message": Bad(("enveloped.p7m", "good.key"), "an encrypted CMS message"),
    "PKCS#7 without the certificate": Bad(("chain.p7b", "good.key"), "for another key"),
}


def make(folder: Path) -> None:
    """Writes the files, `nowhere.pem` aside, and `good.pem`, `good.key`, `good.p12`, which are good."""
    key, other = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
    ed, on_curve = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    small = rsa.generate_private_key(65537, 1024)
    good = certificate(key)
    pem, raw, pem_key = good.public_bytes(Encoding.PEM), good.public_bytes(Encoding.DER), _pem(key)
    p12, locked = archive(key, good), BestAvailableEncryption(PASSWORD.encode())
    middle = len(pem) // 2
    request = customer_request(key, common_name="Orchard", email="mdm@orchard.example")
    enveloped = cms.encrypt(b"secret", recipients=[good])
    profile = (
        b'<?xml version="1.0"?><plist version="1.0"><dict><key>PayloadType</key><string>Configuration</string></dict></plist>'
    )
    now = datetime.now(UTC)
    crl = x509.CertificateRevocationListBuilder(good.issuer, now - DAY, now + DAY).sign(key, hashes.SHA256())
    contents: dict[str, bytes] = {
        "good.pem": pem,
        "good.key": pem_key,
        "good.p12": p12,
        "cut.pem": pem[:middle],
        "cut-end.pem": pem[:-9],
        "cut-begin.pem": pem[:20],
        "headless.pem": pem[30:],
        "cut.key": pem_key[:900],
        "cut.der": raw[:300],
        "cut.key.der": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())[:300],
        "cut-10.p12": p12[:10],
        "cut-half.p12": p12[: len(p12) // 2],
        "cut-last.p12": p12[:-1],
        "garbage.der": raw + b"<garbage>",
        "garbage.p12": p12 + b"<garbage>",
        "broken.pem": pem[:middle] + b"*" + pem[middle + 1 :],
        "other-end.pem": pem.replace(b"END CERTIFICATE", b"END X509 CRL"),
        "nul.pem": bytes(2000),
        "nul-inside.pem": pem[:middle] + bytes(16) + pem[middle + 16 :],
        "utf-16.pem": pem.decode().encode("utf-16"),
        "empty.pem": b"",
        "page.pem": b"\r\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>",
        "archive.zip": _zip(pem),
        "locked.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked),
        "costly.key": _costly_key(),
        "costly.p12": kit.archive(kit.plain(kit.key_bag(key), kit.certificate_bag(raw)), stated=10**9),
        "keyless.p12": pkcs12.serialize_key_and_certificates(None, None, None, [good], locked),
        "swapped.p12": kit.archive(kit.plain(kit.key_bag(other), kit.certificate_bag(raw))),
        "other.key": _pem(other),
        "two.key": pem_key + _pem(other),
        "again.pem": certificate(key).public_bytes(Encoding.PEM),
        "public.pem": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "ssh.key": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        "dsa.key": _pem(dsa.generate_private_key(2048)),
        "ed25519.pem": certificate(ed).public_bytes(Encoding.PEM),
        "ed25519.key": _pem(ed),
        "rsa-1024.pem": certificate(small).public_bytes(Encoding.PEM),
        "rsa-1024.key": _pem(small),
        "ec.pem": certificate(on_curve).public_bytes(Encoding.PEM),
        "ec.key": _pem(on_curve),
        "app.pem": certificate(key, uids=["com.example"]).public_bytes(Encoding.PEM),
        "two-uids.pem": certificate(key, uids=[TOPIC, f"{TOPIC}2"]).public_bytes(Encoding.PEM),
        "no-uid.pem": certificate(key, uids=[]).public_bytes(Encoding.PEM),
        "prefix.pem": certificate(key, uids=["com.apple.mgmt."]).public_bytes(Encoding.PEM),
        "case.pem": certificate(key, uids=["COM.APPLE.MGMT.External.tests"]).public_bytes(Encoding.PEM),
        "other-topic.pem": certificate(key, uids=["com.apple.mgmt.External.other"]).public_bytes(Encoding.PEM),
        "vendor.pem": certificate(key, extensions=[CLIENT, VENDOR]).public_bytes(Encoding.PEM),
        "ca.pem": certificate(key, extensions=[CLIENT, CA]).public_bytes(Encoding.PEM),
        "server.pem": certificate(key, extensions=[SERVER]).public_bytes(Encoding.PEM),
        "no-usage.pem": certificate(key, extensions=[]).public_bytes(Encoding.PEM),
        "expired.pem": certificate(key, begin=-9 * DAY, end=-DAY).public_bytes(Encoding.PEM),
        "early.pem": certificate(key, begin=DAY).public_bytes(Encoding.PEM),
        "request.pem": request.public_bytes(Encoding.PEM),
        "crl.pem": crl.public_bytes(Encoding.PEM),
        "token.json": json.dumps({"consumer_key": "secret", "consumer_secret": "secret"}).encode(),
        "profile.mobileconfig": profile,
        "signed.mobileconfig": cms.sign(profile, key=key, certificate=good, signing_time=now),
        "binary.plist": b"bplist00\xd0\x08",
        "request.plist": SignedRequest(request, (good,), bytes(256)).to_file(),
        "reply.p7": enveloped.hex().encode(),
        "token.p7m": b"MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\n\r\n" + b64encode(enveloped),
        "enveloped.p7m": enveloped,
        "chain.p7b": cms.certs_only([certificate(other)]),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "loop.pem").symlink_to("loop.pem")  # which not even root can read
    (folder / "folder.pem").mkdir()
    with (folder / "50MB.pem").open("wb") as file:
        file.write(pem)
        file.truncate(50 * 1024 * 1024)


def certificate(
    key: Any,
    *,
    uids: Sequence[str] = (TOPIC,),
    extensions: Sequence[x509.ExtensionType] = (CLIENT,),
    begin: timedelta = -DAY,
    end: timedelta = 365 * DAY,
) -> x509.Certificate:
    """A push certificate, but for what is said otherwise; `begin` and `end` from now."""
    now = datetime.now(UTC).replace(microsecond=0)
    given = [*((NameOID.USER_ID, uid) for uid in uids), (NameOID.COMMON_NAME, "APSP:tests"), (NameOID.COUNTRY_NAME, "US")]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in given])
    issuer = names.make("A CA of tests", organization="Apple Inc.")
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number(), now + begin, now + end)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(_signer(), hashes.SHA256())


def archive(key: Any, found: x509.Certificate) -> bytes:
    """A PKCS#12 archive under PASSWORD."""
    encryption = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2048).build(PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(None, key, found, None, encryption)


def _signer() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(1234567, ec.SECP256R1())


def _pem(key: Any) -> bytes:
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written


def _zip(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("push.pem", content)
    return stream.getvalue()


def _costly_key() -> bytes:
    """An encrypted key, PBES2, whose password would take minutes to try."""
    kdf = der.sequence(der.oid("1.2.840.113549.1.5.12"), der.sequence(der.octet_string(bytes(8)), der.integer(10**9)))
    cipher = der.sequence(der.oid(oids.AES_256_CBC), der.octet_string(bytes(16)))
    scheme = der.sequence(der.oid("1.2.840.113549.1.5.13"), der.sequence(kdf, cipher))
    return der.sequence(scheme, der.octet_string(bytes(32)))
