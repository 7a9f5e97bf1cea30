"""A timestamp authority that is OpenSSL's (`openssl ts`), and one that signs whatever a test wants, with asn1crypto."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import algos, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from bramley.pki import certificates, cms, keys, names, oids
from bramley.pki.cms import der
from bramley.pki.keys import KeyAlgorithm, PrivateKey

# OpenSSL reads the real clock, so that these certificates have to be valid by it
BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
AFTER = datetime(2080, 1, 1, tzinfo=UTC)
POLICY = "1.2.3.4.1"
TIME_STAMPING = ExtendedKeyUsageOID.TIME_STAMPING

_CONFIG = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/signer.pem
certs = {folder}/chain.pem
signer_key = {folder}/key.pem
signer_digest = {digest}
default_policy = {policy}
digests = {accepted}
accuracy = secs:1, millisecs:500, microsecs:100
clock_precision_digits = 6
ordering = yes
tsa_name = yes
ess_cert_id_chain = {ess_chain}
ess_cert_id_alg = {ess}
"""


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority's key and certificate, with the CAs above it."""

    key: PrivateKey
    certificate: x509.Certificate
    cas: tuple[x509.Certificate, ...] = ()


def make_signer(
    name: str = "Timestamp Signer",
    *,
    below: Signer | None = None,
    ca: bool = False,
    usages: Sequence[ObjectIdentifier] = (TIME_STAMPING,),
    critical: bool = True,
    algorithm: KeyAlgorithm = KeyAlgorithm.RSA_2048,
    key: PrivateKey | None = None,
    days: tuple[datetime, datetime] = (BEFORE, AFTER),
) -> Signer:
    key = key or keys.generate(algorithm)
    subject = names.make(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(below.certificate.subject if below else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(days[0])
        .not_valid_after(days[1])
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if usages and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
    certificate = builder.sign(below.key if below else key, hashes.SHA256())
    return Signer(key, certificate, (below.certificate, *below.cas) if below else ())


@dataclass(frozen=True, slots=True)
class Authority:
    """OpenSSL as an authority; `reply` is its answer to a query."""

    signer: Signer
    folder: Path

    def reply(self, query: bytes, *options: str) -> bytes:
        asked, answer = self.folder / f"{secrets.token_hex(8)}.tsq", self.folder / f"{secrets.token_hex(8)}.tsr"
        asked.write_bytes(query)
        run("ts", "-reply", "-config", self.folder / "tsa.cnf", "-queryfile", asked, "-out", answer, *options)
        return answer.read_bytes()


def run(*arguments: object) -> str:
    """The `openssl` command, which must succeed; the test skips where there is none."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl command on this machine")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "replace")


def make_authority(
    folder: Path, signer: Signer, *, digest: str = "sha256", ess: str = "sha256", ess_chain: str = "no", accepted: str = "sha256"
) -> Authority:
    # here and not where it first answers, which may be a server's thread
    run("version")
    folder.mkdir(parents=True)
    key = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key)
    (folder / "signer.pem").write_bytes(certificates.pem(signer.certificate))
    (folder / "chain.pem").write_bytes(b"".join(map(certificates.pem, signer.cas)))
    (folder / "serial").write_text("01\n")
    values = {"folder": folder, "policy": POLICY, "digest": digest, "ess": ess, "ess_chain": ess_chain, "accepted": accepted}
    (folder / "tsa.cnf").write_text(_CONFIG.format(**values))
    return Authority(signer, folder)


@dataclass(frozen=True)
class Forge:
    """A token or an answer that says whatever its fields do, under a good signature. Structures are asn1crypto's."""

    signer: Signer
    message: bytes
    nonce: int | None
    time: datetime | None = None
    info: dict[str, Any] = field(default_factory=dict)
    raw_info: bytes | None = None
    imprint_digest: str = "sha256"
    named: bytes | None = None
    ess: str = "v2"
    serial: int | None = None
    content_type: str = oids.TST_INFO
    status: dict[str, Any] | None = None
    sign: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> Forge:
        return replace(self, **changes)

    def said(self) -> bytes:
        """The TSTInfo."""
        if self.raw_info is not None:
            return self.raw_info
        imprint = {
            "hash_algorithm": {"algorithm": self.imprint_digest},
            "hashed_message": hashlib.new(self.imprint_digest, self.message).digest(),
        }
        value = {
            "version": "v1",
            "policy": POLICY,
            "message_imprint": imprint,
            "serial_number": 7,
            "gen_time": self.time or datetime.now(UTC).replace(microsecond=0),
            "nonce": self.nonce,
            **self.info,
        }
        dumped: bytes = tsp.TSTInfo({name: each for name, each in value.items() if each is not None}).dump()
        return dumped

    def attributes(self) -> list[tuple[str, bytes]]:
        certificate = certificates.der(self.signer.certificate) if self.named is None else self.named
        beside = None
        if self.serial is not None:
            name = asn1_x509.Certificate.load(certificates.der(self.signer.certificate)).issuer
            beside = {"issuer": [asn1_x509.GeneralName("directory_name", name)], "serial_number": self.serial}
        found = []
        if self.ess in ("v1", "both"):
            one = {"cert_hash": hashlib.sha1(certificate).digest()} | ({"issuer_serial": beside} if beside else {})
            found.append((oids.SIGNING_CERTIFICATE, tsp.SigningCertificate({"certs": [one]}).dump()))
        if self.ess in ("v2", "both", "sha512", "md5"):
            name = "sha256" if self.ess in ("v2", "both") else self.ess
            algorithm = {"hash_algorithm": algos.DigestAlgorithm({"algorithm": name})} if name != "sha256" else {}
            two = (
                algorithm | {"cert_hash": hashlib.new(name, certificate).digest()} | ({"issuer_serial": beside} if beside else {})
            )
            found.append((oids.SIGNING_CERTIFICATE_V2, tsp.SigningCertificateV2({"certs": [two]}).dump()))
        return found

    def token(self) -> bytes:
        options = {
            "key": self.signer.key,
            "certificate": self.signer.certificate,
            "others": self.signer.cas,
            "content_type": self.content_type,
            "attributes": self.attributes(),
            **self.sign,
        }
        return cms.sign(self.said(), **options)

    def answer(self) -> bytes:
        status = self.status or {"status": "granted"}
        token = self.token() if status["status"] in ("granted", "granted_with_mods") else b""
        # by hand, since asn1crypto knows no answer without a token
        return der.sequence(tsp.PKIStatusInfo(status).dump(), token)


def failure(*reasons: str, text: str = "") -> dict[str, Any]:
    """A status that rejects."""
    status: dict[str, Any] = {"status": "rejection"}
    if text:
        status["status_string"] = [core.UTF8String(text)]
    if reasons:
        status["fail_info"] = set(reasons)
    return status


A_DAY = timedelta(days=1)
