from __future__ import annotations

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st

from bramley.pki.pkcs12 import rc2


@pytest.mark.parametrize(
    ("key", "plain", "encrypted"),
    [
        ("ffffffffffffffff", "ffffffffffffffff", "278b27e42e2f0d49"),
        ("3000000000000000", "1000000000000001", "30649edf9be7d2c2"),
        ("88bca90e90875a7f0f79c384627bafb2", "0000000000000000", "2269552ab0f85ca6"),
    ],
)
def test_the_examples_of_rfc_2268(key: str, plain: str, encrypted: str) -> None:
    assert rc2.decrypt_cbc(bytes.fromhex(key), bytes(8), bytes.fromhex(encrypted)).hex() == plain


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), st.binary(max_size=40))
def test_what_openssl_encrypts_comes_back(key: bytes, iv: bytes, text: bytes) -> None:
    padded = text.ljust(-(-len(text) // 8) * 8, b"\0")
    encryptor = Cipher(RC2(key), CBC(iv)).encryptor()
    assert rc2.decrypt_cbc(key, iv, encryptor.update(padded) + encryptor.finalize()) == padded
