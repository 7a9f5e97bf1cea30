"""A push certificate request taken apart, so that each part can be spoiled by itself; and the openssl command line."""

from __future__ import annotations

import base64
import plistlib
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bramley.pki import certificates

ACCOUNT, OTHER_ACCOUNT, DEVELOPER = "it@orchard.example", "boss@orchard.example", "dev@orchard.example"


@dataclass
class Request:
    """Vendor, intermediate and root are `chain`; `texts` replaces or, with None, removes what goes into the property list."""

    csr: bytes
    signing_key: rsa.RSAPrivateKey
    chain: list[x509.Certificate]
    digest: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    texts: dict[str, Any] = field(default_factory=dict)

    @property
    def pem(self) -> str:
        return b"".join(map(certificates.pem, self.chain)).decode()

    @property
    def signature(self) -> bytes:
        return self.signing_key.sign(self.csr, padding.PKCS1v15(), self.digest)

    @property
    def xml(self) -> bytes:
        content = {
            "PushCertRequestCSR": base64.b64encode(self.csr).decode(),
            "PushCertCertificateChain": self.pem,
            "PushCertSignature": base64.b64encode(self.signature).decode(),
            **self.texts,
        }
        return plistlib.dumps({name: value for name, value in content.items() if value is not None})

    @property
    def file(self) -> bytes:
        return base64.b64encode(self.xml)


def openssl(*arguments: str | Path, stdin: bytes = b"") -> str:
    """What the command says; the test fails if it does."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command here")
    ended = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=30, check=False)
    said = (ended.stdout + ended.stderr).decode(errors="replace")
    assert ended.returncode == 0, said
    return said
