"""Files in the folder of a stand-in: for their owner only, and never a surprise for what is there already.

Private keys stand there in clear: they are worth nothing outside a sandbox.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from bramley.errors import BadInput, OutsideTrouble
from bramley.pki.keys import PrivateKey
from bramley.sandbox.errors import SandboxError

_LARGEST: Final = 64 * 1024 * 1024


class UnusableFolder(SandboxError, BadInput):
    """A folder that holds something else than a stand-in left there."""


class FolderTrouble(SandboxError, OutsideTrouble):
    """A folder that cannot be read or written now."""


def read(path: Path) -> bytes | None:
    """What the file holds; None where there is no file. Raises UnusableFolder and FolderTrouble."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return None
    except (IsADirectoryError, NotADirectoryError):
        raise UnusableFolder(f"{path} cannot be read: something is in the way.", advice="Name another folder.") from None
    except OSError as error:
        raise FolderTrouble(f"{path} cannot be read: {error.strerror}.", advice="Name another folder.") from None
    if len(content) > _LARGEST:
        raise UnusableFolder(f"{path} is larger than anything a stand-in keeps.", advice="Name another folder.")
    return content


def write_once(path: Path, content: bytes) -> None:
    """A file that never changes again. The same content written twice is fine; UnusableFolder where another is there."""
    if (found := read(path)) == content:
        return
    if found is not None:
        raise UnusableFolder(f"{path} cannot be written: something is in the way.", advice="Name another folder.")
    replace(path, content)


def replace(path: Path, content: bytes) -> None:
    """The file holds this from now on, or else what it held before: never a part of it. Raises as `read`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        beside.replace(path)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise UnusableFolder(f"{path} cannot be written: something is in the way.", advice="Name another folder.") from None
    except OSError as error:
        raise FolderTrouble(f"{path} cannot be written: {error.strerror}.", advice="Name another folder.") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def key_pem(key: PrivateKey) -> bytes:
    """The key as PKCS#8 PEM, in clear."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> PrivateKey:
    """The key that `key_pem` wrote. Raises UnusableFolder, which never repeats a byte of it."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, PrivateKey):
        raise UnusableFolder("Expected a private key that a stand-in wrote; found something else.", advice="Name another folder.")
    return key
