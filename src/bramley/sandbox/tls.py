"""A certificate and its key in an `ssl.SSLContext`, which reads them from files only."""

from __future__ import annotations

import secrets
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from bramley.pki.keys import PrivateKey


def load_identity(context: ssl.SSLContext, chain_pem: bytes, key: PrivateKey) -> None:
    """Loads certificate, chain and key. On disk, for that moment, they are in a 0600 file with the key encrypted."""
    password = secrets.token_bytes(32).hex().encode()
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "identity.pem")
        path.touch(mode=0o600)
        path.write_bytes(chain_pem + key_pem)
        context.load_cert_chain(path, password=password)
