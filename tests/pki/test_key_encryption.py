from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from bramley.errors import BadInput
from bramley.pki.errors import BadKeyEncryptionKey
from bramley.pki.key_encryption import KeyEncryptionKey, create_key_file, read_key_file
from bramley.pki.keystore import Place, PrivateKeys, Sealer

SECRET = bytes(range(32))
PLACE = Place("private_key", "17", "sign")


def test_the_key_id_is_stable_and_tells_nothing_of_the_secret() -> None:
    key = KeyEncryptionKey.from_bytes(SECRET)

    assert key.key_id == "acdf2b116c951588"
    assert key.key_id == hashlib.sha256(HKDFExpand(hashes.SHA256(), 32, b"bramley/key-id/1").derive(SECRET)).digest()[:8].hex()
    assert key.key_id == KeyEncryptionKey.from_text(base64.b64encode(SECRET).decode() + "\n").key_id
    assert key.key_id != KeyEncryptionKey.generate().key_id


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BadKeyEncryptionKey, match=f"{size} came"):
        KeyEncryptionKey.from_bytes(bytes(size))


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "_" * 43 + "=", "ä" * 44])
def test_text_that_is_no_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(BadKeyEncryptionKey) as caught:
        KeyEncryptionKey.from_text(text)
    assert not text or text not in str(caught.value)


def test_nothing_shows_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = create_key_file(path, tmp_path / "recovery")
    line = path.read_text().splitlines()[-1]
    forms = (line, base64.b64decode(line).hex(), repr(base64.b64decode(line)))
    shown = [repr(key), str(key), repr(Sealer(key)), str(PrivateKeys(Sealer(key)))]

    for damaged in (line[:-2], f"{line}\n{line}"):
        path.write_text(damaged)
        with pytest.raises(BadKeyEncryptionKey) as caught:
            read_key_file(path)
        shown += [str(caught.value), repr(caught.value)]

    assert key.key_id in repr(key)
    for text in shown:
        assert not any(form in text or form[:-2] in text for form in forms)


def test_a_new_key_file_and_its_recovery_copy_hold_the_same_key(tmp_path: Path) -> None:
    path, recovery = tmp_path / "key", tmp_path / "recovery"
    key = create_key_file(path, recovery)

    assert read_key_file(path).key_id == read_key_file(recovery).key_id == key.key_id
    assert Sealer(read_key_file(recovery)).open(Sealer(key).seal(b"secret", PLACE), PLACE) == b"secret"
    assert f"# Key id: {key.key_id}" in path.read_text()
    assert "put this file in its place" in recovery.read_text()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_key_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_key_file(tmp_path / "key", tmp_path / "recovery")
    finally:
        os.umask(before)

    for name in ("key", "recovery"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("taken", ["key", "recovery"])
def test_an_existing_file_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("precious")

    with pytest.raises(BadKeyEncryptionKey, match="File exists"):
        create_key_file(tmp_path / "key", tmp_path / "recovery")
    assert [each.name for each in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_text() == "precious"


def test_a_link_is_not_followed_when_a_key_file_is_made(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BadKeyEncryptionKey):
        create_key_file(tmp_path / "key", tmp_path / "recovery")
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "recovery").exists()


def test_one_file_cannot_be_its_own_recovery_copy(tmp_path: Path) -> None:
    with pytest.raises(BadKeyEncryptionKey):
        create_key_file(tmp_path / "key", tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadKeyEncryptionKey, match="No such file"):
        create_key_file(tmp_path / "missing" / "key", tmp_path / "recovery")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602, 0o700])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    create_key_file(tmp_path / "key", tmp_path / "recovery")
    (tmp_path / "key").chmod(mode)

    with pytest.raises(BadKeyEncryptionKey, match=f"mode 0{mode:o}") as caught:
        read_key_file(tmp_path / "key")
    assert isinstance(caught.value, BadInput)
    assert "chmod 600" in caught.value.advice


def test_a_read_only_key_file_is_good_enough(tmp_path: Path) -> None:
    key = create_key_file(tmp_path / "key", tmp_path / "recovery")
    (tmp_path / "key").chmod(0o400)

    assert read_key_file(tmp_path / "key").key_id == key.key_id


@pytest.mark.parametrize("content", [b"", b"# only a comment\n", b"AAAA\nAAAA\n", b"AAAA\n", b"\xff\xfe\x00", b"!" * 9000])
def test_a_malformed_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").touch(0o600)
    (tmp_path / "key").write_bytes(content)

    with pytest.raises(BadKeyEncryptionKey, match="recovery copy"):
        read_key_file(tmp_path / "key")


def test_a_missing_key_file_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(BadKeyEncryptionKey, match="No such file") as caught:
        read_key_file(tmp_path / "key")
    assert "recovery copy" in caught.value.advice


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(BadKeyEncryptionKey):
        read_key_file(tmp_path)
