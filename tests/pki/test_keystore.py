from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bramley.pki.errors import BadKey, SealError
from bramley.pki.keys import PrivateKey
from bramley.pki.keystore import (
    KeyEncryptionKey,
    Place,
    PrivateKeys,
    Sealer,
)

PLACE = Place("private_key", "17", "sign")
SECRET = bytes(range(32))
SEALER = Sealer(KeyEncryptionKey.from_bytes(SECRET))

places = st.builds(Place, st.text(), st.text(), st.text())


@settings(deadline=None)
@given(st.binary(max_size=4096), places)
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, place: Place) -> None:
    sealed = SEALER.seal(plaintext, place)

    assert SEALER.open(sealed, place) == plaintext
    assert len(sealed) == len(plaintext) + 39
    assert sealed.startswith(b"BS1")


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=512))
def test_a_sealed_blob_does_not_show_what_is_in_it(plaintext: bytes) -> None:
    sealed = SEALER.seal(plaintext, PLACE)

    assert plaintext not in sealed
    assert SEALER.seal(plaintext, PLACE) != sealed


@settings(deadline=None)
@given(places, places)
def test_a_blob_moved_to_another_place_does_not_open(place: Place, other: Place) -> None:
    assume(place != other)

    with pytest.raises(SealError, match="changed, or moved"):
        SEALER.open(SEALER.seal(b"secret", place), other)


@pytest.mark.parametrize(
    "other",
    [
        Place("token", "17", "sign"),
        Place("private_key", "18", "sign"),
        Place("private_key", "17", "decrypt"),
        Place("private_key1", "7", "sign"),
        Place("private_key", "17sign", ""),
    ],
)
def test_another_table_id_or_purpose_is_another_place(other: Place) -> None:
    with pytest.raises(SealError) as caught:
        SEALER.open(SEALER.seal(b"secret", PLACE), other)
    assert f"{other.table}/{other.id}/{other.purpose}" in str(caught.value)
    assert caught.value.advice


def test_no_flipped_bit_goes_unnoticed() -> None:
    sealed = SEALER.seal(b"a private key", PLACE)

    for position in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(SealError):
            SEALER.open(bytes(changed), PLACE)


def test_no_truncation_and_no_addition_goes_unnoticed() -> None:
    sealed = SEALER.seal(b"a private key", PLACE)

    for shorter in range(len(sealed)):
        with pytest.raises(SealError):
            SEALER.open(sealed[:shorter], PLACE)
    with pytest.raises(SealError):
        SEALER.open(sealed + b"\0", PLACE)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_were_never_sealed_do_not_open(data: bytes) -> None:
    for blob in (data, b"BS1" + data):
        with pytest.raises(SealError):
            SEALER.open(blob, PLACE)


def test_a_blob_sealed_under_another_key_names_both_keys() -> None:
    theirs, ours = KeyEncryptionKey.generate(), KeyEncryptionKey.generate()

    with pytest.raises(SealError) as caught:
        Sealer(ours).open(Sealer(theirs).seal(b"secret", PLACE), PLACE)
    assert f"sealed under key id {theirs.key_id}" in caught.value.message
    assert f"holds {ours.key_id}" in caught.value.message
    assert "key file" in caught.value.advice


def test_a_blob_relabelled_with_our_key_id_does_not_open() -> None:
    theirs, ours = KeyEncryptionKey.generate(), KeyEncryptionKey.generate()
    sealed = Sealer(theirs).seal(b"secret", PLACE)

    with pytest.raises(SealError, match="does not open"):
        Sealer(ours).open(b"BS1" + bytes.fromhex(ours.key_id) + sealed[11:], PLACE)


def test_an_earlier_key_still_opens_and_the_active_one_seals() -> None:
    old, new = KeyEncryptionKey.generate(), KeyEncryptionKey.generate()
    sealer = Sealer(new, [old])

    assert sealer.open(Sealer(old).seal(b"secret", PLACE), PLACE) == b"secret"
    assert Sealer(new).open(sealer.seal(b"secret", PLACE), PLACE) == b"secret"


def test_a_private_key_comes_back_for_its_id_and_purpose_only(any_key: PrivateKey) -> None:
    store = PrivateKeys(SEALER)
    sealed = store.seal_key(any_key, "17", "sign")

    assert store.open_key(sealed, "17", "sign").private_numbers() == any_key.private_numbers()
    for id, purpose in (("18", "sign"), ("17", "decrypt")):
        with pytest.raises(SealError):
            store.open_key(sealed, id, purpose)


def test_a_sealed_secret_that_is_no_key_is_not_taken_for_one() -> None:
    with pytest.raises(BadKey) as caught:
        PrivateKeys(SEALER).open_key(SEALER.seal(b"push magic 4711", Place("private_key", "1", "x")), "1", "x")
    assert "4711" not in str(caught.value)


def derived(use: bytes) -> bytes:
    return HKDFExpand(hashes.SHA256(), 32, use).derive(SECRET)


def test_the_format_is_the_documented_one_so_that_later_releases_can_open_it() -> None:
    header = b"BS1" + bytes.fromhex("acdf2b116c951588")
    place = b"\0\0\0\x0bprivate_key" + b"\0\0\0\x0217" + b"\0\0\0\x04sign"
    nonce = bytes(12)
    sealed = header + nonce + AESGCM(derived(b"bramley/seal/1")).encrypt(nonce, b"secret", header + place)

    assert SEALER.open(sealed, PLACE) == b"secret"
