"""The key-encryption key: the one secret that everything else at rest hangs on, and the files that hold it.

Losing it is the one accident that nothing undoes, so a new key is written twice: for the server, and to be taken away.
Nothing here shows the secret: not `repr`, not an error, not a log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bramley.pki.errors import BadKeyEncryptionKey

SECRET_SIZE: Final = 32
KEY_ID_SIZE: Final = 8
_KEY_FILE_MODE: Final = 0o600
_KEY_FILE_LIMIT: Final = 4096

_KEY_FILE_TEXT: Final = """\
# Bramley key-encryption key: it opens every private key of this server.
# Keep it readable by the server alone, and out of the backup that holds the database.
"""

_RECOVERY_TEXT: Final = """\
# Recovery copy of the Bramley key-encryption key: it opens every private key of this server.
# Move this file to a safe away from the server (a password manager, paper), then delete it here.
# If the server's key file is lost, put this file in its place with mode 0600. Without either, every key is lost:
# all devices must be enrolled again.
"""


class KeyEncryptionKey:
    """The key that seals all others. Holds the cipher, not the secret; only `key_id` can be read from it.

    `key_id` is 16 hexadecimal digits that name the key and tell nothing about it.
    """

    __slots__ = ("_cipher", "key_id")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_SIZE:
            raise BadKeyEncryptionKey(
                f"A key-encryption key is {SECRET_SIZE} bytes; {len(secret)} came.",
                advice="Use the line of the key file that the first start wrote, unchanged.",
            )
        self._cipher = AESGCM(_derive(secret, b"bramley/seal/1"))
        self.key_id = hashlib.sha256(_derive(secret, b"bramley/key-id/1")).hexdigest()[: 2 * KEY_ID_SIZE]

    @classmethod
    def from_bytes(cls, secret: bytes) -> KeyEncryptionKey:
        """The key of these 32 random bytes. Raises BadKeyEncryptionKey for another length."""
        return cls(secret)

    @classmethod
    def from_text(cls, text: str) -> KeyEncryptionKey:
        """The key of a base64 line (RFC 4648 4), as key files and environment variables hold it.

        Raises BadKeyEncryptionKey, which does not repeat what came.
        """
        try:
            secret = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise BadKeyEncryptionKey(
                f"A key-encryption key is written as base64 of {SECRET_SIZE} bytes; what came is not base64.",
                advice="Use the line of the key file that the first start wrote, unchanged.",
            ) from None
        return cls(secret)

    @classmethod
    def generate(cls) -> KeyEncryptionKey:
        """A new key that exists only in this process: for what need not outlive it."""
        return cls(os.urandom(SECRET_SIZE))

    def __repr__(self) -> str:
        return f"KeyEncryptionKey(key_id={self.key_id!r})"

    def encrypt(self, nonce: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
        """Ciphertext and tag. The nonce must never repeat under one key."""
        return self._cipher.encrypt(nonce, plaintext, associated_data)

    def decrypt(self, nonce: bytes, ciphertext: bytes, associated_data: bytes) -> bytes:
        """The plaintext; raises cryptography's InvalidTag if anything differs from what was sealed."""
        return self._cipher.decrypt(nonce, ciphertext, associated_data)


def create_key_file(path: Path, recovery: Path) -> KeyEncryptionKey:
    """A new key, on disk in both places before this returns: mode 0600, never over an existing file.

    Raises BadKeyEncryptionKey, and leaves neither file behind, if one of the two cannot be written.
    """
    secret = os.urandom(SECRET_SIZE)
    key = KeyEncryptionKey(secret)
    line = base64.b64encode(secret).decode()
    written: list[Path] = []
    try:
        for place, purpose in ((recovery, _RECOVERY_TEXT), (path, _KEY_FILE_TEXT)):
            _write_private(place, f"{purpose}# Key id: {key.key_id}\n{line}\n", written)
    except OSError as error:
        for place in written:
            with suppress(OSError):
                place.unlink()
        raise BadKeyEncryptionKey(
            f"The key file {error.filename or path} cannot be written: {error.strerror}.",
            advice="Name two new files in folders that exist and that this user may write to.",
        ) from None
    return key


def read_key_file(path: Path) -> KeyEncryptionKey:
    """The key of a file that `create_key_file` wrote: one base64 line; empty lines and lines with # are skipped.

    Raises BadKeyEncryptionKey if the file is missing, malformed, or gives anyone but its owner any permission.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            _require_private(path, status)
            text = file.read(_KEY_FILE_LIMIT).decode("ascii", "replace")
    except OSError as error:
        raise BadKeyEncryptionKey(
            f"The key file {path} cannot be read: {error.strerror}.",
            advice="Put the key file back, or its recovery copy; without either, sealed keys are lost.",
        ) from None
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if len(lines) != 1:
        raise BadKeyEncryptionKey(
            f"The key file {path} should hold one line besides comments; it holds {len(lines)}.",
            advice="Restore it from the recovery copy.",
        )
    try:
        return KeyEncryptionKey.from_text(lines[0])
    except BadKeyEncryptionKey as error:
        raise BadKeyEncryptionKey(
            f"The key file {path} is damaged: {error.message}", advice="Restore it from the recovery copy."
        ) from None


def _write_private(path: Path, text: str, written: list[Path]) -> None:
    """Writes a file that did not exist, for its owner only, and waits until it and its folder are on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _KEY_FILE_MODE)
    written.append(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, _KEY_FILE_MODE)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require_private(path: Path, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode) or mode & ~_KEY_FILE_MODE:
        raise BadKeyEncryptionKey(
            f"The key file {path} should be a plain file with mode 0600; it has mode {mode:04o}.",
            advice=f"Run `chmod 600 {path}`, and think about who could read it until now.",
        )


def _derive(secret: bytes, use: bytes) -> bytes:
    """A key of its own for each use of the secret: the one-block expansion of RFC 5869 2.3."""
    return hmac.digest(secret, use + b"\x01", "sha256")
