"""Keys under a password: OpenSSL reads them, a guess is costly, and no two files are alike."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from asn1crypto import pem
from asn1crypto.keys import EncryptedPrivateKeyInfo

from bramley.pki import keys, locked_keys
from bramley.pki.errors import WrongPassword
from bramley.pki.private_keys import read_key

PASSWORD = "correct hörse battery"


@pytest.fixture(scope="module", params=[keys.KeyAlgorithm.RSA_2048, keys.KeyAlgorithm.P_256, keys.KeyAlgorithm.P_384])
def key(request: pytest.FixtureRequest) -> keys.PrivateKey:
    return keys.generate(request.param)


def test_openssl_and_we_read_what_we_write(
    key: keys.PrivateKey, openssl: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    written = locked_keys.write(key, PASSWORD)
    (tmp_path / "key.pem").write_bytes(written)
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    opened = tmp_path / "opened"
    locked = ("-in", tmp_path / "key.pem", "-passin", f"file:{tmp_path / 'password'}")
    openssl("pkcs8", "-topk8", "-nocrypt", *locked, "-outform", "DER", "-out", opened)
    assert opened.read_bytes() == keys.to_pkcs8(key)
    assert keys.to_pkcs8(read_key(written, PASSWORD)) == keys.to_pkcs8(key)
    with pytest.raises(WrongPassword):
        read_key(written, PASSWORD + "?")


def test_a_guess_is_costly_and_no_two_files_are_alike(key: keys.PrivateKey) -> None:
    """As a parser of others reads it."""
    first, second = (
        EncryptedPrivateKeyInfo.load(pem.unarmor(locked_keys.write(key, PASSWORD))[2], strict=True)["encryption_algorithm"]
        for _ in range(2)
    )
    assert (first["algorithm"].native, first.kdf, first.kdf_hmac) == ("pbes2", "pbkdf2", "sha256")
    assert (first.encryption_cipher, first.key_length, first.kdf_iterations) == ("aes", 32, locked_keys.ITERATIONS)
    assert first.kdf_iterations >= 600_000
    assert len(first.kdf_salt) == 16
    assert first.kdf_salt != second.kdf_salt
    assert first.encryption_iv != second.encryption_iv
